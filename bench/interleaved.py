"""Two or more ways to do the same, taken turn by turn, so that whatever else the machine does befalls them alike."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import table

Q = TypeVar("Q")


@dataclass(frozen=True, slots=True)
class Compared:
    """Seconds by way, question and round."""

    seconds: Mapping[str, Sequence[Sequence[float]]]

    def all(self, way: str) -> list[float]:
        """Every time of a way."""
        return [one for rounds in self.seconds[way] for one in rounds]

    def quiet(self, way: str) -> list[float]:
        """Each question's best round: what is left when the machine did nothing else meanwhile."""
        return [min(rounds) for rounds in self.seconds[way]]

    def row(self, one: str, other: str) -> dict[str, Any]:
        """p50 and p95 in milliseconds and ``one`` ÷ ``other``; ``quiet`` of each question's best round."""
        mine, theirs = self.all(one), self.all(other)
        p50, p95 = (tuple(table.percentile(times, share) for times in (mine, theirs)) for share in (0.5, 0.95))
        quiet = [table.percentile(times, 0.95) for times in (self.quiet(one), self.quiet(other))]
        return {
            "questions": len(self.seconds[one]),
            f"{one}_p50_ms": _ms(p50[0]),
            f"{other}_p50_ms": _ms(p50[1]),
            "p50_ratio": round(p50[0] / p50[1], 2),
            f"{one}_p95_ms": _ms(p95[0]),
            f"{other}_p95_ms": _ms(p95[1]),
            "p95_ratio": round(p95[0] / p95[1], 2),
            "quiet_p95_ratio": round(quiet[0] / quiet[1], 2),
        }


def take_turns(
    ways: Mapping[str, Callable[[Q], float]], questions: Sequence[Q], *, rounds: int = 3, seed: int = 1
) -> Compared:
    """Ask each question ``rounds`` times each way, in an order drawn anew each time; a way answers its seconds."""
    draw = random.Random(seed)
    seconds: dict[str, list[list[float]]] = {name: [] for name in ways}
    names = list(ways)
    for question in questions:
        for taken in seconds.values():
            taken.append([])
        for _ in range(rounds):
            draw.shuffle(names)
            for name in names:
                seconds[name][-1].append(ways[name](question))
    return Compared(seconds)


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 3)
