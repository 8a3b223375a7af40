"""Consumers that do not wait long before they try again."""

from __future__ import annotations

import pytest

from devlore_server.kit.log import consumer as consuming


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consuming, "_BACKOFF_SECONDS", (0.001, 0.01))
