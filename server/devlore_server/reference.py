"""The generated documents: the API, problems, events, metrics and settings, as the code says they are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

from devlore.events import EventType
from devlore.problems import PROBLEMS, TYPE_PREFIX
from devlore_server import openapi, settings
from devlore_server.kit.telemetry import REGISTRY
from devlore_server.subscriptions import SUBSCRIPTIONS

_SNAPSHOT, _NOTHING = "MemorySnapshot", "{}"
EVENTS: dict[str, tuple[str, str]] = {
    "memory.created": ("a memory was stored for the first time, or imported", _SNAPSHOT),
    "memory.updated": ("its content, status or validity changed", _SNAPSHOT),
    "memory.deleted": ("it was deleted; it can be restored", _SNAPSHOT),
    "memory.restored": ("it was brought back", _SNAPSHOT),
    "memory.purged": ("it was erased with its versions, links and earlier events", _NOTHING),
    "search.near_duplicates_found": ("others say nearly the same", "NearDuplicates"),
    "identity.member_removed": ("a person left the organisation, or was removed", _NOTHING),
    "identity.departure_settled": ("an owner decided on what somebody who left kept private", "DepartureSettled"),
    "identity.organisation_erased": ("an organisation's deletion became final", _NOTHING),
}
"""Each event: when it is written, and the type its data has."""
_MARK = "<!-- generated below this line; `make openapi` writes it -->\n"


def openapi_text() -> str:
    """The OpenAPI document as it is committed."""
    return json.dumps(openapi.document(), indent=1, ensure_ascii=False, sort_keys=False) + "\n"


def problems_text() -> str:
    """A table of every problem, by status and code."""
    lines = ["| status | code | title | when |", "|---|---|---|---|"]
    for code, cls in sorted(PROBLEMS.items(), key=lambda item: (item[1].status, item[0])):
        when = " ".join((cls.__doc__ or "").split())
        lines.append(f'| {cls.status} | <a id="{code}"></a>`{code}` | {cls.title} | {when} |')
    return f"`type` is `{TYPE_PREFIX}` and the code.\n\n" + "\n".join(lines) + "\n"


def events_text() -> str:
    """A table of every event with its readers, and one of every reader."""
    lines = ["| event | written when | data | read by |", "|---|---|---|---|"]
    for name in get_args(EventType):
        when, data = EVENTS[name]
        readers = ", ".join(f"`{s.consumer}`" for s in SUBSCRIPTIONS if name in s.types)
        lines.append(f"| `{name}` | {when} | `{data}` | {readers or '–'} |")
    lines += ["", "| reader | role | what it does |", "|---|---|---|"]
    lines += [f"| `{s.consumer}` | {s.role} | {s.purpose} |" for s in SUBSCRIPTIONS]
    return "\n".join(lines) + "\n"


def metrics_text() -> str:
    """A table of every metric of our own."""
    lines = ["| metric | type | what it measures |", "|---|---|---|"]
    own = sorted((m for m in REGISTRY.collect() if m.name.startswith("devlore_")), key=lambda m: m.name)
    lines += [f"| `{metric.name}` | {metric.type} | {metric.documentation} |" for metric in own]
    return "\n".join(lines) + "\n"


def write(docs: Path, *, only_check: bool) -> list[Path]:
    """Write what differs from the code below `docs`, or with `only_check` just say which files differ."""
    stale = []
    for name, text in (
        ("api/openapi.json", openapi_text()),
        ("api/problems.md", problems_text()),
        ("api/events.md", events_text()),
        ("ops/metrics.md", metrics_text()),
        ("ops/settings.md", settings.reference()),
    ):
        path = docs / name
        present = path.read_text() if path.exists() else ""
        wanted = text if path.suffix == ".json" else _below_mark(present, text)
        if present != wanted:
            stale.append(path)
            if not only_check:
                path.write_text(wanted)
    return stale


def _below_mark(present: str, generated: str) -> str:
    """What people wrote above the mark, then the generated part."""
    head = re.split(re.escape(_MARK), present)[0].rstrip()
    return f"{head}\n\n{_MARK}\n{generated}"
