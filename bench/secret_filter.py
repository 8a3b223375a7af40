"""How well secrets are told from what looks like them, and what looking costs.

Recall and false alarms on the generated corpus (its held-out part shares neither places nor names with the part the
rules were written against), the false-alarm rate over real commit messages and documents, and the time taken. What is
flagged in real texts is shown with the secret itself masked, to be judged by eye.

Not named after its subject: a ``secrets.py`` here would stand before the standard library's.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import table

sys.path.append(str(Path(__file__).resolve().parents[1] / "server"))

from devlore.types import MemoryDraft
from devlore_server.memory.secrets.places import texts
from devlore_server.memory.secrets.rules import RULES
from devlore_server.memory.secrets.scan import Finding, Scanner, replaced
from tests.memory.secrets_corpus import Part, Sample, corpus
from tests.memory.secrets_lookalikes import lookalikes

PARTS: tuple[Part, ...] = ("development", "held_out")
MIB = 1 << 20


def survives(scanner: Scanner, sample: Sample) -> bool:
    """Whether any secret of a sample can still be read once it is masked."""
    raw = sample.text.encode()
    out = replaced(raw, scanner.find(raw), lambda _one: "[[…]]")
    return any(secret in out for secret in sample.secrets)


def quality(scanner: Scanner, part: Part, rounds: int) -> dict[str, Any]:
    """Recall over the secrets and false alarms over the look-alikes of one part."""
    secrets, others = corpus(part, rounds=rounds), lookalikes(part, rounds=2 * rounds)
    missed = [one for one in secrets if survives(scanner, one)]
    taken = [one for one in others if scanner.find(one.text.encode())]
    return {
        "part": part,
        "secrets": len(secrets),
        "formats": len({one.format for one in secrets}),
        "recall": round(1 - len(missed) / len(secrets), 4),
        "look_alikes": len(others),
        "false_alarms": round(len(taken) / len(others), 4),
        "missed": sorted({one.format for one in missed}),
        "taken": sorted({one.format for one in taken}),
    }


def documents(folder: Path) -> Iterator[str]:
    """The texts of a data set: a line of JSON each, or a file."""
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        if ".jsonl" in path.name:
            yield from ("\n".join(_strings(json.loads(line))) for line in raw.splitlines() if line.strip())
        elif path.suffix in (".md", ".rst", ".txt", ".json", ".csv", ".yaml"):
            yield raw.decode("utf-8", "replace")


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _strings(one)


def real(scanner: Scanner, folder: Path) -> tuple[list[Any], list[str]]:
    """A row for one data set, and what was flagged in it."""
    count, size, flagged, shown = 0, 0, 0, []
    for text in documents(folder):
        raw = text.encode("utf-8", "replace")
        found = scanner.find(raw)
        count, size, flagged = count + 1, size + len(raw), flagged + bool(found)
        shown += [_around(raw, one) for one in found]
    return [folder.name, count, round(size / 1e6, 1), flagged, f"{flagged / max(1, count):.4%}"], shown


def _around(raw: bytes, one: Finding) -> str:
    before = raw[max(0, one.start - 60) : one.start].decode("utf-8", "replace")
    secret = one.secret.decode("utf-8", "replace")
    return f"{one.rule}: …{' '.join(before.split())} {secret[:4]}…({len(secret)} characters)"


def seconds(run: Callable[[], Any], least: float = 0.5) -> float:
    """CPU seconds of one run, as the mean of as many as fit into ``least``."""
    run()
    times, started = 0, time.process_time()
    while (taken := time.process_time() - started) < least:
        run()
        times += 1
    return taken / times


def cost(scanner: Scanner, data: Path) -> list[list[Any]]:
    """Time for a text of 1 KB and of 1 MiB of several kinds, and for a thousand memories."""
    commits = [text for _, text in zip(range(20_000), documents(data / "gitlogs"), strict=False)]
    joined = "\n".join(commits).encode()[:MIB]
    generator = random.Random(1)
    kinds = {
        "commit messages": joined,
        "base64": base64.b64encode(generator.randbytes(MIB * 3 // 4)),
        "one secret in a mebibyte": joined[: MIB // 2] + b" AK" + b"IAQ3EGRIMHVNBW5T2L " + joined[MIB // 2 :],
        "nothing but passwords": (b"pwd: abcd12!x\n" * MIB)[:MIB],
    }
    rows = []
    for name, raw in kinds.items():
        taken = seconds(lambda raw=raw: scanner.find(raw))  # type: ignore[misc]
        rows.append([f"1 MiB of {name}", f"{taken * 1e3:.1f} ms", f"{len(raw) / 1e6 / taken:.0f} MB/s"])
    small = joined[:1_024]
    taken = seconds(lambda: scanner.find(small))
    rows.append(["1 KB of commit messages", f"{taken * 1e6:.0f} µs", f"{len(small) / 1e6 / taken:.0f} MB/s"])
    drafts = [MemoryDraft(title=text[:80], body=text[:4_000]) for text in commits[:1_000]]

    def screen() -> None:
        for draft in drafts:
            scanner.find_in([text.encode() for _, text in texts(draft)])

    taken = seconds(screen)
    rows.append(["1,000 memories", f"{taken * 1e3:.1f} ms", f"{len(drafts) / taken:,.0f} memories/s"])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../data"))
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--sets", nargs="*", default=["gitlogs", "adrs", "pypa_advisories", "supersession", "chat_irc"])
    options = parser.parse_args()
    scanner = Scanner()
    print(f"{len(RULES)} rules\n")
    scores = [quality(scanner, part, options.rounds) for part in PARTS]
    table.show(list(scores[0]), [[str(value) for value in one.values()] for one in scores])
    print()
    found = [real(scanner, options.data / name) for name in options.sets]
    table.show(["real texts", "documents", "MB", "flagged", "share"], [row for row, _ in found])
    for _, shown in found:
        print(*(f"  {line}" for line in shown), sep="\n")
    costs = cost(scanner, options.data)
    table.show(["what", "CPU time", "rate"], costs)
    table.emit({"bench": "secrets", "quality": scores, "real": [row for row, _ in found], "cost": costs})


if __name__ == "__main__":
    main()
