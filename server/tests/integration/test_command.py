"""Running git: output in pieces, failures with git's words, nothing left running."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from devlore.problems import Unavailable
from devlore_server.integration.connectors.git.command import GitFailed, read, stream, text
from devlore_server.integration.connectors.markdown.ages import ages
from tests.integration.repositories import Repo


async def test_output_comes_in_tokens_and_is_complete(repo: Repo) -> None:
    names = [f"file-{number:04}" for number in range(3_000)]
    repo.commit("many", dict.fromkeys(names, ""))
    pieces = [piece async for piece in stream(str(repo.folder), "ls-files", "-z")]
    assert [token.decode() for piece in pieces for token in piece] == names


async def test_a_failure_has_gits_own_words(repo: Repo) -> None:
    with pytest.raises(GitFailed, match="nothing-there"):
        await read(str(repo.folder), "cat-file", "-t", "nothing-there")
    with pytest.raises(GitFailed, match="nothing-there"):
        async for _ in stream(str(repo.folder), "log", "nothing-there"):
            pass
    with pytest.raises(GitFailed):
        await read("/nowhere", "status")


async def test_much_input_does_not_block(repo: Repo) -> None:
    sha = repo.commit("one")
    asked = f"{sha}\n".encode() * 50_000
    answer = await read(str(repo.folder), "cat-file", "--batch-check=%(objecttype)", given=asked)
    assert answer.count(b"commit") == 50_000
    tokens = [t async for piece in stream(str(repo.folder), "rev-list", "--stdin", given=asked) for t in piece]
    assert tokens == [f"{sha}\n".encode()]


async def test_closing_early_ends_git(repo: Repo) -> None:
    script = "".join(
        f"commit refs/heads/main\ncommitter A <a@x> {1_600_000_000 + n} +0000\ndata 9\n{n:09}\n" for n in range(20_000)
    )
    repo.git("fast-import", "--quiet", given=script.encode())
    output = stream(str(repo.folder), "log", "-z", "main")
    await anext(output)
    await output.aclose()
    children = Path("/proc/self/task").glob("*/children")
    alive = [child for listed in children for child in listed.read_text().split()]
    names = [Path(f"/proc/{child}/comm").read_text().strip() for child in alive if Path(f"/proc/{child}").exists()]
    assert "git" not in names


async def test_cancelling_ends_git(repo: Repo) -> None:
    waiting = asyncio.create_task(read(str(repo.folder), "cat-file", "--batch", given=b""))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_machine_without_git_is_told(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Unavailable, match="not installed"):
        await read(str(repo.folder), "status")


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"plain", "plain"),
        ("中文 é".encode(), "中文 é"),
        ("é ñ".encode("latin-1"), "é ñ"),
        (b"smart \x93quotes\x94", "smart “quotes”"),
        (b"a\0b", "ab"),
        (b"\x81", "\ufffd"),
    ],
)
def test_bytes_become_text(raw: bytes, shown: str) -> None:
    assert text(raw) == shown


async def test_ages_are_those_of_the_last_commit(repo: Repo) -> None:
    repo.commit("first", {"a.md": "1", "sub/b.md": "1", "ünï.md": "1"})
    first = int(repo.git("log", "-1", "--format=%at"))
    repo.commit("second", {"a.md": "2"})
    second = int(repo.git("log", "-1", "--format=%at"))
    found = await ages(str(repo.folder), ["a.md", "sub/b.md", "ünï.md", "untracked.md"])
    assert {path: int(moment.timestamp()) for path, moment in found.items()} == {
        "a.md": second,
        "sub/b.md": first,
        "ünï.md": first,
    }
    assert list(await ages(str(repo.folder / "sub"), ["b.md"])) == ["b.md"]
    many = [f"x{number}.md" for number in range(300)]
    assert list(await ages(str(repo.folder), [*many, "a.md"])) == ["a.md"]


async def test_there_are_no_ages_without_commits_or_a_repository(repo: Repo, tmp_path: Path) -> None:
    assert await ages(str(repo.folder), ["a.md"]) == {}
    assert await ages(str(tmp_path), ["a.md"]) == {}
    assert await ages(str(tmp_path), []) == {}
