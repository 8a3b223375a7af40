"""Repositories that were made to do harm or by broken tools: nothing is run, nothing leaks, nothing stops the rest."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from devlore.problems import Invalid, Unavailable
from devlore.types import ConnectionDraft, LinkType, TargetKind
from devlore_server.integration.connectors.git import GitConnector
from devlore_server.integration.connectors.git.repository import forge_of, tips
from devlore_server.integration.connectors.markdown import MarkdownConnector
from devlore_server.integration.service import IntegrationService
from devlore_server.kit.auth import Principal
from devlore_server.memory.service import MemoryService
from devlore_server.memory.store.listing import Filters
from tests.integration.conftest import ended
from tests.integration.pulling import Pulled, pull
from tests.integration.repositories import Repo

git, markdown = GitConnector(), MarkdownConnector()


async def read(repo: Repo, **config: object) -> Pulled:
    return await pull(git, {"path": str(repo.folder), **config})


def raw_commit(repo: Repo, head: bytes, message: bytes, branch: str = "main") -> str:
    """A commit with headers as no git would write them."""
    tree = repo.git("mktree", given=b"").encode()
    raw = b"tree " + tree + b"\n" + head + b"\n" + message
    sha = repo.git("hash-object", "-t", "commit", "-w", "--stdin", "--literally", given=raw)
    repo.git("update-ref", f"refs/heads/{branch}", sha)
    return sha


@pytest.fixture
def trap(tmp_path: Path) -> tuple[Path, Path]:
    """A program that leaves a mark when anybody runs it, and the mark."""
    program, mark = tmp_path / "trap.sh", tmp_path / "ran"
    program.write_text(f"#!/bin/sh\necho ran >> {mark}\ncat\n")
    program.chmod(0o755)
    return program, mark


HOOKS = ("post-checkout", "post-index-change", "fsmonitor-watchman", "reference-transaction", "pre-auto-gc")
PROGRAMS = [
    "core.fsmonitor",
    "core.sshCommand",
    "core.pager",
    "core.editor",
    "core.askPass",
    "core.gitProxy",
    "core.alternateRefsCommand",
    "diff.external",
    "diff.spy.command",
    "diff.spy.textconv",
    "filter.spy.clean",
    "filter.spy.smudge",
    "filter.spy.process",
    "gpg.program",
    "gpg.ssh.program",
    "credential.helper",
    "pager.log",
    "pager.for-each-ref",
    "interactive.diffFilter",
    "sequence.editor",
    "uploadpack.packObjectsHook",
    "trailer.spy.command",
    "trailer.spy.cmd",
    "alias.log",
    "alias.rev-list",
]


async def test_nothing_a_repository_names_is_ever_run(repo: Repo, trap: tuple[Path, Path]) -> None:
    program, mark = trap
    files = {".gitattributes": "* diff=spy filter=spy\n", "a.md": "# a", "b.bin": "x"}
    repo.commit("base\n\nspy: yes", files)
    for setting in PROGRAMS:
        repo.git("config", setting, f"!{program}" if setting.startswith("alias") else str(program))
    for hook in HOOKS:
        (repo.folder / ".git" / "hooks" / hook).write_bytes(program.read_bytes())
        (repo.folder / ".git" / "hooks" / hook).chmod(0o755)
    os.utime(repo.folder / "a.md", (1, 1))
    place = await git.check({"path": str(repo.folder)})
    assert (await pull(git, place.config)).titles == ["base"]
    assert (await pull(markdown, {"path": str(repo.folder)})).titles == ["a"]
    assert not mark.exists()


async def test_settings_that_change_what_git_prints_change_nothing(repo: Repo) -> None:
    repo.commit("base\n\nFixes #1", {"dir/a": "1"})
    plain = await read(repo)
    settings = {
        "log.showRoot": "false",
        "log.follow": "true",
        "log.decorate": "full",
        "log.abbrevCommit": "true",
        "log.diffMerges": "on",
        "log.date": "relative",
        "log.showSignature": "true",
        "format.pretty": "oneline",
        "format.notes": "true",
        "diff.orderFile": "/nowhere/at/all",
        "diff.relative": "true",
        "diff.renames": "copies",
        "diff.ignoreSubmodules": "all",
        "diff.noprefix": "true",
        "color.ui": "always",
        "column.ui": "always",
        "core.quotePath": "true",
        "core.abbrev": "4",
        "i18n.logOutputEncoding": "UTF-16",
        "submodule.recurse": "true",
        "core.untrackedCache": "true",
    }
    for name, value in settings.items():
        repo.git("config", name, value)
    repo.git("notes", "add", "-m", "a note", "HEAD")
    assert (await read(repo)).drafts == plain.drafts


async def test_replaced_objects_are_read_as_they_were_committed(repo: Repo) -> None:
    true = repo.commit("what happened")
    repo.git("checkout", "-q", "--detach")
    false = repo.commit("what somebody would like", None, "--amend")
    repo.git("checkout", "-q", "main")
    repo.git("replace", true, false)
    assert (await read(repo)).titles == ["what happened"]


async def test_a_working_tree_set_to_another_place_is_refused_in_gits_words(repo: Repo, tmp_path: Path) -> None:
    repo.commit("base")
    (tmp_path / "secret").mkdir()
    repo.git("config", "core.worktree", str(tmp_path / "secret"))
    with pytest.raises(Invalid, match="could not read") as refused:
        await git.check({"path": str(repo.folder)})
    assert refused.value.extra["errors"][0]["pointer"] == "/config/path"


async def test_settings_git_cannot_read_are_a_problem_not_a_crash(repo: Repo) -> None:
    repo.commit("base")
    place = await git.check({"path": str(repo.folder)})
    with (repo.folder / ".git" / "config").open("a") as file:
        file.write("[diff]\n\talgorithm = bogus\n")
    with pytest.raises(Unavailable, match="algorithm"):
        await pull(git, place.config)


async def test_a_reference_to_nothing_is_named(repo: Repo) -> None:
    repo.commit("base")
    (repo.folder / ".git" / "refs" / "heads" / "broken").write_text("1" * 40 + "\n")
    with pytest.raises(Unavailable, match=r"bad object 1{40}"):
        await read(repo)


@pytest.mark.parametrize("name", ["-all", "--all", "--output=/tmp/x", "-c core.pager=x", "a..b", "HEAD^{/x}", ":/x"])
async def test_a_branch_pattern_never_becomes_an_option_or_a_revision(repo: Repo, name: str, tmp_path: Path) -> None:
    repo.commit("base")
    with pytest.raises(Invalid) as refused:
        await git.check({"path": str(repo.folder), "branches": [name]})
    assert refused.value.extra["errors"][0]["pointer"].startswith("/config/branches")
    assert await tips(str(repo.folder), [name]) == []


async def test_references_named_like_options_are_just_names(repo: Repo, tmp_path: Path) -> None:
    sha = repo.commit("base")
    heads = repo.folder / ".git" / "refs" / "heads"
    for name in ("--all", "-n1", "--output=x", "HEAD", "@{u}x"):
        (heads / name).write_text(f"{sha}\n")
    assert (await read(repo)).titles == ["base"]
    assert not (repo.folder / "x").exists()


@pytest.mark.parametrize("folder", ["-C", "--help", "a\nb", "ünï 中", "$(touch ran)", "*", "with'quote\""])
async def test_folders_with_odd_names_are_folders(tmp_path: Path, folder: str) -> None:
    repo = Repo(tmp_path / folder)
    repo.commit("base", {"note.md": "# note"})
    assert (await read(repo)).titles == ["base"]
    assert (await pull(markdown, {"path": str(repo.folder)})).titles == ["note"]
    assert not list(tmp_path.rglob("ran"))


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "/dev/null", "/proc/self/environ", "/nowhere", "/a\0b", "", "//", "/.."]
)
async def test_paths_that_are_no_repository_are_refused(path: str) -> None:
    with pytest.raises(Invalid) as refused:
        await git.check({"path": path})
    assert refused.value.extra["errors"][0]["pointer"] == "/config/path"


async def test_a_repository_of_another_account_is_read_when_it_is_named(repo: Repo) -> None:
    repo.commit("base")
    if os.getuid() == 0:
        subprocess.run(["chown", "-R", "nobody", repo.folder], check=True)
    assert (await read(repo)).titles == ["base"]


async def test_signed_commits_show_no_signature(repo: Repo) -> None:
    head = (
        b"author A <a@x> 1700000000 +0000\ncommitter A <a@x> 1700000000 +0000\n"
        b"gpgsig -----BEGIN PGP SIGNATURE-----\n \n iQIzBAABCAAdFiEE\n -----END PGP SIGNATURE-----\n"
    )
    raw_commit(repo, head, b"signed\n\nbody\n")
    (one,) = (await read(repo)).drafts
    assert (one.draft.title, one.draft.body) == ("signed", "body")


async def test_declared_encodings_are_decoded_and_unknown_ones_survived(repo: Repo) -> None:
    who = b"author \xc1\xe4\xe0 <a@x> 1700000000 +0000\ncommitter C <c@x> 1700000000 +0000\n"
    raw_commit(repo, who + b"encoding KOI8-R\n", "Привет".encode("koi8-r"), "koi")
    raw_commit(repo, who + b"encoding Shift_JIS\n", "日本語".encode("shift-jis"), "sjis")
    raw_commit(repo, who + b"encoding made-up\n", b"plain", "none")
    pulled = await read(repo)
    assert sorted(pulled.titles) == sorted(["Привет", "日本語", "plain"])
    assert pulled.named("Привет").draft.source.author == "аДЮ <a@x>"  # type: ignore[union-attr]


async def test_messages_with_carriage_returns_have_a_subject(repo: Repo) -> None:
    repo.commit("Subject\r\n\r\nBody line\r\nanother\r\n", None, "--cleanup=verbatim")
    (one,) = (await read(repo)).drafts
    assert one.draft.title == "Subject"
    assert one.draft.body.startswith("Body line\nanother\n\nFiles changed")


@pytest.mark.parametrize(
    ("author", "shown"),
    [
        (b"A <a@x> 253402300799 +0000", "A <a@x>"),
        (b"A <a@x> -5 +0000", "A <a@x>"),
        (b"A <a@x> 18446744073709551615 +0000", "A <a@x>"),
        (b"A <a@x> 1 +9999", "A <a@x>"),
        (b"A a@x 1700000000 +0000", None),
        (b" <> 1 +0000", None),
        (b"\xff\xfe <\x01@x> 1 +0000", "ÿþ <\x01@x>"),
        (b"A" * 3_000 + b" <a@x> 1 +0000", "A" * 500),
    ],
)
@pytest.mark.usefixtures("worker")
async def test_authors_and_clocks_of_every_sort_can_be_stored(
    service: IntegrationService, memories: MemoryService, who: Principal, repo: Repo, author: bytes, shown: str | None
) -> None:
    raw_commit(repo, b"author " + author + b"\ncommitter C <c@x> 1700000000 +0000\n", b"m")
    connection, _ = await service.connect(who, ConnectionDraft(connector="git", config={"path": str(repo.folder)}))
    sync = await ended(service, who, await service.sync(who, connection.id))
    assert (sync.state, sync.created, sync.failures) == ("done", 1, [])
    (memory,) = await memories.page(who, Filters(), 10)
    if shown is not None:
        assert memory.source and memory.source.author == shown


@pytest.mark.usefixtures("worker")
async def test_paths_longer_than_a_link_cost_only_their_link(
    service: IntegrationService, memories: MemoryService, who: Principal, repo: Repo
) -> None:
    deep = "/".join(["漢" * 80] * 10) + "/x"
    repo.commit("deep", {deep: "1", "short": "1"})
    connection, _ = await service.connect(who, ConnectionDraft(connector="git", config={"path": str(repo.folder)}))
    sync = await ended(service, who, await service.sync(who, connection.id))
    assert (sync.created, sync.failed) == (1, 0)
    (memory,) = await memories.page(who, Filters(), 10)
    assert deep in memory.body


async def test_co_authors_and_other_trailers_stay_in_the_text(repo: Repo) -> None:
    repo.commit("Pair\n\nWhy.\n\nCo-authored-by: Bob B <bob@x.org>\nReviewed-by: Eve <eve@x.org>\n", {})
    (one,) = (await read(repo)).drafts
    assert one.draft.body == "Why.\n\nCo-authored-by: Bob B <bob@x.org>\nReviewed-by: Eve <eve@x.org>"


async def test_references_of_every_kind_in_one_message(repo: Repo) -> None:
    repo.git("remote", "add", "origin", "https://github.com/acme/api")
    repo.commit(
        "Fix the pool (#1)\n\nFixes #2, closes other/lib#3 and resolves ABC-4. See gh-5,"
        " https://github.com/o/r/pull/6 and\nhttps://gitlab.com/g/s/p/-/merge_requests/7.\n\n"
        "This reverts commit 0123456789abcdef0123456789abcdef01234567.\n"
        'Fixes: 54a4f0239f2e ("Break the pool")\n(cherry picked from commit fedcba9876543210)\n',
        {},
    )
    found = {(x.type, x.target_kind, x.target) for x in (await read(repo)).drafts[0].draft.links[1:]}
    ticket, commit = TargetKind.TICKET, TargetKind.COMMIT
    assert found == {
        (LinkType.MENTIONS, ticket, "acme/api#1"),
        (LinkType.FIXES, ticket, "acme/api#2"),
        (LinkType.FIXES, ticket, "other/lib#3"),
        (LinkType.FIXES, ticket, "ABC-4"),
        (LinkType.MENTIONS, ticket, "acme/api#5"),
        (LinkType.MENTIONS, ticket, "o/r#6"),
        (LinkType.MENTIONS, ticket, "g/s/p!7"),
        (LinkType.CONTRADICTS, commit, "0123456789abcdef0123456789abcdef01234567"),
        (LinkType.FIXES, commit, "54a4f0239f2e"),
        (LinkType.DERIVED_FROM, commit, "fedcba9876543210"),
    }


@pytest.mark.parametrize(
    "remote",
    [
        "https://ada:pa@ss@github.com/acme/api",
        "https://ada:s3cret@github.com/acme/api.git",
        "https://s3cret@github.com/acme/api",
        "ssh://ada:pa@ss@github.com:22/acme/api",
    ],
)
def test_no_part_of_a_password_is_taken_for_a_host(remote: str) -> None:
    forge = forge_of(remote)
    assert forge is not None
    assert (forge.host, forge.path) == ("github.com", "acme/api")


@pytest.mark.parametrize("remote", ["https://github.com/a/" + "b" * 3_000, "https://" + "h" * 5_000 + "/a/b"])
async def test_a_remote_too_long_to_be_one_is_none(repo: Repo, remote: str) -> None:
    repo.git("remote", "add", "origin", remote)
    repo.commit("Fixes #1")
    (one,) = (await read(repo)).drafts
    assert one.draft.source and one.draft.source.url is None
    assert one.draft.links[1].target == "#1"


@pytest.mark.usefixtures("worker")
async def test_a_machine_without_git_says_so_and_goes_on_when_it_is_back(
    service: IntegrationService, who: Principal, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.commit("base")
    connection, _ = await service.connect(who, ConnectionDraft(connector="git", config={"path": str(repo.folder)}))
    path = os.environ["PATH"]
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Unavailable, match="not installed"):
        await service.connect(who, ConnectionDraft(connector="git", config={"path": str(repo.folder)}))
    sync = await service.sync(who, connection.id)
    monkeypatch.setenv("PATH", path)
    assert shutil.which("git")
    assert (await ended(service, who, sync)).state == "done"
