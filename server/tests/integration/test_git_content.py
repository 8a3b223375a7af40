"""The git connector on hostile and old content: encodings, huge messages, odd names, settings that run programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from devlore.types import TITLE_LIMIT
from devlore_server.integration.connectors.git import GitConnector
from devlore_server.integration.connectors.git.history import FILES_KEPT, Parser
from devlore_server.integration.connectors.git.repository import forge_of
from tests.integration.pulling import pull
from tests.integration.repositories import Repo

git = GitConnector()


def config(repo: Repo) -> dict[str, object]:
    return {"path": str(repo.folder)}


async def test_messages_that_are_not_utf8_are_read_as_what_they_are(repo: Repo) -> None:
    repo.git("config", "i18n.commitEncoding", "UTF-8")
    repo.commit("Größe\n\nnaïve".encode("latin-1"))
    repo.commit("中文 and 🙂")
    declared = "Überlauf".encode("latin-1")
    repo.git("-c", "i18n.commitEncoding=ISO-8859-1", "commit", "-q", "--allow-empty", "-F", "-", given=declared)
    assert (await pull(git, config(repo))).titles == ["Größe", "中文 and 🙂", "Überlauf"]


async def test_names_that_are_not_utf8_and_absurd_dates_are_survived(repo: Repo) -> None:
    tree = repo.git("mktree", given=b"")
    for author, date in ((b"J\xf6rg <j@x>", b"99999999999999"), (b" <>", b"0"), (b"No Mail <>", b"1700000000")):
        raw = b"tree %s\nauthor %s %s +0000\ncommitter C <c@x> 1700000000 +0000\n\nm\n" % (tree.encode(), author, date)
        sha = repo.git("hash-object", "-t", "commit", "-w", "--stdin", "--literally", given=raw)
        repo.git("update-ref", f"refs/heads/{sha}", sha)
    authors = {one.draft.source.author for one in (await pull(git, config(repo))).drafts if one.draft.source}
    assert {"Jörg <j@x>", "No Mail"} <= authors


async def test_a_message_with_nul_ends_there(repo: Repo) -> None:
    tree = repo.git("mktree", given=b"")
    raw = f"tree {tree}\nauthor A <a@x> 1 +0000\ncommitter A <a@x> 1700000000 +0000\n\nbefore\0after\n".encode()
    sha = repo.git("hash-object", "-t", "commit", "-w", "--stdin", "--literally", given=raw)
    repo.git("update-ref", "refs/heads/main", sha)
    (one,) = (await pull(git, config(repo))).drafts
    assert one.draft.title == "before"
    assert "\0" not in one.draft.body


async def test_long_subjects_keep_their_end_in_the_body(repo: Repo) -> None:
    subject = "word " * 200
    repo.commit(f"{subject.strip()}\n\nmore")
    repo.commit("folded\nsubject\n\nbody")
    repo.commit("")
    long, folded, none = (one.draft for one in (await pull(git, config(repo))).drafts)
    assert len(long.title) == TITLE_LIMIT
    assert long.title.endswith("…")
    assert subject.strip() in long.body
    assert (folded.title, folded.body.splitlines()[0]) == ("folded subject", "body")
    assert none.title.startswith("Commit ")


async def test_a_giant_message_is_cut_and_many_files_are_counted(repo: Repo) -> None:
    repo.commit("Import\n\n" + "x" * 300_000, {f"dir/f{n:03}": "x" for n in range(70)})
    (one,) = (await pull(git, config(repo))).drafts
    assert len(one.draft.body) < 110_000
    assert "Files changed (70):" in one.draft.body
    assert one.draft.body.endswith(f"- and {70 - FILES_KEPT} more")
    assert len(one.draft.links) == 21


async def test_file_names_of_every_sort_are_kept(repo: Repo) -> None:
    names = {"with space.txt", "ünïcode.md", "new\nline", "-rf", "tab\there", 'quo"te', "a\x01b", "M"}
    repo.commit("names", dict.fromkeys(names, "x"))
    repo.commit("next", {"f": "1"})
    first, second = (one.draft for one in (await pull(git, config(repo))).drafts)
    assert {link.target for link in first.links[1:]} == names
    assert [link.target for link in second.links[1:]] == ["f"]


async def test_a_repositorys_own_settings_run_nothing(repo: Repo, tmp_path: Path) -> None:
    repo.commit("base")
    mark = tmp_path / "ran"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {mark}\n")
    program.chmod(0o755)
    for setting in ("core.fsmonitor", "core.pager", "diff.external", "gpg.program", "core.sshCommand", "core.editor"):
        repo.git("config", setting, str(program))
    repo.git("config", "log.showSignature", "true")
    repo.git("config", "core.hooksPath", str(tmp_path))
    assert (await pull(git, config(repo))).titles == ["base"]
    assert not mark.exists()


async def test_a_mail_map_joins_a_persons_names(repo: Repo) -> None:
    repo.commit("base", {".mailmap": "Ada Lovelace <ada@lovelace.org> <ada@x.org>\n"})
    (one,) = (await pull(git, config(repo))).drafts
    assert one.draft.source
    assert one.draft.source.author == "Ada Lovelace <ada@lovelace.org>"


async def test_the_environment_of_a_hook_does_not_lead_astray(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.commit("right")
    Repo(tmp_path / "other").commit("wrong")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    assert (await pull(git, config(repo))).titles == ["right"]


async def test_the_forge_of_origin_gives_addresses_and_qualifies_tickets(repo: Repo) -> None:
    repo.git("remote", "add", "origin", "https://user:secret@github.com/acme/api.git")
    sha = repo.commit("Close #3")
    (one,) = (await pull(git, config(repo))).drafts
    assert one.draft.source
    assert one.draft.source.url == f"https://github.com/acme/api/commit/{sha}"
    assert one.draft.links[1].target == "acme/api#3"
    assert one.draft.project == "api"
    assert "user:secret" not in one.draft.model_dump_json()


@pytest.mark.parametrize(
    ("remote", "url"),
    [
        ("git@github.com:acme/api.git", "https://github.com/acme/api/commit/abc"),
        ("ssh://git@gitlab.com:22/group/sub/api.git", "https://gitlab.com/group/sub/api/-/commit/abc"),
        ("https://gitlab.example.org/acme/api", "https://gitlab.example.org/acme/api/-/commit/abc"),
        ("git@bitbucket.org:acme/api.git", "https://bitbucket.org/acme/api/commits/abc"),
        ("https://codeberg.org/acme/api/", "https://codeberg.org/acme/api/commit/abc"),
        ("https://git.example.org/acme/api.git", None),
    ],
)
def test_forges_are_told_from_their_remotes(remote: str, url: str | None) -> None:
    forge = forge_of(remote)
    assert forge is not None
    assert forge.commit_url("abc") == url


@pytest.mark.parametrize("remote", ["/srv/git/api.git", "../api", "file:///srv/api", "", "api"])
def test_local_remotes_are_no_forge(remote: str) -> None:
    assert forge_of(remote) is None


def test_output_may_be_cut_anywhere() -> None:
    sha = b"a" * 40
    tokens = [sha, b"", b"A", b"a@x", b"1", b"2", b"subject\n", b"", b"\nM", b"x", b"A", b"y", b"b" * 40, sha]
    tokens += [b"B", b"b@x", b"1", b"2", b"", b""]
    for cut in range(len(tokens) + 1):
        parser = Parser()
        commits = [*parser.feed(tokens[:cut]), *parser.feed(tokens[cut:]), *parser.end()]
        assert [(one.author, one.files, one.parents) for one in commits] == [
            ("A", ["x", "y"], []),
            ("B", [], ["a" * 40]),
        ]
