"""Repositories of every shape: merges of many, rewritten and unrelated histories, worktrees, clones, branches."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from devlore.problems import Invalid, Unavailable
from devlore.types import LinkType, TargetKind
from devlore_server.integration.connector import Origin
from devlore_server.integration.connectors.git import GitConnector
from tests.integration.pulling import Pulled, pull
from tests.integration.repositories import Repo

git = GitConnector()


async def read(repo: Repo, checkpoint: Any = None, **config: object) -> Pulled:
    return await pull(git, {"path": str(repo.folder), **config}, checkpoint)


def links(pulled: Pulled, title: str) -> list[tuple[LinkType, TargetKind, str]]:
    return [(link.type, link.target_kind, link.target) for link in pulled.named(title).draft.links]


def branches_of(repo: Repo, *names: str) -> None:
    for name in names:
        repo.git("checkout", "-q", "-b", name, "main")
        repo.commit(f"on {name}", {name: name})
    repo.git("checkout", "-q", "main")


@pytest.mark.parametrize("merges", [False, True])
async def test_a_merge_of_many_branches_is_read_once_with_all_they_brought(repo: Repo, merges: bool) -> None:
    repo.commit("base")
    branches_of(repo, "a", "b", "c")
    repo.commit("ahead", {"ahead": "1"})
    repo.git("merge", "-q", "-m", "Merge a, b and c", "a", "b", "c")
    assert len(repo.git("log", "-1", "--format=%P").split()) == 4
    for name in ("a", "b", "c"):
        repo.git("branch", "-q", "-D", name)
    pulled = await read(repo, merges=merges)
    expected = {"base", "ahead", "on a", "on b", "on c"} | ({"Merge a, b and c"} if merges else set())
    assert (set(pulled.titles), len(pulled.titles), pulled.expected) == (expected, len(expected), len(expected))
    assert pulled.checkpoint["tips"] == [repo.git("rev-parse", "HEAD")]
    assert (await read(repo, pulled.checkpoint, merges=merges)).drafts == []


async def test_a_merge_shows_no_files_and_its_parents_do(repo: Repo) -> None:
    repo.commit("base", {"shared": "1"})
    branches_of(repo, "a")
    repo.commit("ahead", {"other": "1"})
    repo.merge("a", "Merge a")
    pulled = await read(repo, merges=True)
    assert pulled.named("Merge a").draft.body == ""
    assert [target for _, kind, target in links(pulled, "on a") if kind is TargetKind.FILE] == ["a"]


async def test_unrelated_histories_are_both_read(repo: Repo) -> None:
    repo.commit("base")
    repo.git("checkout", "-q", "--orphan", "gh-pages")
    repo.commit("pages", {"index.html": "x"})
    first = await read(repo)
    assert sorted(first.titles) == ["base", "pages"]
    repo.git("checkout", "-q", "main")
    repo.git("merge", "-q", "--allow-unrelated-histories", "-m", "join", "gh-pages")
    assert (await read(repo, first.checkpoint, merges=True)).restart, "other settings"
    assert (await read(repo, first.checkpoint)).drafts == []


async def test_a_rename_names_both_paths_and_a_deletion_the_one(repo: Repo) -> None:
    repo.commit("add", {"old/name.py": "x" * 500, "gone.py": "y"})
    repo.git("mv", "old/name.py", "new.py")
    repo.commit("rename", {})
    (repo.folder / "gone.py").unlink()
    repo.commit("delete", {})
    pulled = await read(repo)
    assert {target for _, kind, target in links(pulled, "rename") if kind is TargetKind.FILE} == {
        "old/name.py",
        "new.py",
    }
    assert pulled.named("delete").draft.body == "Files changed (1):\n- gone.py"


async def test_submodules_links_and_modes_are_files_that_changed(repo: Repo, tmp_path: Path) -> None:
    inner = Repo(tmp_path / "inner")
    inner.commit("inner")
    repo.commit("base", {"run.sh": "x"})
    repo.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(inner.folder), "vendor/inner")
    (repo.folder / "link").symlink_to("/etc/passwd")
    (repo.folder / "run.sh").chmod(0o755)
    repo.commit("kinds of change", {})
    pulled = await read(repo)
    assert {target for _, kind, target in links(pulled, "kinds of change") if kind is TargetKind.FILE} == {
        ".gitmodules",
        "vendor/inner",
        "link",
        "run.sh",
    }
    assert "root:" not in pulled.named("kinds of change").draft.body


async def test_a_commit_without_changes_or_message_is_kept(repo: Repo) -> None:
    repo.commit("base")
    sha = repo.commit("", {})
    pulled = await read(repo)
    assert pulled.titles == ["base", f"Commit {sha[:12]}"]
    assert pulled.drafts[1].draft.body == ""


async def test_repositories_with_longer_hashes_are_read(tmp_path: Path) -> None:
    repo = Repo(tmp_path / "plain")
    folder = tmp_path / "sha256"
    folder.mkdir()
    repo.git("init", "-q", "-b", "main", "--object-format=sha256", str(folder))
    long = Repo(folder)
    ids = [long.commit("one", {"a" * 64: "1"}), long.commit("two\n\n" + "b" * 64)]
    first = await read(long)
    assert (first.ids, [len(id) for id in first.ids]) == (ids, [64, 64])
    ids.append(long.commit("three"))
    assert (await read(long, first.checkpoint)).ids == ids[2:]


async def test_a_history_that_was_rewritten_from_its_root_is_replaced(repo: Repo) -> None:
    old = [repo.commit("one"), repo.commit("two")]
    first = await read(repo)
    repo.git("checkout", "-q", "--orphan", "anew")
    repo.commit("all anew")
    repo.git("branch", "-q", "-M", "anew", "main")
    second = await read(repo, first.checkpoint)
    assert (second.titles, sorted(second.deleted)) == (["all anew"], sorted(old))


async def test_a_branch_that_was_reset_and_moved_on_loses_only_its_end(repo: Repo) -> None:
    repo.commit("base")
    lost = [repo.commit("wrong way"), repo.commit("further")]
    first = await read(repo)
    repo.git("reset", "-q", "--hard", "HEAD~2")
    repo.commit("right way")
    second = await read(repo, first.checkpoint)
    assert (second.titles, sorted(second.deleted)) == (["right way"], sorted(lost))
    repo.git("reset", "-q", "--hard", lost[1])
    third = await read(repo, second.checkpoint)
    assert (third.titles, len(third.deleted)) == (["wrong way", "further"], 1)


async def test_all_branches_gone_means_all_commits_gone(repo: Repo) -> None:
    lost = repo.commit("only")
    first = await read(repo)
    repo.git("checkout", "-q", "--orphan", "unborn")
    repo.git("branch", "-q", "-D", "main")
    second = await read(repo, first.checkpoint)
    assert (second.drafts, second.deleted, second.checkpoint["tips"]) == ([], [lost], [])


async def test_worktrees_share_branches_and_each_has_its_own_head(repo: Repo, tmp_path: Path) -> None:
    repo.commit("base")
    repo.git("worktree", "add", "-q", "--detach", str(tmp_path / "side"))
    side = Repo.__new__(Repo)
    side.folder, side._clock = tmp_path / "side", 1_800_000_000
    side.commit("on no branch, in the side tree")
    assert (await read(repo)).titles == ["base"]
    assert (await read(side)).titles == ["base", "on no branch, in the side tree"]
    places = [await git.check({"path": str(folder)}) for folder in (repo.folder, side.folder)]
    assert [place.location for place in places] == [str(repo.folder), str(side.folder)]


async def test_a_git_directory_elsewhere_and_a_link_to_the_folder_are_the_same_place(
    repo: Repo, tmp_path: Path
) -> None:
    repo.commit("base")
    repo.git("init", "-q", "--separate-git-dir", str(tmp_path / "elsewhere.git"))
    (tmp_path / "alias").symlink_to(repo.folder)
    place = await git.check({"path": str(tmp_path / "alias" / "")})
    assert place.location == str(repo.folder)
    assert (await pull(git, {"path": str(tmp_path / "alias")})).titles == ["base"]


async def test_a_clone_without_file_contents_is_read_and_asks_nobody_for_them(repo: Repo, tmp_path: Path) -> None:
    repo.commit("base", {"a.txt": "1"})
    repo.git("config", "uploadpack.allowFilter", "true")
    clone = tmp_path / "partial.git"
    repo.git("clone", "-q", "--bare", "--filter=blob:none", f"file://{repo.folder}", str(clone))
    assert (await pull(git, {"path": str(clone)})).named("base").draft.body == "Files changed (1):\n- a.txt"
    bare = tmp_path / "treeless.git"
    repo.git("clone", "-q", "--bare", "--filter=tree:0", f"file://{repo.folder}", str(bare))
    with pytest.raises(Unavailable, match="could not read"):
        await pull(git, {"path": str(bare)})


async def test_a_shallow_clone_that_follows_its_origin_keeps_its_boundary(repo: Repo, tmp_path: Path) -> None:
    repo.commit("one")
    repo.commit("two")
    shallow = tmp_path / "shallow"
    repo.git("clone", "-q", "--depth=1", f"file://{repo.folder}", str(shallow))
    first = await pull(git, {"path": str(shallow)})
    repo.commit("three")
    repo.git("-C", str(shallow), "pull", "-q")
    second = await pull(git, {"path": str(shallow)}, first.checkpoint)
    assert (first.titles, second.titles, second.restart, second.deleted) == (["two"], ["three"], False, [])


async def test_branches_of_remotes_and_tags_and_stashes_are_not_read(repo: Repo, tmp_path: Path) -> None:
    repo.commit("base")
    upstream = tmp_path / "upstream"
    repo.git("clone", "-q", str(repo.folder), str(upstream))
    other = Repo.__new__(Repo)
    other.folder, other._clock = upstream, 1_800_000_000
    other.commit("upstream only")
    repo.git("fetch", "-q", str(upstream), "main:refs/remotes/origin/main")
    repo.git("checkout", "-q", "--detach")
    repo.commit("tagged only")
    repo.git("tag", "-a", "v1", "-m", "release")
    repo.git("checkout", "-q", "main")
    (repo.folder / "file.txt").write_text("dirty")
    repo.git("stash", "-q")
    assert (await read(repo)).titles == ["base"]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["main"], {"base"}),
        (["release/*"], {"base", "on release/1.0", "on release/2.0"}),
        (["release/1*", "topic?"], {"base", "on release/1.0", "on topic1"}),
        (["[rt]*"], {"base", "on release/1.0", "on release/2.0", "on topic1"}),
        (["*"], {"base", "on release/1.0", "on release/2.0", "on topic1"}),
        (["refs/heads/main", "main"], {"base"}),
    ],
)
async def test_branches_are_chosen_by_name_and_pattern(repo: Repo, patterns: list[str], expected: set[str]) -> None:
    repo.commit("base")
    branches_of(repo, "release/1.0", "release/2.0", "topic1")
    assert set((await read(repo, branches=patterns)).titles) == expected


async def test_a_branch_that_is_chosen_later_by_its_pattern_is_read_then(repo: Repo) -> None:
    repo.commit("base")
    branches_of(repo, "release/1")
    first = await read(repo, branches=["release/*"])
    branches_of(repo, "release/2", "topic")
    second = await read(repo, first.checkpoint, branches=["release/*"])
    assert (second.titles, second.restart) == (["on release/2"], False)
    repo.git("branch", "-q", "-D", "release/1", "release/2")
    with pytest.raises(Invalid, match="No branch"):
        await read(repo, second.checkpoint, branches=["release/*"])
    # The worker does not check again: what was chosen is gone, and so is what only it had.
    config = (await git.check({"path": str(repo.folder)})).config | {"branches": ["release/*"]}
    gone = [id async for batch in git.pull(Origin(config), second.checkpoint) for id in batch.deleted]
    assert set(second.ids) < set(gone)


async def test_names_of_branches_that_break_lines_elsewhere_are_one_name(repo: Repo) -> None:
    repo.commit("base")
    repo.git("branch", "a\u2028deadbeef")
    repo.git("branch", "b\u0085c")
    pulled = await read(repo)
    assert (pulled.titles, pulled.checkpoint["tips"]) == (["base"], [repo.git("rev-parse", "main")])


@pytest.mark.parametrize(
    ("since", "moment"),
    [
        ("2024-01-02", datetime(2024, 1, 2, tzinfo=UTC)),
        ("2024-01-02T03:04:05", datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2024-01-02T03:04:05.678+02:00", datetime(2024, 1, 2, 1, 4, 5, tzinfo=UTC)),
        (1_704_164_645, datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
    ],
)
async def test_since_is_kept_as_a_moment(repo: Repo, since: object, moment: datetime) -> None:
    place = await git.check({"path": str(repo.folder), "since": since})
    assert datetime.fromisoformat(place.config["since"]) == moment
    assert await git.check(place.config) == place, "what is stored means the same when it is checked again"


@pytest.mark.parametrize(("ago", "days"), [("1 day ago", 1), ("2 weeks", 14), ("3 Months Ago", 90), ("10d", 10)])
async def test_a_time_ago_is_fixed_when_it_is_said(repo: Repo, ago: str, days: int) -> None:
    place = await git.check({"path": str(repo.folder), "since": ago})
    away = datetime.now(UTC) - timedelta(days=days) - datetime.fromisoformat(place.config["since"])
    assert abs(away) < timedelta(minutes=1)


@pytest.mark.parametrize("since", ["99999 years ago", "-1 days", "0000-01-01", "", "--all", "1e400", [], {"a": 1}])
async def test_a_since_that_is_no_time_is_refused(repo: Repo, since: object) -> None:
    with pytest.raises(Invalid) as refused:
        await git.check({"path": str(repo.folder), "since": since})
    assert refused.value.extra["errors"][0]["pointer"] == "/config/since"


async def test_with_since_new_commits_follow_and_old_ones_stay_out(repo: Repo) -> None:
    repo.commit("old")
    repo._clock += 86_400 * 30
    repo.commit("recent")
    first = await read(repo, since="2023-11-20")
    repo.commit("newest")
    second = await read(repo, first.checkpoint, since="2023-11-20")
    assert (first.titles, second.titles, second.expected) == (["recent"], ["newest"], 1)
    earlier = await read(repo, second.checkpoint, since="2023-01-01")
    assert (earlier.titles, earlier.restart) == (["old", "recent", "newest"], True)


async def test_nothing_since_is_nothing_and_no_error(repo: Repo) -> None:
    repo.commit("old")
    first = await read(repo, since="2030-01-01")
    assert (first.drafts, first.expected) == ([], 0)
    assert (await read(repo, first.checkpoint, since="2030-01-01")).restart is False
