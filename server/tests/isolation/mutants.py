"""Plants each bug by itself and runs the files that hunt it: a bug that nobody notices is a hole in the suite.

``python -m tests.isolation.mutants [name …]``
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

from tests.isolation.planted import MUTANTS

HERE = Path(__file__).parent
_FAILED = re.compile(r"^(?:FAILED|ERROR) \S*/([\w.]+::\S+)", re.MULTILINE)


def run(files: tuple[str, ...], mutant: str | None, spared: list[str]) -> tuple[int, list[str], str]:
    """pytest's exit code, the tests that failed, and what it printed."""
    environment = os.environ | ({"ISOLATION_MUTANT": mutant} if mutant else {})
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.isolation.planted"]
    command += ["-x"] if mutant else []
    command += [f"--deselect={HERE / test}" for test in spared]
    done = subprocess.run(
        [*command, *(str(HERE / file) for file in files)],
        env=environment | {"PYTHONPATH": str(HERE.parents[1])},
        cwd=HERE.parents[2],
        capture_output=True,
        text=True,
        timeout=1_200,
    )
    return done.returncode, _FAILED.findall(done.stdout), done.stdout + done.stderr


def main(names: list[str]) -> int:
    chosen = names or list(MUTANTS)
    files = tuple(dict.fromkeys(file for name in chosen for file in MUTANTS[name].hunters))
    code, failing, said = run(files, None, [])
    if code not in (0, 1):
        sys.stdout.write(said)
        return 2
    _tell("bug", "what it is", "seconds", "caught by")
    escaped, began = [], time.monotonic()
    for name in chosen:
        planted = time.monotonic()
        code, caught, said = run(MUTANTS[name].hunters, name, failing)
        by = caught[0] if code == 1 and caught else None
        if by is None:
            escaped.append(name)
        _tell(name, MUTANTS[name].what, f"{time.monotonic() - planted:.0f}", by or f"nothing: ESCAPED (pytest {code})")
    told = f"{len(chosen)} planted, {len(chosen) - len(escaped)} caught, {time.monotonic() - began:.0f} s"
    without = f"; without a bug these fail, and caught nothing: {', '.join(failing)}" if failing else ""
    sys.stdout.write(f"{told}{without}\n")
    return 1 if escaped or failing else 0


def _tell(bug: str, what: str, seconds: str, by: str) -> None:
    sys.stdout.write(f"{bug:22} {what:70} {seconds:>7}  {by}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
