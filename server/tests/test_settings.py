"""Settings: read once from the environment, refused with a sentence, documented."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from pydantic import ValidationError

from devlore_server.settings import ROLES, BadSettings, Settings

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
        ({"DEVLORE_LOG_LEVEL": "loud"}, "DEVLORE_LOG_LEVEL"),
        ({"DEVLORE_TIER": "galaxy"}, "DEVLORE_TIER"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(environ: dict[str, str], said: str) -> None:
    with pytest.raises(BadSettings, match=said):
        Settings.read(environ)


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
