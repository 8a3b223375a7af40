"""The settings of a process: typed, frozen, read once from `DEVLORE_*` variables, passed down by `app.py` only."""

from __future__ import annotations

import ipaddress
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from devlore_server.kit.db import check_address

Role = Literal["gateway", "identity", "memory", "search", "integration", "worker"]
ROLES: tuple[Role, ...] = ("gateway", "identity", "memory", "search", "integration", "worker")
Tier = Literal["individual", "team"]
PREFIX = "DEVLORE_"
TEAM_RATE_LIMIT = 1_200


class BadSettings(Exception):
    """A setting cannot be used; the message names the variable, the value's fault, and what is accepted."""


def default_home(environ: Mapping[str, str]) -> Path:
    """Where data lives when `DEVLORE_HOME` is not set: the XDG data directory."""
    base = environ.get("XDG_DATA_HOME") or str(Path(environ.get("HOME", "~")).expanduser() / ".local" / "share")
    return Path(base) / "devlore"


def _origin(text: str) -> str:
    """An origin (RFC 6454): https, or http on this machine; written as browsers write it."""
    parts = urlsplit(text.rstrip("/"))
    host, port = parts.hostname, parts.port  # raises ValueError when the port is no number
    if parts.scheme not in ("http", "https") or not host or parts.username is not None:
        raise ValueError("Write https://host or https://host:port.")
    if parts.path or parts.query or parts.fragment:
        raise ValueError("Write it without a path.")
    if parts.scheme == "http" and host != "localhost" and not _loopback(host):
        raise ValueError("Only this machine may be addressed without https: sign-in needs it.")
    name = f"[{host}]" if ":" in host else host
    usual = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{name}" + ("" if port in (None, usual) else f":{port}")


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _networks(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(str(ipaddress.ip_network(text)) for text in texts)


def _address(url: SecretStr) -> SecretStr:
    check_address(url.get_secret_value())
    return url


Origin = Annotated[str, AfterValidator(_origin)]
Networks = Annotated[tuple[str, ...], AfterValidator(_networks)]


class Settings(BaseModel):
    """Every setting; the variable of `database_url` is `DEVLORE_DATABASE_URL`, and so on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path = Field(description="Folder of all data: embedded PostgreSQL, the full-text index, the secret.")
    host: str = Field(
        "127.0.0.1",
        description="Address to listen on. Beyond loopback: the gateway in the team tier, and services in the team "
        "tier when `DEVLORE_INTERNAL_NETWORKS` is set.",
    )
    port: Annotated[int, Field(ge=0, le=65_535)] = Field(7700, description="Port to listen on; 0 takes a free one.")
    tier: Tier = Field(
        "individual",
        description="`individual`: one person, nobody signs in, loopback only. `team`: everybody signs in. The "
        "database remembers it; `devlore-server upgrade-tier team` changes it.",
    )
    roles: tuple[Role, ...] = Field(ROLES, description="What this process runs, comma-separated.")
    public_url: Origin | None = Field(
        None,
        description="Where people reach the instance (scheme, host and port); requests for another host are refused. "
        "Unset: `http://localhost` and the port. Anything but this machine needs https.",
    )
    sign_up: Literal["invitation", "open"] = Field(
        "invitation", description="Who may make an account: those who were invited, or everybody."
    )
    cors_origins: tuple[Origin, ...] = Field(
        (), description="Origins of web pages that may call the API with a token, comma-separated. Cookies never count."
    )
    trusted_proxies: Networks = Field(
        (), description="Networks of the proxies in front whose X-Forwarded-For is believed, comma-separated."
    )
    internal_networks: Networks = Field(
        (),
        description="Networks the other processes of this instance are in, comma-separated: what a service that "
        "listens beyond loopback answers, and who may read the gateway's metrics besides this machine.",
    )
    database_url: Annotated[SecretStr, AfterValidator(_address)] | None = Field(
        None,
        description="PostgreSQL with pgvector, as a superuser or the migrating role. Unset: an embedded server.",
    )
    database_connections: Annotated[int, Field(ge=2, le=200)] = Field(
        10, description="Most connections of one process to PostgreSQL."
    )
    redis_url: SecretStr | None = Field(
        None, description="Redis for shared caches, limits and wake-up hints. Unset: twins inside the process."
    )
    identity_url: str | None = Field(None, description="Address of the identity role when it is another process.")
    memory_url: str | None = Field(None, description="Address of the memory role when it is another process.")
    search_url: str | None = Field(None, description="Address of the search role when it is another process.")
    integration_url: str | None = Field(None, description="Address of the integration role when it is another process.")
    secret: SecretStr | None = Field(
        None,
        description="Signs cursors and the caller's identity between processes; at least 32 characters, "
        "the same in all of them. Unset: made once and kept in `secret` under the home.",
    )
    embedder: str = Field(
        "bundled",
        description="The embedding model: `bundled` (all-MiniLM-L6-v2, int8), `fastembed:MODEL`, or "
        "`openai:MODEL@URL` for an OpenAI-compatible endpoint.",
    )
    embedder_key: SecretStr | None = Field(None, description="Key for an `openai:` embedder.")
    search_deadline_ms: Annotated[int, Field(ge=10, le=60_000)] = Field(
        1_000, description="How long a search waits for a leg before it answers without it and says so."
    )
    rate_limit: Annotated[int, Field(ge=0)] | None = Field(
        None,
        description="Requests per minute and person; costly operations count more. 0 turns limits off. "
        f"Unset: off in the individual tier, {TEAM_RATE_LIMIT} in the team tier.",
    )
    request_seconds: Annotated[int, Field(ge=1, le=3_600)] = Field(
        60, description="How long a request may take to begin its answer; bulk, import and export get ten times that."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe line logged.")
    log_format: Literal["console", "json"] = Field("console", description="How log lines are written to stderr.")
    drain_seconds: Annotated[int, Field(ge=0, le=300)] = Field(
        0, description="How long /readyz says no after SIGTERM before new connections are refused."
    )
    shutdown_seconds: Annotated[int, Field(ge=1, le=300)] = Field(
        10, description="How long running requests may take to finish after SIGTERM."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.secret is not None and len(self.secret.get_secret_value()) < 32:
            raise ValueError(f"{PREFIX}SECRET is shorter than 32 characters.")
        if "gateway" in self.roles and set(self.roles) not in ({"gateway"}, set(ROLES)):
            raise ValueError("The gateway runs alone, or with all other roles: services trust what it signs.")
        return self

    @property
    def origin(self) -> str:
        """The address people use: `public_url`, or this machine's."""
        return self.public_url or _origin(f"http://localhost:{self.port}")

    @property
    def quota(self) -> int:
        """Requests per minute and person; 0 when there is no limit."""
        if self.rate_limit is not None:
            return self.rate_limit
        return TEAM_RATE_LIMIT if self.tier == "team" else 0

    @classmethod
    def read(cls, environ: Mapping[str, str] = os.environ, **overrides: Any) -> Self:
        """The settings from `environ`, then `overrides` (command-line options) that are not None.

        Raises BadSettings; an unknown `DEVLORE_*` variable is not an error, since clients have their own.
        """
        values: dict[str, Any] = {"home": default_home(environ)}
        for name, described in cls.model_fields.items():
            if text := _given(environ, PREFIX + name.upper()):
                several = isinstance(described.default, tuple)
                values[name] = [part.strip() for part in text.split(",")] if several else text
        values |= {name: value for name, value in overrides.items() if value is not None}
        try:
            found = cls.model_validate(values)
        except ValidationError as error:
            raise BadSettings("; ".join(_sentence(e) for e in error.errors())) from None
        return found.model_copy(update={"home": found.home.expanduser().absolute()})

    def key(self) -> bytes:
        """The signing secret: the setting, or the one kept under the home (made on first use, mode 0600)."""
        if self.secret is not None:
            return self.secret.get_secret_value().encode()
        path = self.home / "secret"
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return path.read_bytes().strip()
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_urlsafe(48).encode())
        return path.read_bytes().strip()


def secret_path(environ: Mapping[str, str], home: Path) -> Path | None:
    """The file the signing secret is kept in; None when a variable holds it itself."""
    if path := environ.get(PREFIX + "SECRET_FILE", "").strip():
        return Path(path)
    return None if environ.get(PREFIX + "SECRET", "").strip() else home / "secret"


def _given(environ: Mapping[str, str], name: str) -> str:
    """A variable's text: its own, or that of the file `<variable>_FILE` names (secrets of containers are files)."""
    if path := environ.get(name + "_FILE", "").strip():
        try:
            return Path(path).read_text().strip()
        except OSError as error:
            raise BadSettings(f"{name}_FILE: cannot read {path}: {error.strerror}.") from None
    return environ.get(name, "").strip()


def _sentence(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"][:1])
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{PREFIX}{where.upper()}: {message}" if where else message


def reference() -> str:
    """The table of `docs/ops/settings.md`, made from the fields."""
    lines = ["| variable | default | what it does |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        if name == "home":
            default = "`$XDG_DATA_HOME/devlore`"
        elif name == "roles":
            default = "`" + ",".join(ROLES) + "`"
        else:
            default = "–" if field.default in (None, ()) else f"`{field.default}`"
        lines.append(f"| `{PREFIX}{name.upper()}` | {default} | {field.description} |")
    return "\n".join(lines) + "\n"
