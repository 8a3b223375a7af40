"""The git connector on real repositories: what it reads, what it remembers, what it finds gone."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from devlore.problems import Invalid
from devlore.types import TargetKind, Trust
from devlore_server.integration.connectors.git import GitConnector
from tests.integration.pulling import pull
from tests.integration.repositories import Repo

git = GitConnector()


def config(repo: Repo, **more: object) -> dict[str, object]:
    return {"path": str(repo.folder), **more}


async def test_a_commit_becomes_a_change(repo: Repo) -> None:
    sha = repo.commit("Fix the pool\n\nIt leaked.\n\nFixes #12\n", {"src/pool.py": "x", "README.md": "y"})
    (one,) = (await pull(git, config(repo))).drafts
    draft = one.draft
    assert (draft.kind, draft.title, draft.project, draft.trust) == ("change", "Fix the pool", "app", Trust.CONNECTOR)
    assert draft.body == "It leaked.\n\nFixes #12\n\nFiles changed (2):\n- README.md\n- src/pool.py"
    assert draft.source is not None
    assert (draft.source.connector, draft.source.external_id) == ("git", sha)
    assert draft.source.author == "Ada L <ada@x.org>"
    assert draft.source.url is None
    assert draft.occurred_at == datetime.fromtimestamp(int(repo.git("log", "-1", "--format=%at")), UTC)
    targets = [(link.target_kind, link.target) for link in draft.links]
    assert targets == [
        (TargetKind.COMMIT, sha),
        (TargetKind.TICKET, "#12"),
        (TargetKind.FILE, "README.md"),
        (TargetKind.FILE, "src/pool.py"),
    ]


async def test_commits_come_oldest_first_and_only_once(repo: Repo) -> None:
    repo.commit("one")
    repo.commit("two")
    first = await pull(git, config(repo))
    assert first.titles == ["one", "two"]
    assert (first.expected, first.restart, first.sweep) == (2, True, True)
    repo.commit("three")
    second = await pull(git, config(repo), first.checkpoint)
    assert second.titles == ["three"]
    assert (second.expected, second.restart, second.sweep, second.deleted) == (1, False, False, [])
    third = await pull(git, config(repo), second.checkpoint)
    assert (third.drafts, third.expected) == ([], 0)


async def test_every_branch_is_read_by_default_and_named_ones_when_asked(repo: Repo) -> None:
    repo.commit("base")
    repo.git("checkout", "-q", "-b", "release/1")
    repo.commit("released", {"r": "1"})
    repo.git("checkout", "-q", "-b", "wild", "main")
    repo.commit("wild idea", {"w": "1"})
    assert sorted((await pull(git, config(repo))).titles) == ["base", "released", "wild idea"]
    assert (await pull(git, config(repo, branches=["main"]))).titles == ["base"]
    assert (await pull(git, config(repo, branches=["release/*"]))).titles == ["base", "released"]
    assert (await pull(git, config(repo, branches=["HEAD"]))).titles == ["base", "wild idea"]
    with pytest.raises(Invalid, match="No branch"):
        await pull(git, config(repo, branches=["mian"]))


async def test_merges_are_left_out_unless_asked_for(repo: Repo) -> None:
    repo.commit("base", {"a": "1"})
    repo.git("checkout", "-q", "-b", "topic")
    repo.commit("work", {"b": "1"})
    repo.git("checkout", "-q", "main")
    repo.commit("meanwhile", {"c": "1"})
    repo.merge("topic", "Merge pull request #7 from ada/topic\n\nA better pool")
    without = await pull(git, config(repo))
    assert sorted(without.titles) == ["base", "meanwhile", "work"]
    assert without.expected == 3
    whole = await pull(git, config(repo, merges=True))
    merge = whole.named("Merge pull request #7 from ada/topic").draft
    assert merge.body == "A better pool"
    assert [link.target for link in merge.links[1:]] == ["#7"]
    assert (await pull(git, config(repo), without.checkpoint)).drafts == []


async def test_since_leaves_out_older_commits(repo: Repo) -> None:
    repo.commit("old")
    repo._clock += 86_400 * 30
    repo.commit("new")
    pulled = await pull(git, config(repo, since="2023-11-20"))
    assert (pulled.titles, pulled.expected) == (["new"], 1)
    assert (await pull(git, config(repo, since="20 years ago"))).titles == ["old", "new"]
    with pytest.raises(Invalid) as refused:
        await pull(git, config(repo, since="whenever"))
    assert refused.value.extra["errors"][0]["pointer"] == "/config/since"


async def test_other_settings_read_everything_again(repo: Repo) -> None:
    repo.commit("base")
    first = await pull(git, config(repo))
    again = await pull(git, config(repo, merges=True), first.checkpoint)
    assert (again.titles, again.restart, again.sweep) == (["base"], True, True)


async def test_a_rewritten_branch_loses_its_old_commits(repo: Repo) -> None:
    repo.commit("base")
    old = repo.commit("typo")
    first = await pull(git, config(repo))
    repo.git("commit", "-q", "--amend", "-m", "no typo")
    second = await pull(git, config(repo), first.checkpoint)
    assert (second.titles, second.deleted) == (["no typo"], [old])
    assert (second.restart, second.sweep) == (False, False)


async def test_a_deleted_branch_loses_only_what_no_other_has(repo: Repo) -> None:
    repo.commit("base")
    repo.git("checkout", "-q", "-b", "topic")
    lost = repo.commit("on topic")
    first = await pull(git, config(repo))
    repo.git("checkout", "-q", "main")
    repo.git("branch", "-D", "topic")
    second = await pull(git, config(repo), first.checkpoint)
    assert (second.drafts, second.deleted) == ([], [lost])
    repo.git("branch", "topic", lost)
    third = await pull(git, config(repo), second.checkpoint)
    assert third.ids == [lost]


async def test_a_tip_that_was_collected_as_garbage_makes_everything_be_read(repo: Repo) -> None:
    repo.commit("base")
    repo.commit("doomed")
    first = await pull(git, config(repo))
    repo.git("reset", "-q", "--hard", "HEAD~1")
    repo.git("reflog", "expire", "--expire=now", "--all")
    repo.git("gc", "-q", "--prune=now")
    second = await pull(git, config(repo), first.checkpoint)
    assert (second.titles, second.deleted) == (["base"], [])
    assert (second.restart, second.sweep) == (True, True)


async def test_an_interrupted_pull_goes_on_behind_its_last_batch(tmp_path: Path) -> None:
    repo = Repo(tmp_path / "long")
    script = "".join(
        f"commit refs/heads/main\ncommitter A <a@x> {1_600_000_000 + n} +0000\ndata 5\nc{n:04}\n"
        f"M 100644 inline f\ndata 4\n{n:04}\n"
        for n in range(1, 1_301)
    )
    repo.git("fast-import", "--quiet", given=script.encode())
    whole = await pull(git, config(repo))
    assert whole.expected == 1_300
    assert [len(batch.drafts) for batch in whole.batches] == [0, 500, 500, 300, 0]
    half = await pull(git, config(repo), most=2)
    assert half.checkpoint["whole"]
    rest = await pull(git, config(repo), half.checkpoint)
    assert half.titles + rest.titles == whole.titles
    assert (rest.expected, rest.restart, rest.sweep) == (800, False, True)
    assert rest.checkpoint == whole.checkpoint


async def test_a_pull_interrupted_among_parallel_branches_loses_nothing(repo: Repo) -> None:
    base = repo.commit("base")
    for number in range(4):
        repo.git("checkout", "-q", "-b", f"b{number}", base)
        for step in range(3):
            repo.commit(f"b{number}.{step}", {f"f{number}": f"{step}"})
    everything = await pull(git, config(repo))
    assert len(everything.drafts) == 13
    # As if a batch had ended behind the first branch.
    first = {**everything.checkpoint, "tips": [repo.git("rev-parse", "b0")], "whole": True}
    rest = await pull(git, config(repo), first)
    assert sorted(rest.titles) == sorted(f"b{number}.{step}" for number in (1, 2, 3) for step in range(3))


async def test_an_empty_repository_is_no_error(repo: Repo) -> None:
    empty = await pull(git, config(repo))
    assert (empty.drafts, empty.expected) == ([], 0)
    repo.commit("first")
    assert (await pull(git, config(repo), empty.checkpoint)).titles == ["first"]


async def test_a_detached_head_is_read(repo: Repo) -> None:
    repo.commit("base")
    repo.git("checkout", "-q", "--detach")
    repo.commit("on no branch")
    assert (await pull(git, config(repo))).titles == ["base", "on no branch"]


async def test_bare_repositories_worktrees_subfolders_and_submodules_are_repositories(
    repo: Repo, tmp_path: Path
) -> None:
    repo.commit("base", {"deep/er/file": "x"})
    repo.git("clone", "-q", "--bare", str(repo.folder), str(tmp_path / "bare.git"))
    assert (await pull(git, {"path": str(tmp_path / "bare.git")})).titles == ["base"]
    repo.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    assert (await pull(git, {"path": str(tmp_path / "side")})).titles == ["base"]
    place = await git.check({"path": str(repo.folder / "deep" / "er")})
    assert place.config == {"path": str(repo.folder)}
    outer = Repo(tmp_path / "outer")
    outer.commit("outer")
    outer.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(repo.folder), "sub")
    assert (await pull(git, {"path": str(outer.folder / "sub")})).titles == ["base"]


async def test_a_shallow_clone_is_read_again_once_it_is_deepened(repo: Repo, tmp_path: Path) -> None:
    repo.commit("one")
    repo.commit("two")
    shallow = tmp_path / "shallow"
    repo.git("clone", "-q", "--depth=1", f"file://{repo.folder}", str(shallow))
    first = await pull(git, {"path": str(shallow)})
    assert first.titles == ["two"]
    repo.git("-C", str(shallow), "fetch", "-q", "--unshallow")
    second = await pull(git, {"path": str(shallow)}, first.checkpoint)
    assert (second.titles, second.restart) == (["one", "two"], True)


@pytest.mark.parametrize("path", ["nowhere", "plain"])
async def test_what_is_no_repository_is_refused_by_name(tmp_path: Path, path: str) -> None:
    (tmp_path / "plain").mkdir()
    with pytest.raises(Invalid) as refused:
        await git.check({"path": str(tmp_path / path)})
    assert refused.value.extra["errors"][0]["pointer"] == "/config/path"
    assert path in str(refused.value)


async def test_settings_that_are_unknown_or_look_like_options_are_refused(repo: Repo) -> None:
    repo.commit("base")
    for bad in ({"colour": "red"}, {"branches": ["--all"]}, {"branches": ["a b"]}, {"merges": "perhaps"}):
        with pytest.raises(Invalid) as refused:
            await git.check(config(repo, **bad))
        assert refused.value.extra["errors"][0]["pointer"].startswith(f"/config/{next(iter(bad))}")


async def test_a_repository_that_went_away_is_a_problem_not_a_deletion(repo: Repo) -> None:
    repo.commit("base")
    place = await git.check(config(repo))
    first = await pull(git, place.config)
    shutil.rmtree(repo.folder)
    with pytest.raises(Invalid, match="not a folder"):
        await pull(git, place.config, first.checkpoint)
