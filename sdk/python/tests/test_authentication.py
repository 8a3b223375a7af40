"""Who requests are from: given tokens and keys, sessions renewed once among threads, tasks and programs."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sdk.python.tests.either import KINDS, done, every, opened
from sdk.python.tests.issuer import Issuer, issuing
from sdk.python.tests.samples import ID, memory, page, problem
from sdk.python.tests.scripted import Reply, Scripted

import devlore
from devlore import problems
from devlore.calls import Retry
from devlore.credential_file import CredentialFile
from devlore.credentials import MemoryCredentials, SignedIn
from devlore.types import Tokens

QUICK = Retry(attempts=4, first=0.01, longest=0.02)


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing() as server:
        yield server


@pytest.fixture
def kept(tmp_path: Path) -> CredentialFile:
    return CredentialFile(tmp_path / "devlore" / "session.json")


def keep(store: CredentialFile, session: SignedIn) -> None:
    assert store.acquire()
    store.save(session)
    store.release()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("given", [{"token": "abc"}, {"key": "dvl_k_s"}])
async def test_a_token_or_key_signs_every_request(scripted: Scripted, kind: str, given: dict[str, str]) -> None:
    scripted.play(Reply(body=page(memory(), next="x")), Reply(body=page(memory())))
    async with opened(kind, scripted.url, **given) as client:
        await every(client.memories.all())
    (secret,) = given.values()
    assert [seen.headers["authorization"] for seen in scripted.seen] == [f"Bearer {secret}"] * 2


def test_the_environment_brings_a_token_or_a_key(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted.play(Reply(body=memory()))
    monkeypatch.setenv("DEVLORE_KEY", " key \n")
    devlore.Client(scripted.url).memories.get(ID)
    monkeypatch.setenv("DEVLORE_TOKEN", "token")
    devlore.Client(scripted.url).memories.get(ID)
    devlore.Client(scripted.url, key="given").memories.get(ID)
    devlore.Client(scripted.url, credentials=MemoryCredentials()).memories.get(ID)
    sent = [seen.headers.get("authorization") for seen in scripted.seen]
    assert sent == ["Bearer key", "Bearer token", "Bearer given", None]


def test_more_than_one_credential_is_a_mistake() -> None:
    with pytest.raises(problems.Invalid):
        devlore.Client("http://127.0.0.1:9", token="a", key="b")


@pytest.mark.parametrize("secret", ["two words", "naïve", "a\nb"])
def test_what_cannot_be_a_secret_is_said_before_it_is_sent(secret: str) -> None:
    with pytest.raises(problems.Invalid, match="copied whole"):
        devlore.Client("http://127.0.0.1:9", token=secret)


@pytest.mark.parametrize("kind", KINDS)
async def test_secrets_do_not_travel_in_the_open(kind: str) -> None:
    """Refused before a connection is made: the name does not exist."""
    session = SignedIn("s", "o", "a", "r", 0.0)
    for given in ({"key": "dvl_k_s"}, {"credentials": MemoryCredentials(session)}):
        async with opened(kind, "http://devlore.invalid", retry=Retry(attempts=1), **given) as client:
            with pytest.raises(problems.NotAllowed, match="https only"):
                await done(client.memories.get(ID))
            with pytest.raises(problems.NotAllowed, match="https only"):
                await done(client.sessions.sign_in("ada@example.org", "secret"))


@pytest.mark.parametrize("kind", KINDS)
async def test_signing_in_is_never_signed(issuer: Issuer, scripted: Scripted, kind: str) -> None:
    """A credential that has run out would have the sign-in itself refused."""
    scripted.play(Reply(201, issuer.handed_out()), Reply(body=memory()), Reply(401, problem(401, "sign-in-failed")))
    async with opened(kind, scripted.url) as client:
        await done(client.adopt(await done(client.sessions.sign_in("ada@example.org", "secret"))))
        await done(client.memories.get(ID))
        with pytest.raises(problems.SignInFailed):
            await done(client.sessions.sign_in("ada@example.org", "wrong"))
    sent = [seen.headers.get("authorization") for seen in scripted.seen]
    assert sent == [None, "Bearer access-0", None]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_token_that_is_refused_is_renewed_once_and_the_request_sent_again(issuer: Issuer, kind: str) -> None:
    store = MemoryCredentials(issuer.signed_in())
    issuer.expire()
    async with opened(kind, issuer.url, credentials=store) as client:
        assert (await done(client.memories.get(ID))).title == "Pin psycopg"
        assert (await done(client.memories.get(ID))).title == "Pin psycopg"
    assert issuer.presented == ["Bearer access-0", "Bearer access-1", "Bearer access-1"]
    assert issuer.refreshes == 1
    kept = store.load()
    assert kept is not None and (kept.access_token, kept.refresh_token) == ("access-1", "refresh-1")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_token_that_has_run_out_is_renewed_before_it_is_sent(issuer: Issuer, kind: str) -> None:
    store = MemoryCredentials(issuer.signed_in(expires_in=5))
    issuer.expire()
    async with opened(kind, issuer.url, credentials=store) as client:
        await done(client.memories.get(ID))
    assert issuer.presented == ["Bearer access-1"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_body_and_its_key_are_sent_again_as_they_were(issuer: Issuer, scripted: Scripted, kind: str) -> None:
    refused = Reply(401, problem(401, "unauthenticated"))
    scripted.play(refused, Reply(body=issuer.handed_out()), Reply(201, memory()))
    async with opened(kind, scripted.url, credentials=MemoryCredentials(issuer.signed_in())) as client:
        await done(client.memories.create(title="Once"))
    first, _, again = scripted.seen
    assert first.body == again.body == b'{"title":"Once"}'
    assert first.headers["idempotency-key"] == again.headers["idempotency-key"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_stream_begins_after_the_renewal(issuer: Issuer, scripted: Scripted, kind: str) -> None:
    refused = Reply(401, problem(401, "unauthenticated"))
    scripted.play(refused, Reply(body=issuer.handed_out()), Reply(body=b""))
    async with opened(kind, scripted.url, credentials=MemoryCredentials(issuer.signed_in())) as client:
        assert await every(client.memories.export()) == []
    assert scripted.seen[2].headers["authorization"] == "Bearer access-0"
    assert [seen.path for seen in scripted.seen][1:] == ["/v1/sessions/refresh", "/v1/memories/export"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_wrong_password_is_no_reason_to_renew(issuer: Issuer, scripted: Scripted, kind: str) -> None:
    scripted.play(Reply(401, problem(401, "sign-in-failed")))
    async with opened(kind, scripted.url, credentials=MemoryCredentials(issuer.signed_in())) as client:
        with pytest.raises(problems.SignInFailed):
            await done(client.sessions.step_up(password="wrong"))
    assert len(scripted.seen) == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("expires_in", [600, 0])
async def test_a_session_that_has_ended_is_forgotten(issuer: Issuer, kind: str, expires_in: int) -> None:
    store = MemoryCredentials(issuer.signed_in(expires_in))
    issuer.expire()
    issuer.ended = True
    async with opened(kind, issuer.url, credentials=store) as client:
        for _ in range(2):
            with pytest.raises(problems.Unauthenticated):
                await done(client.memories.get(ID))
    assert store.load() is None
    assert issuer.refreshes == 1
    assert issuer.presented[-1] is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("expires_in", [600, 0])
async def test_a_server_that_cannot_renew_just_now_is_asked_again(issuer: Issuer, kind: str, expires_in: int) -> None:
    store = MemoryCredentials(issuer.signed_in(expires_in))
    issuer.expire()
    issuer.busy = 2
    async with opened(kind, issuer.url, credentials=store, retry=QUICK) as client:
        assert (await done(client.memories.get(ID))).title == "Pin psycopg"
    assert issuer.refreshes == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_server_that_cannot_renew_for_long_ends_no_session(issuer: Issuer, kind: str) -> None:
    store = MemoryCredentials(issuer.signed_in())
    issuer.expire()
    issuer.busy = 100
    async with opened(kind, issuer.url, credentials=store, retry=QUICK) as client:
        with pytest.raises(problems.Unavailable):
            await done(client.memories.get(ID))
        issuer.busy = 0
        await done(client.memories.get(ID))


def test_threads_renew_once(issuer: Issuer) -> None:
    issuer.expire()
    store = MemoryCredentials(issuer.signed_in_before())
    together = threading.Barrier(16)
    with devlore.Client(issuer.url, credentials=store) as client, ThreadPoolExecutor(16) as pool:

        def ask(_: int) -> str:
            together.wait()
            return client.memories.get(ID).title

        assert list(pool.map(ask, range(16))) == ["Pin psycopg"] * 16
    assert (issuer.refreshes, issuer.ended) == (1, False)


def test_threads_with_clients_of_their_own_renew_once(issuer: Issuer, kept: CredentialFile) -> None:
    issuer.expire()
    keep(kept, issuer.signed_in_before())
    together = threading.Barrier(8)

    def ask(_: int) -> str:
        with devlore.Client(issuer.url, credentials=CredentialFile(kept.path)) as client:
            together.wait()
            return client.memories.get(ID).title

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == ["Pin psycopg"] * 8
    assert (issuer.refreshes, issuer.ended) == (1, False)


async def test_tasks_renew_once(issuer: Issuer, kept: CredentialFile) -> None:
    issuer.expire()
    keep(kept, issuer.signed_in_before())
    async with devlore.AsyncClient(issuer.url, credentials=kept) as client:
        found = await asyncio.gather(*(client.memories.get(ID) for _ in range(16)))
    assert {one.title for one in found} == {"Pin psycopg"}
    assert (issuer.refreshes, issuer.ended) == (1, False)


PROGRAM = """
import sys
from pathlib import Path
import devlore
client = devlore.Client(sys.argv[1], credentials=devlore.CredentialFile(Path(sys.argv[2])))
print("ready", flush=True)
sys.stdin.readline()
print(client.memories.get(sys.argv[3]).title)
"""


def test_programs_renew_once(issuer: Issuer, kept: CredentialFile) -> None:
    issuer.expire()
    keep(kept, issuer.signed_in_before())
    command = [sys.executable, "-c", PROGRAM, issuer.url, str(kept.path), ID]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    running = [subprocess.Popen(command, **pipes) for _ in range(4)]
    for program in running:
        assert program.stdout is not None and program.stdout.readline() == "ready\n"
    for program in running:
        assert program.stdin is not None
        program.stdin.write("\n")
        program.stdin.flush()
    assert [program.communicate()[0] for program in running] == ["Pin psycopg\n"] * 4
    assert (issuer.refreshes, issuer.ended) == (1, False)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_renewal_that_fails_lets_go_of_the_store(closed_port: int, kind: str) -> None:
    store = MemoryCredentials(SignedIn("s", "o", "a", "r", 0.0))
    async with opened(kind, f"http://127.0.0.1:{closed_port}", credentials=store, retry=QUICK) as client:
        with pytest.raises(devlore.Unreachable):
            await done(client.memories.get(ID))
    assert store.acquire()


async def test_a_renewal_that_is_cancelled_lets_go_of_the_store(scripted: Scripted) -> None:
    scripted.play(Reply(after=60.0))
    store = MemoryCredentials(SignedIn("s", "o", "a", "r", 0.0))
    async with devlore.AsyncClient(scripted.url, credentials=store) as client:
        asking = asyncio.ensure_future(client.memories.get(ID))
        await asyncio.to_thread(scripted.await_requests, 1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    assert scripted.seen[0].path == "/v1/sessions/refresh"
    assert store.acquire()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_session_that_another_program_replaced_is_not_followed(issuer: Issuer, kind: str) -> None:
    """What began in one organisation must not go on in another."""
    mine, elsewhere = issuer.signed_in(), SignedIn("another", "another", "access-1", "refresh-1", time.time() + 600)
    store = MemoryCredentials(mine)
    async with opened(kind, issuer.url, credentials=store) as client:
        await done(client.memories.get(ID))
        issuer.expire()
        store.save(elsewhere)
        for _ in range(2):
            with pytest.raises(problems.Unauthenticated):
                await done(client.memories.get(ID))
    assert (issuer.refreshes, store.load()) == (0, elsewhere)
    assert "Bearer access-1" not in issuer.presented


@pytest.mark.parametrize("kind", KINDS)
async def test_what_another_program_renewed_is_used(issuer: Issuer, kind: str) -> None:
    store = MemoryCredentials(issuer.signed_in())
    async with opened(kind, issuer.url, credentials=store) as client:
        await done(client.memories.get(ID))
        issuer.expire()
        with devlore.Client(issuer.url, credentials=store) as other:
            other.memories.get(ID)
        await done(client.memories.get(ID))
    assert (issuer.refreshes, issuer.presented[-1]) == (1, "Bearer access-1")


@pytest.mark.parametrize("kind", KINDS)
async def test_adopt_and_forget(issuer: Issuer, kind: str) -> None:
    store = MemoryCredentials()
    async with opened(kind, issuer.url, credentials=store) as client:
        await done(client.adopt(issuer.tokens()))
        await done(client.memories.get(ID))
        assert store.load() is not None
        await done(client.forget())
        with pytest.raises(problems.Unauthenticated):
            await done(client.memories.get(ID))
    assert (store.load(), issuer.presented) == (None, ["Bearer access-0", None])


@pytest.mark.parametrize("kind", KINDS)
async def test_a_client_that_was_told_who_it_is_does_not_sign_in(issuer: Issuer, kind: str) -> None:
    async with opened(kind, issuer.url, key="dvl_k_s") as client:
        with pytest.raises(problems.NotAllowed):
            await done(client.adopt(issuer.tokens()))
        with pytest.raises(problems.NotAllowed):
            await done(client.forget())


def test_a_browsers_session_cannot_be_kept(issuer: Issuer) -> None:
    cookie = Tokens.model_validate(issuer.handed_out() | {"access_token": None, "refresh_token": None})
    with devlore.Client(issuer.url) as client, pytest.raises(problems.Invalid):
        client.adopt(cookie)


def test_a_store_that_is_never_let_go_is_not_waited_for_for_ever(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devlore.authentication._PATIENCE", 0.1)
    store = MemoryCredentials(issuer.signed_in(expires_in=0))
    assert store.acquire()
    with devlore.Client(issuer.url, credentials=store) as client, pytest.raises(problems.Unavailable, match="renewing"):
        client.memories.get(ID)
