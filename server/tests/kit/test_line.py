"""The connection to Redis that callers share: against a real one, and against servers that answer byte for byte."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from redis.exceptions import InvalidResponse, ResponseError

from devlore_server.kit.cache import connect
from devlore_server.kit.line import IncompleteError, Line, packed, parsed
from tests.instance import free_port
from tests.kit.hanging import Clock, hung_up, until_it_listens

Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def line(redis_url: str) -> AsyncIterator[Line]:
    made = Line(connect(redis_url, patience=10))
    yield made
    made.close()


@asynccontextmanager
async def served(handle: Handle, *, patience: float = 10, clock: Clock | None = None) -> AsyncIterator[Line]:
    """A line to a Redis that is ``handle``."""
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    line = Line(connect(url, patience=patience), clock=clock or Clock())
    try:
        yield line
    finally:
        line.close()
        server.close()


async def _end(writer: asyncio.StreamWriter) -> None:
    await writer.drain()
    writer.close()


async def test_every_kind_of_answer_comes_back(line: Line) -> None:
    value = bytes(range(256)) * 1_000  # in several pieces
    assert await line.ask("SET", "k", value) == b"OK"
    assert await line.ask("GET", "k") == value
    assert await line.ask("GET", "nothing") is None
    assert await line.ask("SET", "empty", b"") == b"OK"
    assert await line.ask("GET", "empty") == b""
    assert await line.ask("INCRBY", "n", 41) == 41
    assert await line.ask("DECRBY", "n", 42) == -1
    assert await line.ask("MGET", "n", "nothing") == [b"-1", None]
    assert await line.ask("EVAL", "return {1, {'a', {}}}", 0) == [1, [b"a", []]]
    await line.ping()


async def test_what_redis_refuses_is_said_and_harms_nobody_else(line: Line) -> None:
    answers = await asyncio.gather(
        line.ask("SET", "k", "v"), line.ask("INCR", "k"), line.ask("NO-SUCH"), line.ask("GET", "k"),
        return_exceptions=True,
    )  # fmt: skip
    assert (answers[0], answers[3]) == (b"OK", b"v")
    assert [type(answer) for answer in answers[1:3]] == [ResponseError, ResponseError]


async def test_callers_share_a_connection_and_each_gets_their_own_answer(line: Line) -> None:
    answers = await asyncio.gather(*(line.ask("ECHO", str(number)) for number in range(500)))
    assert answers == [str(number).encode() for number in range(500)]
    connections = await asyncio.gather(*(line.ask("CLIENT", "ID") for _ in range(50)))
    assert len(set(connections)) == 1


async def test_commands_of_one_moment_leave_together() -> None:
    seen: list[bytes] = []

    async def redis(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            seen.append(data)
            writer.write(b"+OK\r\n" * data.count(b"*1\r\n"))

    async with served(redis) as line:
        await line.ping()
        await asyncio.gather(line.ask("A"), line.ask("B"), line.ask("C"))
    assert seen[1:] == [b"*1\r\n$1\r\nA\r\n*1\r\n$1\r\nB\r\n*1\r\n$1\r\nC\r\n"]


async def test_an_answer_that_comes_byte_by_byte_is_one() -> None:
    async def redis(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"PING\r\n")
        for byte in b"*3\r\n$5\r\nab\r\nc\r\n:-7\r\n$-1\r\n":
            writer.write(bytes([byte]))
            await asyncio.sleep(0)
        await reader.read()
        writer.close()

    async with served(redis) as line:
        assert await line.ask("PING") == [b"ab\r\nc", -7, None]


async def test_whoever_gives_up_leaves_their_answer_to_nobody(line: Line) -> None:
    await line.ping()
    given_up = asyncio.create_task(line.ask("ECHO", "mine"))
    await asyncio.sleep(0)
    given_up.cancel()
    assert await line.ask("ECHO", "yours") == b"yours"
    assert given_up.cancelled() or await asyncio.wait([given_up])


async def test_giving_up_while_it_opens_does_not_stop_the_others(line: Line) -> None:
    first, second = asyncio.create_task(line.ping()), asyncio.create_task(line.ask("ECHO", "x"))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == b"x"


async def test_a_connection_that_ends_fails_those_who_wait_and_is_opened_anew() -> None:
    connections, clock = 0, Clock()

    async def redis(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"PING\r\n")
        if connections == 1:
            await _end(writer)
            return
        writer.write(b"+PONG\r\n")
        await _end(writer)

    async with served(redis, clock=clock) as line:
        failed = await asyncio.gather(*(line.ping() for _ in range(3)), return_exceptions=True)
        assert [isinstance(error, OSError) for error in failed] == [True] * 3
        clock.pause()
        for _ in range(2):  # the second one finds the connection closed while nobody used it
            await line.ping()
            await hung_up(line)
    assert connections == 3


async def test_a_silent_redis_is_given_up_and_so_is_everything_behind() -> None:
    async def redis(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with served(redis, patience=0.05) as line:
        failed = await asyncio.gather(line.ping(), line.ping(), return_exceptions=True)
        assert [type(error) for error in failed] == [TimeoutError, TimeoutError]


async def test_patience_is_for_each_question_not_for_the_connection() -> None:
    pauses = [0.0, 1.0]

    async def redis(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65_536):
            await asyncio.sleep(pauses.pop(0))
            writer.write(b"+PONG\r\n")
        writer.close()

    async with served(redis, patience=4) as line:
        await line.ping()
        await asyncio.sleep(3.5)
        await line.ping()  # under way when the first one's time is up


@pytest.mark.parametrize("nonsense", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b":x\r\n", b"+PONG\r\n+ONE TOO MANY\r\n"])
async def test_what_is_no_answer_ends_the_connection(nonsense: bytes) -> None:
    answers, clock = [nonsense, b"+PONG\r\n"], Clock()

    async def redis(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65_536):
            writer.write(answers.pop(0))
        writer.close()

    async with served(redis, clock=clock) as line:
        try:
            await line.ping()
        except InvalidResponse:
            clock.pause()
        else:
            await hung_up(line)
        await line.ping()
    assert answers == []


async def test_nobody_there_is_said_at_once() -> None:
    line = Line(connect("redis://127.0.0.1:1"))
    failed = await asyncio.gather(*(line.ping() for _ in range(10)), return_exceptions=True)
    assert [isinstance(error, OSError) for error in failed] == [True] * 10


@pytest.mark.parametrize("opened", [True, False], ids=["for an answer", "for the connection"])
async def test_a_closed_line_fails_who_waits(opened: bool) -> None:
    asked = asyncio.Event()

    async def redis(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"PING\r\n")
        asked.set()
        await reader.read()
        writer.close()

    async with served(redis) as line:
        waiting = asyncio.create_task(line.ping())
        await (asked.wait() if opened else asyncio.sleep(0))
        line.close()
        with pytest.raises(ConnectionError):
            await waiting


@contextmanager
def own_redis(*options: str) -> Iterator[None]:
    command = ["redis-server", "--save", "", "--appendonly", "no", *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


async def test_a_password_and_a_database_are_those_of_the_address() -> None:
    port = free_port()
    lines = {
        name: Line(connect(f"redis://{who}127.0.0.1:{port}/{number}", patience=10))
        for name, who, number in (
            ("first", ":s%20ecret@", 0),
            ("second", "default:s%20ecret@", 1),
            ("wrong", ":no@", 0),
            ("none", "", 0),
        )
    }
    with own_redis("--port", str(port), "--requirepass", "s ecret"):
        await until_it_listens(f"redis://:s%20ecret@127.0.0.1:{port}")
        await lines["first"].ask("SET", "k", "zero")
        assert await lines["second"].ask("GET", "k") is None
        for name in ("wrong", "none"):
            with pytest.raises(ResponseError):
                await lines[name].ping()
        for line in lines.values():
            line.close()


async def test_rediss_is_tls_and_checks_whom_it_speaks_to(tmp_path: Path) -> None:
    certificate, key = _certificate(tmp_path)
    port = free_port()
    trusted = f"rediss://127.0.0.1:{port}?ssl_ca_certs={certificate}"
    trusting = Line(connect(trusted, patience=10))
    wary = Line(connect(f"rediss://127.0.0.1:{port}", patience=10))
    tls = ["--tls-port", str(port), "--tls-cert-file", str(certificate), "--tls-key-file", str(key)]
    with own_redis("--port", "0", *tls, "--tls-auth-clients", "no"):
        await until_it_listens(trusted)
        assert await trusting.ask("ECHO", "x") == b"x"
        with pytest.raises(ssl.SSLError):
            await wary.ping()
        trusting.close()


def _certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that vouches for itself, and its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    files = folder / "redis.crt", folder / "redis.key"
    files[0].write_bytes(made.public_bytes(Encoding.PEM))
    files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    return files


def test_words_are_packed_by_their_bytes() -> None:
    assert packed(("SET", "ü", b"\r\n", 7)) == b"*4\r\n$3\r\nSET\r\n$2\r\n\xc3\xbc\r\n$2\r\n\r\n\r\n$1\r\n7\r\n"


def test_a_reply_is_read_where_it_stands_and_no_further() -> None:
    raw = b"+x\r\n*2\r\n$3\r\na\r\n\r\n-E no\r\n:1\r\n"
    found, at = parsed(raw, 4)
    assert isinstance(found, list)
    assert (found[0], str(found[1])) == (b"a\r\n", "E no")
    assert parsed(raw, at) == (1, len(raw))
    for cut in range(5, at):
        with pytest.raises(IncompleteError):
            parsed(raw[:cut], 4)
