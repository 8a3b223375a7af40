"""The settings of a process: typed, frozen, read once from `DEVLORE_*` variables, passed down by `app.py` only."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

Role = Literal["gateway", "memory", "search", "integration"]
ROLES: tuple[Role, ...] = ("gateway", "memory", "search", "integration")
PREFIX = "DEVLORE_"


class BadSettings(Exception):
    """A setting cannot be used; the message names the variable, the value's fault, and what is accepted."""


def default_home(environ: Mapping[str, str]) -> Path:
    """Where data lives when `DEVLORE_HOME` is not set: the XDG data directory."""
    base = environ.get("XDG_DATA_HOME") or str(Path(environ.get("HOME", "~")).expanduser() / ".local" / "share")
    return Path(base) / "devlore"


class Settings(BaseModel):
    """Every setting; the variable of `database_url` is `DEVLORE_DATABASE_URL`, and so on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path = Field(description="Folder of all data: embedded PostgreSQL, the full-text index, the secret.")
    host: str = Field("127.0.0.1", description="Address to listen on. The individual tier accepts loopback only.")
    port: Annotated[int, Field(ge=0, le=65_535)] = Field(7700, description="Port to listen on; 0 takes a free one.")
    tier: Literal["individual"] = Field("individual", description="Which tier this instance is.")
    roles: tuple[Role, ...] = Field(ROLES, description="What this process runs, comma-separated.")
    database_url: SecretStr | None = Field(
        None,
        description="PostgreSQL with pgvector, as a superuser or the migrating role. Unset: an embedded server.",
    )
    database_connections: Annotated[int, Field(ge=2, le=200)] = Field(
        10, description="Most connections of one process to PostgreSQL."
    )
    redis_url: SecretStr | None = Field(
        None, description="Redis for shared caches, limits and wake-up hints. Unset: twins inside the process."
    )
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
    rate_limit: Annotated[int, Field(ge=0)] = Field(
        0, description="Requests per minute and person; costly operations count more. 0 turns limits off."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe line logged.")
    log_format: Literal["console", "json"] = Field("console", description="How log lines are written to stderr.")
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

    @classmethod
    def read(cls, environ: Mapping[str, str] = os.environ, **overrides: Any) -> Self:
        """The settings from `environ`, then `overrides` (command-line options) that are not None.

        Raises BadSettings; an unknown `DEVLORE_*` variable is not an error, since clients have their own.
        """
        values: dict[str, Any] = {"home": default_home(environ)}
        for name in cls.model_fields:
            if text := environ.get(PREFIX + name.upper(), "").strip():
                values[name] = [part.strip() for part in text.split(",")] if name == "roles" else text
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
            default = "–" if field.default is None else f"`{field.default}`"
        lines.append(f"| `{PREFIX}{name.upper()}` | {default} | {field.description} |")
    return "\n".join(lines) + "\n"
