"""A real history as a git repository: the pytest commits of the data pack, written by ``git fast-import``."""

from __future__ import annotations

import subprocess
from datetime import datetime
from pathlib import Path

import corpus


def synthesise(data: Path, target: Path) -> Path:
    """Write every commit with its message, author, date and touched files; returns ``target``."""
    target.mkdir(parents=True)
    subprocess.run(["git", "init", "-q", "-b", "main", str(target)], check=True)
    importer = subprocess.Popen(["git", "-C", str(target), "fast-import", "--quiet", "--force"], stdin=subprocess.PIPE)
    assert importer.stdin is not None
    ordered = sorted(
        corpus.loaders(data)._commits("pytest-dev/pytest"), key=lambda c: datetime.fromisoformat(c["date"])
    )
    for number, commit in enumerate(ordered):
        when = int(datetime.fromisoformat(commit["date"]).timestamp())
        name = commit["author"].replace("<", "").replace(">", "").replace("\n", " ") or "unknown"
        message = commit["message"].encode()
        who = f"{name} <{commit['email'].replace('<', '').replace('>', '')}> {max(when, 0)} +0000".encode()
        importer.stdin.write(b"commit refs/heads/main\nauthor " + who + b"\ncommitter " + who)
        importer.stdin.write(b"\ndata %d\n%s\n" % (len(message), message))
        for path in commit["files"][:50]:
            content = f"{commit['sha']} {number}\n".encode()
            importer.stdin.write(b'M 100644 inline "%s"\ndata %d\n%s\n' % (_quoted(path), len(content), content))
        importer.stdin.write(b"\n")
    importer.stdin.close()
    if importer.wait() != 0:
        raise RuntimeError("git fast-import failed")
    return target


def _quoted(path: str) -> bytes:
    return path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").encode()
