"""Any history, read in any pieces: what is stored in the end is what the source has, no more and no less.

Commits, branches, merges, rewrites, deletions and interruptions in random order, against a set as the model.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from devlore_server.integration.connector import Batch, Connector
from devlore_server.integration.connectors.git import GitConnector
from devlore_server.integration.connectors.markdown import MarkdownConnector
from tests.integration.pulling import pull
from tests.integration.repositories import Repo

BRANCHES = st.sampled_from(["main", "a", "b", "c"])
NAMES = st.sampled_from(["adr/0001-x.md", "adr/0002-y.md", "adr/0003-z.md", "n/a.md", "n/b.md"])
STATUSES = st.sampled_from(
    [
        "Accepted",
        "Rejected",
        "Proposed",
        "Superseded by ADR 1",
        "Superseded by [2](0002-y.md)",
        "Accepted\n\nSupersedes ADR 3",
    ]
)


class Store:
    """What the memory service would hold: batches applied one by one, with the sweep of a full read."""

    def __init__(self) -> None:
        self.items: dict[str, tuple[Any, ...]] = {}
        self.seen: set[str] = set()
        self.checkpoint: Any = None

    def apply(self, batch: Batch) -> None:
        if batch.restart:
            self.seen = set()
        for one in batch.drafts:
            assert one.draft.source
            id = one.draft.source.external_id or ""
            self.items[id] = (one.draft.title, one.draft.body, one.status, one.superseded_by)
            self.seen.add(id)
        self.seen.update(batch.present)
        for id in batch.deleted:
            self.items.pop(id, None)
        if batch.sweep:
            self.items = {id: item for id, item in self.items.items() if id in self.seen}
        self.checkpoint = batch.checkpoint or self.checkpoint


class Machine(RuleBasedStateMachine):
    """A source that changes, and a store that reads it now and then, sometimes not to the end."""

    connector: Connector

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="dvl-history-"))
        self.store = Store()
        self.config: dict[str, Any] = {"path": str(self.root / "source")}

    def teardown(self) -> None:
        shutil.rmtree(self.root)

    def read(self, store: Store, most: int = 10_000) -> None:
        for batch in asyncio.run(pull(self.connector, self.config, store.checkpoint, most=most)).batches:
            store.apply(batch)

    @rule(most=st.integers(1, 3))
    def read_and_be_interrupted(self, most: int) -> None:
        self.read(self.store, most)


class GitHistories(Machine):
    connector = GitConnector()

    def __init__(self) -> None:
        super().__init__()
        self.repo = Repo(self.root / "source")
        self.repo.commit("first")
        self.count = 0

    def branches(self) -> list[str]:
        return self.repo.git("for-each-ref", "--format=%(refname:short)", "refs/heads").split()

    @rule(branch=BRANCHES)
    def commit(self, branch: str) -> None:
        self.count += 1
        self.repo.git("checkout", "-q", *([] if branch in self.branches() else ["-b"]), branch)
        self.repo.commit(f"{branch} {self.count}", {branch: str(self.count)})

    @rule(branch=BRANCHES)
    def merge(self, branch: str) -> None:
        if branch in self.branches():
            self.repo.git("merge", "-q", "--no-ff", "-X", "ours", "-m", "merge", branch)

    @rule(steps=st.integers(1, 2))
    def rewrite(self, steps: int) -> None:
        if int(self.repo.git("rev-list", "--count", "--first-parent", "HEAD")) > steps:
            self.repo.git("reset", "-q", "--hard", f"HEAD~{steps}")

    @rule(steps=st.integers(1, 2), branch=BRANCHES)
    def rewrite_between_two_readings(self, steps: int, branch: str) -> None:
        self.commit(branch)
        self.read_to_the_end()
        self.rewrite(steps)
        self.read_to_the_end()

    @rule(branch=BRANCHES)
    def delete(self, branch: str) -> None:
        if branch in self.branches() and branch != self.repo.git("branch", "--show-current"):
            self.repo.git("branch", "-q", "-D", branch)

    @rule()
    def collect_garbage(self) -> None:
        self.repo.git("reflog", "expire", "--expire=now", "--all")
        self.repo.git("gc", "-q", "--prune=now")

    @rule(merges=st.booleans())
    def change_settings(self, merges: bool) -> None:
        self.config["merges"] = merges

    @rule()
    def read_to_the_end(self) -> None:
        self.read(self.store)
        choice = [] if self.config.get("merges") else ["--no-merges"]
        assert set(self.store.items) == set(self.repo.git("rev-list", "--branches", "HEAD", *choice).split())


class Folders(Machine):
    connector = MarkdownConnector()

    def __init__(self) -> None:
        super().__init__()
        self.folder = self.root / "source"
        self.folder.mkdir()
        self.moment = 1_000_000_000

    @rule(name=NAMES, status=STATUSES)
    def write(self, name: str, status: str) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"# {name}\n\nDate: 2020-01-01\n\n## Status\n\n{status}\n")

    @rule(name=NAMES)
    def break_encoding(self, name: str) -> None:
        if (self.folder / name).exists():
            (self.folder / name).write_bytes(b"\xff\xfe\xfd")

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        (self.folder / name).unlink(missing_ok=True)

    @rule(old=NAMES, new=NAMES)
    def rename(self, old: str, new: str) -> None:
        if (self.folder / old).exists():
            (self.folder / new).parent.mkdir(exist_ok=True)
            (self.folder / old).rename(self.folder / new)

    @rule()
    def read_to_the_end(self) -> None:
        self.read(self.store)
        fresh = Store()
        self.read(fresh)
        # A file that cannot be read any more keeps its last memory; a fresh reader never saw it.
        readable = {id: item for id, item in self.store.items.items() if not self.broken(id)}
        alone = {id: item[:2] for id, item in readable.items()}
        assert alone == {id: item[:2] for id, item in fresh.items.items()}
        if len(readable) == len(self.store.items):
            assert self.store.items == fresh.items

    def broken(self, id: str) -> bool:
        return Path(id).exists() and Path(id).read_bytes().startswith(b"\xff")

    @invariant()
    def remembers_no_more_than_there_was(self) -> None:
        assert len(self.store.items) <= 5


_PROFILE = settings(
    max_examples=12, stateful_step_count=18, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
TestGitHistories = GitHistories.TestCase
TestGitHistories.settings = _PROFILE
TestFolders = Folders.TestCase
TestFolders.settings = settings(_PROFILE, max_examples=30, stateful_step_count=25)
