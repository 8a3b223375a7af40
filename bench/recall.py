"""Measures retrieval quality through the public API: every set, each leg alone, a bootstrap interval, one JSON line.

    python bench/recall.py --data ../data --url http://127.0.0.1:7700 [--sets locomo_session,cosqa] [--project-prefix r]

Each conversation of a set is a project of one shared index, as a user would have it. Nothing here is tuned per set.
"""

import argparse
import importlib.util
import json
import math
import os
import re
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx2
import numpy as np
from numpy.typing import NDArray

BULK = 500
LEGS: Mapping[str, list[str]] = {"hybrid": [], "lexical": ["lexical"], "vector": ["vector"]}
RESAMPLES = 2_000
PATIENCE = 6
_DATES = ("%I:%M %p on %d %B, %Y", "%B-%d-%Y", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d", "%Y年%m月%d日%H:%M")


@dataclass(frozen=True, slots=True)
class Question:
    """A question, the conversation it belongs to, and what answers it, by grade."""

    group: str
    text: str
    gold: Mapping[str, int]
    itself: str | None = None
    kind: str = ""


@dataclass(slots=True)
class Corpus:
    """A set: memories as drafts by (group, document id), questions, and which document replaced which."""

    drafts: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    questions: list[Question] = field(default_factory=list)
    replaced: dict[str, str] = field(default_factory=dict)


Metric = Callable[[Sequence[str], Question], float | None]
"""Scores one ranked list; None where the question does not count for this metric."""


# ------------------------------------------------------------------ metrics


def recall(depth: int) -> Metric:
    """Fraction of the answers among the first `depth`."""
    return lambda ranked, question: len(set(ranked[:depth]) & set(question.gold)) / len(question.gold)


def reciprocal_rank(ranked: Sequence[str], question: Question) -> float:
    """One over the rank of the first answer, 0 beyond 100."""
    return next((1 / rank for rank, found in enumerate(ranked[:100], start=1) if found in question.gold), 0.0)


def ndcg(ranked: Sequence[str], question: Question) -> float:
    """Normalised discounted cumulative gain of the first ten (Järvelin & Kekäläinen 2002)."""
    gains = [question.gold.get(found, 0) for found in ranked[:10]]
    ideal = sorted(question.gold.values(), reverse=True)[:10]
    return _discounted(gains) / _discounted(ideal)


def both(ranked: Sequence[str], question: Question) -> float | None:
    """Of contradictions: whether both statements are among the first ten."""
    if question.kind != "contradiction_resolution":
        return None
    return float(set(question.gold) <= set(ranked[:10]))


def precision(ranked: Sequence[str], question: Question) -> float:
    """Whether the first is an answer."""
    return float(bool(ranked) and ranked[0] in question.gold)


def _discounted(gains: Sequence[int]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))


# ------------------------------------------------------------------ sets


@dataclass(frozen=True, slots=True)
class Set:
    """How a set is read and which numbers it should reach."""

    read: Callable[[ModuleType], Corpus]
    goals: Sequence[tuple[str, Metric, float | None]]


def _draft(text: str, title: str = "", author: str | None = None, date: Any = None) -> dict[str, Any]:
    draft: dict[str, Any] = {"title": " ".join(title.split())[:500], "body": text.replace("\x00", "")}
    if author:
        draft["author"] = author[:500]
    if moment := _moment(date):
        draft["occurred_at"] = moment.isoformat()
    return draft


def _moment(date: Any) -> datetime | None:
    if not isinstance(date, str):
        return None
    try:
        moment = datetime.fromisoformat(date)
    except ValueError:
        formats = (_parsed(date, form) for form in _DATES)
        found = next((moment for moment in formats if moment), None)
        if found is None:
            return None
        moment = found
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _parsed(date: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(date.strip(), form).replace(tzinfo=UTC)
    except ValueError:
        return None


def _conversations(rows: Iterator[dict[str, Any]]) -> Corpus:
    corpus = Corpus()
    for row in rows:
        for id, doc in row["docs"].items():
            said = f"{doc['speaker']}: {doc['text']}" if doc.get("speaker") else doc["text"]
            corpus.drafts[row["group"], id] = _draft(said, author=doc.get("speaker"), date=doc.get("date"))
        if row["gold"]:
            gold = dict.fromkeys(row["gold"], 1)
            corpus.questions.append(Question(row["group"], row["question"], gold, kind=row["type"]))
    return corpus


def _collection(parts: tuple[Any, Any, Any], *, drop_itself: bool = False) -> Corpus:
    documents, queries, grades = parts
    corpus = Corpus()
    for id, doc in documents.items():
        corpus.drafts["all", id] = _draft(doc["text"], doc.get("title", ""), doc.get("author"), doc.get("date"))
    for id, text in queries.items():
        if grades.get(id):
            corpus.questions.append(Question("all", text, grades[id], id if drop_itself else None))
    return corpus


def _in_force(data: ModuleType, *, title: bool) -> Corpus:
    """The documents with the successors their headers name, asked about in the old ones' words or by their titles.

    The answer is what holds now: the end of the successors, not the next of them.
    """
    documents, queries, grades = data.supersession()
    corpus = _collection((documents, {}, {}))
    corpus.replaced = {old: max(successors) for old, successors in grades.items()}
    for old, text in queries.items():
        asked = documents[old]["title"] if title else text
        corpus.questions.append(Question("all", asked, dict.fromkeys(_ends(old, grades), 1)))
    return corpus


def _ends(document: str, successors: Mapping[str, Mapping[str, int]]) -> set[str]:
    following = successors.get(document)
    return {end for one in following for end in _ends(one, successors)} if following else {document}


def _changelog(data: ModuleType) -> Corpus:
    commits, _, _ = data.swebench_issue2commit("pytest-dev/pytest", True)
    _, queries, grades = data.changelog2commit("pytest-dev/pytest")
    return _collection((commits, queries, grades))


R1, R5, R10 = ("R@1", recall(1)), ("R@5", recall(5)), ("R@10", recall(10))
MRR, NDCG, P1 = ("MRR", reciprocal_rank), ("nDCG@10", ndcg), ("P@1", precision)

SETS: Mapping[str, Set] = {
    "locomo_session": Set(
        lambda d: _conversations(d.locomo("session", skip_bad=False, categories=(1, 2, 3, 4, 5))),
        [(*R1, 0.70), (*R5, 0.91), (*R10, 0.95)],
    ),
    "locomo_turn": Set(lambda d: _conversations(d.locomo("turn")), [(*R10, 0.65)]),
    "beam_100k": Set(lambda d: _conversations(d.beam("100K")), [(*R10, 0.50), ("pair@10", both, 0.50)]),
    "memdaily": Set(lambda d: _conversations(d.memdaily()), [(*R10, 0.97)]),
    "issue2commit": Set(lambda d: _collection(d.swebench_issue2commit("pytest-dev/pytest", True)), [(*R10, 0.40)]),
    "changelog2commit": Set(_changelog, [(*NDCG, 0.68)]),
    "gitbugs": Set(lambda d: _collection(d.gitbugs("seamonkey"), drop_itself=True), [(*R10, 0.82)]),
    "cosqa": Set(lambda d: _collection(d.cosqa("dev")), [(*MRR, 0.50)]),
    "supersession": Set(lambda d: _collection(d.supersession(), drop_itself=True), [(*P1, 0.85), (*R10, None)]),
    "in_force": Set(lambda d: _in_force(d, title=False), [(*P1, 0.85), (*R10, None)]),
    "in_force_title": Set(lambda d: _in_force(d, title=True), [(*P1, 0.85), (*R10, None)]),
    "nfcorpus": Set(lambda d: _collection(d.nfcorpus()), [(*NDCG, None)]),
    "cacm": Set(lambda d: _collection(d.cacm()), [(*NDCG, None)]),
    "cranfield": Set(lambda d: _collection(d.cranfield()), [(*NDCG, None)]),
}


def _loaders(folder: Path) -> ModuleType:
    """The data's own readers, which lie beside it."""
    os.environ["DEVLORE_DATA"] = str(folder)
    spec = importlib.util.spec_from_file_location("real_data", folder / "loaders.py")
    if spec is None or spec.loader is None or not (folder / "loaders.py").is_file():
        sys.exit(f"no loaders.py in {folder}: give the data's folder with --data or DEVLORE_DATA")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ------------------------------------------------------------------ the server


class Server:
    """A running Devlore, spoken to as any client would."""

    def __init__(self, url: str, prefix: str) -> None:
        self._http = httpx2.Client(base_url=url, timeout=120)
        self._prefix = prefix

    def refuse_if_used(self) -> None:
        """Exit unless the server is empty, or a prefix keeps the run's projects apart."""
        if not self._prefix and self._json("GET", "/v1/memories", params={"limit": 1})["items"]:
            sys.exit("this server holds memories: use an empty one, or keep the run apart with --project-prefix")

    def load(self, name: str, drafts: Mapping[tuple[str, str], dict[str, Any]]) -> dict[str, str]:
        """Store the drafts; return document id by memory id."""
        known: dict[str, str] = {}
        rest = iter(drafts.items())
        while batch := list(islice(rest, BULK)):
            items = [self._item(name, group, id, draft) for (group, id), draft in batch]
            answered = self._json("POST", "/v1/memories/bulk", json={"items": items})["items"]
            for ((_, id), _), item in zip(batch, answered, strict=True):
                if item["id"] is None:
                    sys.exit(f"{name}/{id} was refused: {item['problem']}")
                known[item["id"]] = id
        return known

    def supersede(self, replaced: Mapping[str, str], known: Mapping[str, str]) -> None:
        """Say of each document which one replaced it, as a sync does from its header."""
        ids = {document: id for id, document in known.items()}
        for old, successor in replaced.items():
            headers = {"If-Match": '"1"'}
            self._json("POST", f"/v1/memories/{ids[old]}/supersede", json={"by": ids[successor]}, headers=headers)

    def wait(self, limit: float) -> float:
        """Wait until every index has caught up; return the seconds it took."""
        start = time.monotonic()
        while time.monotonic() - start < limit:
            indexes = self._json("GET", "/v1/search/status")["indexes"]
            if all(index["lag"] == 0 and index["state"] == "ready" for index in indexes):
                return time.monotonic() - start
            time.sleep(1)
        sys.exit(f"the indexes did not catch up within {limit:.0f} s: {indexes}")

    def search(self, name: str, question: Question, legs: list[str], limit: int) -> list[str]:
        """Ids of the memories found, best first."""
        asked = {"q": plain(question.text), "project": [self._project(name, question.group)], "limit": limit}
        for attempt in range(PATIENCE):
            page = self._json("POST", "/v1/search", json=asked | ({"legs": legs} if legs else {}))
            if not page["degraded"]:
                break
            # A leg that was late on a busy machine would be scored as one that found nothing.
            time.sleep(2**attempt)
        else:
            sys.exit(f"degraded {PATIENCE} times in a row: {page['degraded']}")
        return [hit["memory"]["id"] for hit in page["items"]]

    def _item(self, name: str, group: str, id: str, draft: Mapping[str, Any]) -> dict[str, Any]:
        source = {
            "connector": "bench",
            "external_id": f"{self._prefix}{name}/{group}/{id}",
            "author": draft.get("author"),
        }
        rest = {key: value for key, value in draft.items() if key != "author"}
        return {**rest, "project": self._project(name, group), "source": source}

    def _project(self, name: str, group: str) -> str:
        return re.sub(r"[^a-z0-9._/-]", "-", f"{self._prefix}{name}/{group}".lower())

    def _json(self, method: str, path: str, **options: Any) -> Any:
        answer = self._http.request(method, path, **options)
        if answer.status_code >= 400:
            sys.exit(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
        return answer.json()


def plain(text: str) -> str:
    """A text as words alone: quotes, leading minuses and `word:` prefixes are operators of the query language."""
    words = text.replace('"', " ").replace("\x00", " ")
    words = re.sub(r"(?<!\S)-+(?=[^\W\d])", "", words)
    return re.sub(r"(?<!\S)([A-Za-z_]+):(?=\S)", r"\1: ", words)[:32_000]


# ------------------------------------------------------------------ the run


@dataclass(frozen=True, slots=True)
class Row:
    """One metric of one set. `gain` is the 95 % interval of hybrid minus the better leg."""

    set: str
    metric: str
    questions: int
    scores: Mapping[str, float]
    gain: tuple[float, float]
    goal: float | None

    @property
    def verdict(self) -> str:
        """Whether the goal is reached and the hybrid is no worse than either leg."""
        reached = self.goal is None or self.scores["hybrid"] >= self.goal
        ahead = self.scores["hybrid"] >= max(self.scores["lexical"], self.scores["vector"])
        return "pass" if reached and ahead else "below goal" if not reached else "below a leg"


def measure(server: Server, name: str, corpus: Corpus, known: Mapping[str, str]) -> list[Row]:
    """Ask every question of every leg and score the answers."""
    goals = SETS[name].goals
    limit = 100 if any(metric is reciprocal_rank for _, metric, _ in goals) else 11
    scored: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for question in corpus.questions:
        for leg, legs in LEGS.items():
            ranked = [known[id] for id in server.search(name, question, legs, limit) if id in known]
            ranked = [id for id in ranked if id != question.itself]
            for label, metric, _ in goals:
                if (score := metric(ranked, question)) is not None:
                    scored[label][leg].append(score)
    return [_row(name, label, scored[label], goal) for label, _, goal in goals]


def _row(name: str, label: str, scored: Mapping[str, list[float]], goal: float | None) -> Row:
    columns = {leg: np.array(scored[leg]) for leg in LEGS}
    means = {leg: float(column.mean()) for leg, column in columns.items()}
    better = max(("lexical", "vector"), key=lambda leg: means[leg])
    return Row(name, label, len(columns["hybrid"]), means, interval(columns["hybrid"] - columns[better]), goal)


def interval(differences: NDArray[np.float64]) -> tuple[float, float]:
    """95 % of the mean's bootstrap distribution over questions (Sakai 2006), with a fixed seed."""
    draws = np.random.default_rng(7).integers(0, len(differences), (RESAMPLES, len(differences)))
    low, high = np.percentile(differences[draws].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def show(rows: Sequence[Row]) -> None:
    """Print the table, then the same as one line of JSON."""
    print(f"{'set':<17}{'metric':<9}{'n':>5} {'hybrid':>7}{'lexical':>8}{'vector':>7}  {'gain 95 %':<18}{'goal':>5}")
    for row in rows:
        scores = row.scores
        gain = f"[{row.gain[0]:+.3f}, {row.gain[1]:+.3f}]"
        goal = "" if row.goal is None else f"{row.goal:.2f}"
        values = f"{scores['hybrid']:>7.3f}{scores['lexical']:>8.3f}{scores['vector']:>7.3f}"
        print(f"{row.set:<17}{row.metric:<9}{row.questions:>5} {values}  {gain:<18}{goal:>5}  {row.verdict}")
    fields = ("set", "metric", "questions", "scores", "gain", "goal", "verdict")
    print(json.dumps({"bench": "recall", "rows": [{name: getattr(row, name) for name in fields} for row in rows]}))


def main(arguments: Sequence[str] | None = None) -> int:
    """Load the sets, ask, print. Exit code 0 whatever the verdicts: they are for reading."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:7700")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("DEVLORE_DATA", "../data")))
    parser.add_argument("--sets", default=",".join(SETS), help="names joined by commas")
    parser.add_argument("--project-prefix", default="", help="runs beside other memories, in projects of this prefix")
    parser.add_argument("--again", action="store_true", help="the sets are loaded already: ask only")
    parser.add_argument("--wait", type=float, default=7_200, help="seconds the indexes may take to catch up")
    options = parser.parse_args(arguments)
    names = options.sets.split(",")
    if unknown := [name for name in names if name not in SETS]:
        parser.error(f"unknown sets {unknown}; there are {', '.join(SETS)}")
    data, server = _loaders(options.data.resolve()), Server(options.url, options.project_prefix)
    if not options.again:
        server.refuse_if_used()
    corpora = {name: SETS[name].read(data) for name in names}
    known = {name: server.load(name, corpus.drafts) for name, corpus in corpora.items()}
    for name, corpus in corpora.items() if not options.again else ():
        server.supersede(corpus.replaced, known[name])
    took = server.wait(options.wait)
    print(f"{sum(map(len, known.values()))} memories, indexed {took:.0f} s after the last was stored", file=sys.stderr)
    show([row for name in names for row in measure(server, name, corpora[name], known[name])])
    return 0


if __name__ == "__main__":
    sys.exit(main())
