"""A session in a file: private, whole at every moment, and held by one at a time."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from devlore.credential_file import CredentialFile
from devlore.credentials import SignedIn

SESSION = SignedIn("session", "organisation", "access", "refresh", 1_800_000_000.0)


@pytest.fixture
def store(tmp_path: Path) -> CredentialFile:
    return CredentialFile(tmp_path / "devlore" / "session.json")


def test_a_session_comes_back_as_it_was(store: CredentialFile) -> None:
    assert store.load() is None
    store.save(SESSION)
    assert CredentialFile(store.path).load() == SESSION
    store.clear()
    store.clear()
    assert store.load() is None


def test_only_its_owner_reads_it(store: CredentialFile) -> None:
    before = os.umask(0)
    try:
        store.save(SESSION)
        assert store.acquire()
    finally:
        os.umask(before)
    store.release()
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.path.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in store.path.parent.iterdir()} == {0o600}


def test_a_file_that_was_open_to_others_is_not_afterwards(store: CredentialFile) -> None:
    store.save(SESSION)
    store.path.chmod(0o644)
    store.save(SESSION)
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"session_id": "a"}', b"\xff\xfe", b'"text"'])
def test_a_broken_file_is_no_session(store: CredentialFile, content: bytes) -> None:
    store.save(SESSION)
    store.path.write_bytes(content)
    assert store.load() is None
    store.save(SESSION)
    assert store.load() == SESSION


def test_a_write_that_fails_leaves_what_was_there(store: CredentialFile, monkeypatch: pytest.MonkeyPatch) -> None:
    store.save(SESSION)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store.save(SignedIn("another", "organisation", "access", "refresh", 0.0))
    assert store.load() == SESSION
    assert [path.name for path in store.path.parent.iterdir()] == [store.path.name]


def test_a_reader_never_sees_half_a_session(store: CredentialFile) -> None:
    """Both sessions are long enough that a write in place would be seen half done."""
    sessions = [SignedIn("s", "o", letter * 200_000, "r", 0.0) for letter in "ab"]
    store.save(sessions[0])
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            for session in sessions:
                store.save(session)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        seen = [store.load() for _ in range(300)]
    finally:
        stop.set()
        writer.join()
    assert all(session in sessions for session in seen)


def test_one_holds_it_at_a_time(store: CredentialFile) -> None:
    other = CredentialFile(store.path)
    assert store.acquire()
    assert not store.acquire()
    assert not other.acquire()
    store.release()
    assert other.acquire()
    other.release()
    other.release()
    assert store.acquire()
    store.release()


def test_a_program_that_dies_lets_go_of_it(store: CredentialFile) -> None:
    program = (
        "import sys, time; from pathlib import Path; from devlore.credential_file import CredentialFile\n"
        "print(CredentialFile(Path(sys.argv[1])).acquire(), flush=True); time.sleep(600)"
    )
    # Kept alive by nothing but the process: the object is dropped at once, its descriptor is not.
    held = subprocess.Popen([sys.executable, "-c", program, str(store.path)], stdout=subprocess.PIPE, text=True)
    assert held.stdout is not None and held.stdout.readline() == "True\n"
    assert not store.acquire()
    held.kill()
    held.wait()
    held.stdout.close()
    assert store.acquire()
    store.release()
