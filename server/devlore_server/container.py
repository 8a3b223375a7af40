"""What a container needs besides the server: secrets made once into files, and an answer to "are you healthy?"."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import httpx2

from devlore_server.kit.migrate import app_password

_BYTES = 32
_PATIENCE = 4.0


class Unhealthy(Exception):
    """The server of this container does not answer, or says it is not ready."""


def make_secrets(folder: Path, postgres: str, redis: str) -> list[str]:
    """Write what is missing of an instance's secrets into `folder`; the names of the files that were made.

    `postgres` and `redis` are the addresses (host or host:port) that the URLs name. A secret that exists is never
    changed: the database was made with it. Files can be read by every user of the containers they are mounted into.
    """
    made = []
    for name in ("secret", "postgres_password", "redis_password"):
        if not (folder / name).exists():
            _write(folder / name, secrets.token_urlsafe(_BYTES))
            made.append(name)
    owner = (folder / "postgres_password").read_text()
    # What serves signs in as the role that owns nothing; only `migrate` needs the other one.
    _write(folder / "database_url", f"postgresql://postgres:{owner}@{postgres}/devlore")
    _write(folder / "app_database_url", f"postgresql://devlore_app:{app_password(owner)}@{postgres}/devlore")
    _write(folder / "redis_url", f"redis://:{(folder / 'redis_password').read_text()}@{redis}/0")
    return made


def ensure_healthy(port: int) -> None:
    """Raise Unhealthy unless the server on this port says that it can serve."""
    try:
        answer = httpx2.get(f"http://127.0.0.1:{port}/readyz", timeout=_PATIENCE)
    except httpx2.HTTPError as error:
        raise Unhealthy(f"port {port} does not answer: {type(error).__name__}") from None
    if answer.status_code != httpx2.codes.OK:
        raise Unhealthy(answer.text)


def _write(path: Path, text: str) -> None:
    """All or nothing, so that nobody starts with half a secret."""
    draft = path.with_suffix(".new")
    draft.write_text(text)
    draft.chmod(0o444)
    os.replace(draft, path)
