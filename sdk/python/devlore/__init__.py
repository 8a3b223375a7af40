"""Devlore for Python: the language (types, problems, events) and the clients, loaded when first used (PEP 562)."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from devlore.aclient import AsyncClient as AsyncClient
    from devlore.calls import Retry as Retry
    from devlore.calls import Unreachable as Unreachable
    from devlore.calls import Unreadable as Unreadable
    from devlore.client import Client as Client
    from devlore.credential_file import CredentialFile as CredentialFile
    from devlore.problems import Problem as Problem
    from devlore.types import LinkDraft as LinkDraft
    from devlore.types import Memory as Memory
    from devlore.types import MemoryDraft as MemoryDraft
    from devlore.types import SearchHit as SearchHit
    from devlore.types import SearchRequest as SearchRequest

_HOMES = {
    "AsyncClient": "devlore.aclient",
    "Client": "devlore.client",
    "CredentialFile": "devlore.credential_file",
    "LinkDraft": "devlore.types",
    "Memory": "devlore.types",
    "MemoryDraft": "devlore.types",
    "Problem": "devlore.problems",
    "Retry": "devlore.calls",
    "SearchHit": "devlore.types",
    "SearchRequest": "devlore.types",
    "Unreachable": "devlore.calls",
    "Unreadable": "devlore.calls",
}
_MODULES = frozenset({"events", "problems", "types"})

__version__ = "0.1.0"
__all__ = [*sorted(_HOMES), *sorted(_MODULES)]  # noqa: PLE0604 - names, computed once


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"devlore.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'devlore' has no attribute {name!r}")
    found = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
