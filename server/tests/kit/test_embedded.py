"""The embedded PostgreSQL: starts, is shared, comes back after every kind of kill, and lets nobody else in."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import LiteralString

import psutil
import psycopg
import pytest

from devlore_server.kit.embedded import MAJOR, EmbeddedPostgres, EmbeddedPostgresError, tool


@pytest.fixture(scope="module")
def cluster() -> Iterator[Path]:
    """The home of a cluster the tests of this module share: making one takes longer than starting it."""
    home = Path(tempfile.mkdtemp(prefix="dvl-", dir="/tmp"))
    server = EmbeddedPostgres(home, durable=False)
    server.start()
    server.stop()
    yield home
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def postgres(cluster: Path) -> Iterator[EmbeddedPostgres]:
    """The shared cluster, stopped before and after the test."""
    server = EmbeddedPostgres(cluster, durable=False)
    yield server
    server.stop()


def ask(url: str, query: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute(query).fetchone()  # type: ignore[arg-type]
        return found[0] if found else None


def run(url: str, query: LiteralString) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(query)


def test_a_new_home_gets_a_cluster_and_the_server_outlives_its_starter(home: Path) -> None:
    # What a kill in the middle of making one leaves behind is no obstacle.
    (home / "postgres" / "data.new").mkdir(parents=True)
    (home / "postgres" / "data.new" / "PG_VERSION").write_text(MAJOR)
    program = "import sys, pathlib; from devlore_server.kit.embedded import EmbeddedPostgres as E;"
    program += "print(E(pathlib.Path(sys.argv[1]), durable=False).start())"
    url = subprocess.run([sys.executable, "-c", program, str(home)], check=True, capture_output=True, text=True)
    assert url.stderr == ""
    server = EmbeddedPostgres(home, durable=False)
    pid = server.pid()
    assert pid is not None
    assert server.start() == url.stdout.strip()
    assert server.pid() == pid
    assert str(ask(url.stdout.strip(), "SHOW server_version")).startswith(f"{MAJOR}.")
    server.stop()


def test_stop_ends_it_and_start_finds_the_data_again(postgres: EmbeddedPostgres) -> None:
    url = postgres.start()
    run(url, "CREATE TABLE stayed AS SELECT 42 AS answer")
    postgres.stop()
    assert postgres.pid() is None
    with pytest.raises(psycopg.OperationalError):
        ask(url, "SELECT 1")
    postgres.stop()
    assert ask(postgres.start(), "SELECT answer FROM stayed") == 42


def test_stopping_what_never_was_does_nothing(home: Path) -> None:
    EmbeddedPostgres(home).stop()
    assert list(home.iterdir()) == []


def test_stop_does_not_wait_for_open_connections(postgres: EmbeddedPostgres) -> None:
    with psycopg.connect(postgres.start()):
        postgres.stop()
    assert postgres.pid() is None


def test_processes_that_start_it_at_once_share_one(postgres: EmbeddedPostgres, cluster: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        urls = set(pool.map(lambda _: EmbeddedPostgres(cluster, durable=False).start(), range(4)))
    assert len(urls) == 1
    assert ask(urls.pop(), "SELECT 1") == 1


@pytest.mark.parametrize("orphans", [True, False], ids=["postmaster only", "every process"])
def test_it_comes_back_after_kill_9_with_what_was_committed(postgres: EmbeddedPostgres, orphans: bool) -> None:
    url = postgres.start()
    postmaster = psutil.Process(postgres.pid())
    run(url, "DROP TABLE IF EXISTS kept")
    run(url, "CREATE TABLE kept AS SELECT 42 AS answer")
    held = psycopg.connect(url)
    held.execute("INSERT INTO kept VALUES (43)")
    for process in [postmaster] if orphans else [postmaster, *postmaster.children()]:
        with suppress(psutil.NoSuchProcess):  # without the postmaster they end by themselves
            process.send_signal(signal.SIGKILL)
    url = postgres.start()
    held.close()
    assert ask(url, "SELECT array_agg(answer) FROM kept") == [42]


@pytest.mark.parametrize("alive", [True, False], ids=["of another program", "of nobody"])
def test_a_stale_lock_file_does_not_keep_it_from_starting(
    postgres: EmbeddedPostgres, cluster: Path, alive: bool
) -> None:
    data = cluster / "postgres" / "data"
    owner = data.stat()
    # After a reboot the number in the file belongs to somebody else, here to a program of the same user.
    sleeper = subprocess.Popen(["sleep", "60"], user=owner.st_uid, cwd="/")
    pid = sleeper.pid
    if not alive:
        sleeper.kill()
        sleeper.wait()
    folder = cluster / "postgres"
    for stale in (data / "postmaster.pid", folder / ".s.PGSQL.5432.lock"):
        stale.write_text(f"{pid}\n{data}\n1\n5432\n{folder}\n\n   123  456\nready   \n")
        os.chown(stale, owner.st_uid, owner.st_gid)
    assert postgres.pid() is None
    assert ask(postgres.start(), "SELECT 1") == 1
    if alive:
        assert sleeper.poll() is None
        sleeper.kill()
        sleeper.wait()


def test_a_long_and_odd_path_works(cluster: Path, home: Path) -> None:
    deep = home / 'it\'s, "odd" % ü' / ("x" * 120)
    deep.mkdir(parents=True)
    shutil.copytree(cluster / "postgres", deep / "postgres")
    server = EmbeddedPostgres(deep, durable=False)
    url = server.start()
    socket = Path(str(ask(url, "SELECT current_setting('unix_socket_directories')")).strip('"'))
    assert len(str(socket / ".s.PGSQL.5432")) <= 107
    assert stat.S_IMODE(socket.stat().st_mode) == 0o700
    server.stop()
    shutil.rmtree(socket)


def test_a_cluster_of_another_major_version_is_refused_with_advice(postgres: EmbeddedPostgres, cluster: Path) -> None:
    version = cluster / "postgres" / "data" / "PG_VERSION"
    version.write_text("16\n")
    with pytest.raises(EmbeddedPostgresError, match=r"made by PostgreSQL 16.*export"):
        postgres.start()
    version.write_text(f"{MAJOR}\n")


def test_a_server_that_cannot_start_says_why(postgres: EmbeddedPostgres, cluster: Path) -> None:
    conf = cluster / "postgres" / "data" / "postgresql.conf"
    before = conf.read_text()
    conf.write_text(before + "\nno_such_setting = 1\n")
    with pytest.raises(EmbeddedPostgresError, match="no_such_setting"):
        postgres.start()
    conf.write_text(before)


def test_it_is_set_up_for_one_developer_and_loses_nothing(cluster: Path) -> None:
    server = EmbeddedPostgres(cluster)
    url = server.start()
    wanted = {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "data_checksums": "on",
        "jit": "off",
        "listen_addresses": "",
        "max_connections": "60",
        "shared_buffers": "64MB",
        "TimeZone": "UTC",
        "server_encoding": "UTF8",
    }
    assert {name: ask(url, f"SHOW {name}") for name in wanted} == wanted
    assert ask(url, "SELECT 'ß' ILIKE 'ß' AND lower('ÄÖ漢') = 'äö漢'") is True
    server.stop()


# Who gets in


def as_user(name: str, *command: str) -> subprocess.CompletedProcess[str]:
    user = pwd.getpwnam(name)
    ids = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd="/", **ids)  # type: ignore[call-overload]


def as_somebody_else(program: str, argument: Path) -> list[str]:
    """What a Python program says when the user nobody runs it."""
    return as_user("nobody", "python3", "-c", textwrap.dedent(program), str(argument)).stdout.split()


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@as_root
def test_as_root_the_server_runs_as_a_user_without_rights(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    process = psutil.Process(postgres.pid())
    assert process.username() == "devlore-postgres"
    assert process.gids().real == pwd.getpwnam("devlore-postgres").pw_gid


@as_root
def test_another_user_reaches_neither_socket_nor_data(postgres: EmbeddedPostgres, cluster: Path) -> None:
    postgres.start()
    program = """
        import os, socket, sys
        def refused(what):
            try:
                what()
            except PermissionError:
                return True
        home = sys.argv[1]
        print(refused(lambda: socket.socket(socket.AF_UNIX).connect(home + "/postgres/.s.PGSQL.5432")),
              refused(lambda: os.listdir(home)), refused(lambda: open(home + "/postgres/data/PG_VERSION")))
    """
    assert as_somebody_else(program, cluster) == ["True", "True", "True"]


@as_root
def test_another_user_is_refused_even_at_an_open_socket(postgres: EmbeddedPostgres, cluster: Path) -> None:
    url = postgres.start()
    finished = as_user("devlore-postgres", str(tool("psql")), url, "-c", "SELECT 1")
    assert "Peer authentication failed" in finished.stderr


@as_root
def test_a_private_parent_folder_stays_closed_to_everybody_else(cluster: Path, home: Path) -> None:
    private = home / "private"
    private.mkdir(mode=0o700)
    shutil.copytree(cluster / "postgres", private / "devlore" / "postgres")
    server = EmbeddedPostgres(private / "devlore", durable=False)
    server.start()
    program = "import os, sys; print(os.access(sys.argv[1], os.X_OK), os.access(sys.argv[1], os.R_OK))"
    assert as_somebody_else(program, private) == ["False", "False"]
    server.stop()
    # A chmod switches the way through off; the next start opens it again.
    private.chmod(0o700)
    server.start()
    server.stop()
