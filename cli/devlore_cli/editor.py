"""The person's own editor on a text, and a place where the text survives when it cannot be stored."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from devlore_cli.failures import Failure


def edited(text: str) -> str:
    """``text`` after the person has edited it in ``$VISUAL``, ``$EDITOR`` or vi; raises ``Failure``."""
    command = os.environ.get("VISUAL") or os.environ.get("EDITOR") or _found()
    path = _file(text)
    try:
        done = subprocess.run([*shlex.split(command), str(path)], check=False)
        if done.returncode != 0:
            raise Failure(f"The editor ({command}) ended with {done.returncode}; nothing was changed.")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise Failure(f"The editor {command!r} cannot be started.", "Set EDITOR to one that can.") from error
    finally:
        path.unlink(missing_ok=True)


def kept(text: str) -> Path:
    """Write ``text`` to a file of its own and say where, so that no words are lost."""
    return _file(text)


def _found() -> str:
    found = next((name for name in ("sensible-editor", "vi", "nano") if shutil.which(name)), None)
    if found is None:
        raise Failure("There is no editor.", "Set EDITOR, or use the options of this command.")
    return found


def _file(text: str) -> Path:
    handle, name = tempfile.mkstemp(prefix="devlore-", suffix=".md")
    with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
        file.write(text)
    return Path(name)
