"""Makes the virtual environment and installs a lock into it, with nothing but Python's standard library and pip."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

OLDEST = (3, 11)
PACKAGES = ("sdk/python", "cli", "server")


def create(folder: Path) -> None:
    """A virtual environment at `folder`; says what is missing when Python cannot make one."""
    if sys.version_info < OLDEST:
        sys.exit(f"Devlore needs Python {OLDEST[0]}.{OLDEST[1]} or newer; this is {sys.version.split()[0]}.")
    print(f"Making {folder} with Python {sys.version.split()[0]} …", flush=True)
    made = subprocess.run([sys.executable, "-m", "venv", "--clear", folder], capture_output=True, text=True)
    if made.returncode == 0:
        return
    # Debian ships Python without ensurepip; a pip outside can install into the new environment just as well.
    bare = subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", folder], capture_output=True)
    outside = subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True)
    if bare.returncode == 0 and outside.returncode == 0:
        inside = [sys.executable, "-m", "pip", "--python", folder / "bin" / "python"]
        if subprocess.run([*inside, "install", "--quiet", "pip"]).returncode == 0:
            return
    # Half an environment would be taken for one the next time.
    shutil.rmtree(folder, ignore_errors=True)
    sys.exit(
        f"Python cannot make a virtual environment: {made.stdout or made.stderr}\nDebian: apt-get install python3-venv"
    )


def install(lock: Path) -> None:
    """Everything in `lock`, each file checked against its hash, then our own packages in place."""
    wanted = [line for line in lock.read_text().splitlines() if "==" in line]
    started = time.monotonic()
    print(f"Installing {len(wanted)} packages from {lock} (once; a minute or two) …", flush=True)
    pip("install", "--require-hashes", "--no-deps", "-r", str(lock))
    editable = [argument for package in PACKAGES for argument in ("-e", package)]
    pip("install", "--no-deps", "--no-build-isolation", *editable)
    print(f"Installed in {time.monotonic() - started:.0f} s.", flush=True)


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", *arguments]
    # A registry may be slow, or busy for a moment; what somebody has set for pip stands.
    patient = {"PIP_TIMEOUT": "60", "PIP_RETRIES": "10"} | os.environ
    ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=patient)
    if ran.returncode:
        sys.exit(f"pip {' '.join(arguments)} failed:\n{ran.stdout[-4000:]}")


if __name__ == "__main__":
    {"create": create, "install": install}[sys.argv[1]](Path(sys.argv[2]))
