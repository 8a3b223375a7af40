"""The crash test in short, as part of the suite; `make crash` runs it for longer."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests.crash import crash


@pytest.mark.timeout(300)
def test_nothing_acknowledged_is_lost_when_everything_is_killed() -> None:
    # Not pytest's own folder: its path is longer than a Unix socket's may be.
    with tempfile.TemporaryDirectory(prefix="devlore-crash-", ignore_cleanup_errors=True) as folder:
        faults, said = crash.run(Path(folder), rounds=3, writers=3, seed=20260704)
    print(said)
    assert faults == [], said
