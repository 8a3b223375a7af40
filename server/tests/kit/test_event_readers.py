"""Events are walled by organisation only, which is enough while nobody but the server's consumers reads what they say.

See docs/decisions/0003. Whoever needs an event elsewhere has to filter by its audience, and to be named here.
"""

from __future__ import annotations

import re
from pathlib import Path

import devlore_server

PACKAGE = Path(devlore_server.__file__).parent
READS = re.compile(r"\blog\.(?:event|parked|read_after|read_parked)\b")
CONTENT = re.compile(r"SELECT[^;\"]*\bdata\b[^;\"]*FROM\s+log\.(?:event|parked)\b", re.DOTALL)


def test_only_the_log_itself_touches_events() -> None:
    found = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if READS.search(path.read_text())}
    assert found == {"kit/log/event_log.py", "kit/log/consumer.py"}


def test_what_events_say_is_read_through_the_functions_of_consumers_only() -> None:
    for name in ("event_log.py", "consumer.py"):
        assert not CONTENT.search((PACKAGE / "kit" / "log" / name).read_text()), name
