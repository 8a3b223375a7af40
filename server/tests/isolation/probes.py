"""How much was asked and what leaked: counted over a whole run and told at its end."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

FULL = os.environ.get("ISOLATION") == "full"
"""The long run (`make isolation`): more examples, every combination, the same checks."""


@dataclass
class Tally:
    """A probe is one question somebody asked whose answer was compared with what they may know."""

    asked: Counter[str] = field(default_factory=Counter)
    noted: Counter[str] = field(default_factory=Counter)
    """What says how hard it was tried, and is no probe itself."""
    leaks: list[str] = field(default_factory=list)

    def ask(self, kind: str, times: int = 1) -> None:
        self.asked[kind] += times

    def leak(self, what: str) -> None:
        if what not in self.leaks:
            self.leaks.append(what)

    def told(self) -> dict[str, Any]:
        """All of it, for another process to `add`."""
        return {"asked": dict(self.asked), "noted": dict(self.noted), "leaks": self.leaks}

    def add(self, told: dict[str, Any]) -> None:
        """Count what another process found."""
        self.asked.update(told["asked"])
        self.noted.update(told["noted"])
        for leak in told["leaks"]:
            self.leak(leak)

    def table(self) -> str:
        lines = [f"{count:>9,}  {kind}" for kind, count in sorted(self.asked.items())]
        lines += [f"{count:>9,} ({kind})" for kind, count in sorted(self.noted.items())]
        total = f"{self.asked.total():>9,}  probes, {len(self.leaks)} leaks"
        return "\n".join([*lines, total, *(f"LEAK {leak}" for leak in self.leaks[:30])])


TALLY = Tally()


class Leaks:
    """What one test found: it goes on after the first, and fails at the end with all of them."""

    def __init__(self, kind: str, *, known: str = "") -> None:
        """``known`` names a leak that is open: its test is marked as failing, and fails when it is closed."""
        self._kind = kind
        self._known = known
        self.found: list[str] = []

    def same(self, told: object, may_know: object, where: str) -> None:
        """One probe: what somebody was told must be what they may know."""
        TALLY.ask(self._kind)
        if told != may_know:
            self.add(f"{where}: told {_short(told)}, may know {_short(may_know)}")

    def add(self, what: str) -> None:
        self.found.append(what)
        if self._known:
            TALLY.noted[f"known and open: {self._known}"] = 1
            return
        TALLY.leak(f"{self._kind}: {what}")

    def assert_none(self) -> None:
        shown = "\n".join(self.found[:20])
        assert not self.found, f"{len(self.found)} leaks\n{shown}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 400 else text[:400] + "…"
