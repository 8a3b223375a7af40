"""Settings: read once from the environment, refused with a sentence, documented."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from pydantic import ValidationError

from devlore_server.settings import ROLES, TEAM_RATE_LIMIT, BadSettings, Settings

DOCUMENT = Path(__file__).parents[2] / "docs" / "ops" / "settings.md"


def test_without_variables_it_is_one_developer_on_one_machine(tmp_path: Path) -> None:
    settings = Settings.read({"HOME": str(tmp_path)})
    assert settings.home == tmp_path / ".local" / "share" / "devlore"
    assert (settings.host, settings.port, settings.tier) == ("127.0.0.1", 7700, "individual")
    assert settings.roles == ROLES
    assert settings.database_url is None


def test_the_xdg_data_directory_is_respected_and_devlore_home_wins(tmp_path: Path) -> None:
    xdg = {"XDG_DATA_HOME": str(tmp_path / "xdg")}
    assert Settings.read(xdg).home == tmp_path / "xdg" / "devlore"
    assert Settings.read(xdg | {"DEVLORE_HOME": str(tmp_path / "own")}).home == tmp_path / "own"


def test_a_variable_per_field_and_an_option_wins_over_it(tmp_path: Path) -> None:
    environ = {"DEVLORE_HOME": str(tmp_path), "DEVLORE_PORT": "7801", "DEVLORE_ROLES": "memory, search"}
    assert Settings.read(environ).roles == ("memory", "search")
    assert Settings.read(environ).port == 7801
    assert Settings.read(environ, port=7802).port == 7802
    assert Settings.read(environ, port=None).port == 7801


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"DEVLORE_PORT": "seven"}, "DEVLORE_PORT"),
        ({"DEVLORE_PORT": "70000"}, "DEVLORE_PORT"),
        ({"DEVLORE_ROLES": "memory,kitchen"}, "DEVLORE_ROLES"),
        ({"DEVLORE_SECRET": "short"}, "DEVLORE_SECRET"),
        (
            {"DEVLORE_DATABASE_URL": "postgresql://u:my pass@db/x"},
            "^DEVLORE_DATABASE_URL: Write [^ ]+, special [a-z %]+XX.$",
        ),
        ({"DEVLORE_LOG_LEVEL": "loud"}, "DEVLORE_LOG_LEVEL"),
        ({"DEVLORE_TIER": "galaxy"}, "DEVLORE_TIER"),
        ({"DEVLORE_PUBLIC_URL": "http://lore.example"}, "DEVLORE_PUBLIC_URL: .*https"),
        ({"DEVLORE_PUBLIC_URL": "https://lore.example/path"}, "DEVLORE_PUBLIC_URL: .*path"),
        ({"DEVLORE_PUBLIC_URL": "https://user@lore.example"}, "DEVLORE_PUBLIC_URL"),
        ({"DEVLORE_PUBLIC_URL": "lore.example"}, "DEVLORE_PUBLIC_URL"),
        ({"DEVLORE_PUBLIC_URL": "https://lore.example:port"}, "DEVLORE_PUBLIC_URL"),
        ({"DEVLORE_CORS_ORIGINS": "https://a.example,*"}, "DEVLORE_CORS_ORIGINS"),
        ({"DEVLORE_TRUSTED_PROXIES": "10.0.0.1/8"}, "DEVLORE_TRUSTED_PROXIES"),
        ({"DEVLORE_INTERNAL_NETWORKS": "pods"}, "DEVLORE_INTERNAL_NETWORKS"),
        ({"DEVLORE_SIGN_UP": "maybe"}, "DEVLORE_SIGN_UP"),
        ({"DEVLORE_SECRET_FILE": "/nowhere/secret"}, "DEVLORE_SECRET_FILE"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(environ: dict[str, str], said: str) -> None:
    with pytest.raises(BadSettings, match=said):
        Settings.read(environ)


@pytest.mark.parametrize(
    ("given", "origin"),
    [
        ("https://Lore.Example", "https://lore.example"),
        ("https://lore.example:443/", "https://lore.example"),
        ("https://lore.example:8443", "https://lore.example:8443"),
        ("http://localhost:80", "http://localhost"),
        ("http://127.0.0.1:7700", "http://127.0.0.1:7700"),
        ("http://[::1]:7700", "http://[::1]:7700"),
    ],
)
def test_the_public_address_is_written_as_browsers_write_it(given: str, origin: str) -> None:
    assert Settings.read({"DEVLORE_PUBLIC_URL": given}).origin == origin


def test_without_a_public_address_it_is_this_machine() -> None:
    assert Settings.read({"DEVLORE_PORT": "7801"}).origin == "http://localhost:7801"


def test_lists_are_separated_by_commas() -> None:
    environ = {
        "DEVLORE_CORS_ORIGINS": "https://a.example, http://localhost:5173",
        "DEVLORE_TRUSTED_PROXIES": "10.0.0.0/8,fd00::/8",
        "DEVLORE_INTERNAL_NETWORKS": "10.1.2.3",
    }
    settings = Settings.read(environ)
    assert settings.cors_origins == ("https://a.example", "http://localhost:5173")
    assert settings.trusted_proxies == ("10.0.0.0/8", "fd00::/8")
    assert settings.internal_networks == ("10.1.2.3/32",)


def test_limits_are_on_where_there_are_many() -> None:
    assert Settings.read({}).quota == 0
    assert Settings.read({"DEVLORE_TIER": "team"}).quota == TEAM_RATE_LIMIT
    assert Settings.read({"DEVLORE_TIER": "team", "DEVLORE_RATE_LIMIT": "0"}).quota == 0
    assert Settings.read({"DEVLORE_RATE_LIMIT": "50"}).quota == 50


def test_a_secret_may_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("k" * 40 + "\n")
    settings = Settings.read({"DEVLORE_SECRET_FILE": str(tmp_path / "secret")})
    assert settings.key() == b"k" * 40
    (tmp_path / "url").write_text("redis://cache:6379/0\n")
    redis = Settings.read({"DEVLORE_REDIS_URL_FILE": str(tmp_path / "url")}).redis_url
    assert redis is not None
    assert redis.get_secret_value() == "redis://cache:6379/0"


def test_blank_variables_and_those_of_clients_are_ignored() -> None:
    assert Settings.read({"DEVLORE_PORT": " ", "DEVLORE_URL": "http://127.0.0.1:1"}).port == 7700


def test_secrets_are_not_printed(tmp_path: Path) -> None:
    settings = Settings.read({"DEVLORE_DATABASE_URL": "postgresql://u:hunter2@h/d", "DEVLORE_HOME": str(tmp_path)})
    assert "hunter2" not in repr(settings)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Settings.read({}).port = 1  # type: ignore[misc]


def test_the_signing_key_is_made_once_and_kept_to_the_owner(tmp_path: Path) -> None:
    settings = Settings.read({"DEVLORE_HOME": str(tmp_path / "new")})
    key = settings.key()
    assert len(key) >= 32
    assert Settings.read({"DEVLORE_HOME": str(tmp_path / "new")}).key() == key
    assert stat.S_IMODE((tmp_path / "new" / "secret").stat().st_mode) == 0o600
    assert Settings.read({"DEVLORE_SECRET": "k" * 32}).key() == b"k" * 32


def test_every_setting_is_documented() -> None:
    text = DOCUMENT.read_text()
    for name, field in Settings.model_fields.items():
        assert f"`DEVLORE_{name.upper()}`" in text
        assert field.description
        assert field.description in text
