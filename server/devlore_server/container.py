"""The secrets of an instance in containers: made once, kept in files."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from devlore_server.kit.migrate import app_password

_BYTES = 32


def make_secrets(folder: Path, owner: Path, postgres: str, redis: str) -> list[str]:
    """Write what is missing of an instance's secrets; the names of the files that were made.

    `folder` is for every process, `owner` for those alone that may change the schema: what serves signs in to
    PostgreSQL as a role that owns nothing, and never sees the password of the other. `postgres` and `redis` are the
    addresses (host or host:port) that the URLs name. A secret that exists is never changed: the database was made with
    it. Files can be read by every user of the containers they are mounted into.
    """
    made = []
    for path in (folder / "secret", folder / "redis_password", owner / "postgres_password"):
        if not path.exists():
            _write(path, secrets.token_urlsafe(_BYTES))
            made.append(path.name)
    password = (owner / "postgres_password").read_text()
    _write(owner / "database_url", f"postgresql://postgres:{password}@{postgres}/devlore")
    _write(folder / "app_database_url", f"postgresql://devlore_app:{app_password(password)}@{postgres}/devlore")
    _write(folder / "redis_url", f"redis://:{(folder / 'redis_password').read_text()}@{redis}/0")
    return made


def _write(path: Path, text: str) -> None:
    """All or nothing, so that nobody starts with half a secret."""
    draft = path.with_suffix(".new")
    draft.write_text(text)
    draft.chmod(0o444)
    os.replace(draft, path)
