"""The same corpus, the same embedder and the same questions through Devlore and other memory tools, in one run.

Each peer runs in a virtual environment of its own under ``--scratch`` (made on first use), with telemetry off and
nothing but loopback; all of them embed through the same OpenAI-compatible server with the bundled MiniLM. A peer that
does not start is reported with its reason.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

import corpus
import instance
import table

WORKERS = Path(__file__).with_name("peer_workers")
PACKAGES = {
    "mem0": "mem0ai",
    "mcp_memory_service": "mcp-memory-service",
    "mempalace": "mempalace",
    "hindsight": "hindsight-api-slim",
}


@contextmanager
def embedding_server() -> Iterator[str]:
    """The shared embedder; yields its base URL."""
    port = instance.free_port()
    process = subprocess.Popen([sys.executable, str(Path(__file__).with_name("embeddings.py")), "--port", str(port)])
    url = f"http://127.0.0.1:{port}/v1"
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                httpx2.post(
                    url + "/embeddings", json={"input": "ready?", "model": "local-384"}, timeout=30
                ).raise_for_status()
                break
            except httpx2.HTTPError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
        yield url
    finally:
        process.terminate()


def question_set(data: Path, conversations: int) -> dict[str, Any]:
    """LoCoMo sessions as documents, its questions, and the sessions that hold the evidence."""
    documents: dict[str, str] = {}
    questions = []
    groups: list[str] = []
    for item in corpus.loaders(data).locomo("session", categories=(1, 2, 3, 4)):
        group = item["group"]
        if group not in groups:
            if len(groups) == conversations:
                continue
            groups.append(group)
            for key, document in item["docs"].items():
                documents[f"{group}/{key}"] = f"[{document['date']}]\n{document['text']}"
        if item["gold"]:
            questions.append(
                {"q": item["question"], "gold": [f"{group}/{g}" for g in sorted(item["gold"])], "group": group}
            )
    return {"documents": documents, "questions": questions}


def python_of(peer: str, scratch: Path) -> Path:
    """The peer's own interpreter; creates and fills its environment on first use."""
    home = scratch / f"env-{peer}"
    python = home / "bin" / "python"
    if not python.exists():
        base = (
            "/usr/bin/python3" if peer == "mcp_memory_service" and Path("/usr/bin/python3").exists() else sys.executable
        )
        subprocess.run([base, "-m", "venv", str(home)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", PACKAGES[peer]], check=True)
    return python


def run_peer(peer: str, scratch: Path, questions: Path, embedder: str, seconds: int) -> dict[str, Any]:
    """Run one peer's worker; its JSON, or the reason it gave none."""
    work = scratch / f"work-{peer}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    output = work / "result.json"
    command = [
        str(python_of(peer, scratch)),
        str(WORKERS / f"{peer}.py"),
        str(questions),
        str(output),
        str(work),
        embedder,
    ]
    with (work / "log").open("wb") as log:
        try:
            code = subprocess.run(command, check=False, stdout=log, stderr=log, timeout=seconds, cwd=work).returncode
        except subprocess.TimeoutExpired:
            return {"error": f"gave up after {seconds} s"}
    if code != 0 or not output.exists():
        return {"error": (work / "log").read_text(errors="replace").strip().splitlines()[-1:] or ["no output"]}
    result: dict[str, Any] = json.loads(output.read_text())
    return result


def run_devlore(questions: dict[str, Any], embedder: str) -> dict[str, Any]:
    """Devlore through its public API, one project per conversation, the shared embedder."""
    with instance.running(DEVLORE_EMBEDDER=f"openai:local-384@{embedder}") as running, running.client() as client:
        started = time.perf_counter()
        drafts = [
            {
                "title": "",
                "body": text,
                "kind": "meeting",
                "project": key.split("/")[0],
                "source": {"connector": "bench", "external_id": key},
            }
            for key, text in questions["documents"].items()
        ]
        instance.fill(client, drafts)
        instance.wait_indexed(client, "lexical")
        instance.wait_indexed(client, "vector")
        stored = time.perf_counter() - started
        found, taken = [], []
        for question in questions["questions"]:
            started = time.perf_counter()
            answer = client.post(
                "/v1/search", json={"q": escaped(question["q"]), "project": [question["group"]], "limit": 10}
            )
            taken.append(time.perf_counter() - started)
            found.append([hit["memory"]["source"]["external_id"] for hit in answer.raise_for_status().json()["items"]])
    return {"found": found, "seconds": taken, "stored_s": stored}


def escaped(question: str) -> str:
    """A question as free text: quotes would ask for a phrase."""
    return question.replace('"', " ")


def score(questions: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    """Mean fraction of the evidence in the first 1, 5, 10, documents stored per second, and search latency."""
    row: dict[str, Any] = {}
    for depth in (1, 5, 10):
        shares = [
            len(set(found[:depth]) & set(question["gold"])) / len(question["gold"])
            for question, found in zip(questions["questions"], result["found"], strict=True)
        ]
        row[f"R@{depth}"] = round(sum(shares) / len(shares), 3)
    row["docs_per_s"] = round(len(questions["documents"]) / result["stored_s"], 1)
    latency = table.latency(result["seconds"])
    return row | {"p50_ms": latency["p50_ms"], "p95_ms": latency["p95_ms"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../data"))
    parser.add_argument("--scratch", type=Path, default=Path("/tmp/devlore-peers"))
    parser.add_argument(
        "--peers", nargs="*", choices=tuple(PACKAGES), default=["mem0", "mcp_memory_service", "mempalace"]
    )
    parser.add_argument("--conversations", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=1_800, help="give up on a peer after this long")
    options = parser.parse_args()
    questions = question_set(options.data, options.conversations)
    options.scratch.mkdir(parents=True, exist_ok=True)
    path = options.scratch / "questions.json"
    path.write_text(json.dumps(questions))
    rows, results = [], {}
    with embedding_server() as embedder:
        outcomes = {"devlore": run_devlore(questions, embedder)}
        for peer in options.peers:
            outcomes[peer] = run_peer(peer, options.scratch, path, embedder, options.seconds)
    for name, outcome in outcomes.items():
        results[name] = outcome if "error" in outcome else score(questions, outcome)
        rows.append([name, *results[name].values()])
    print(f"{len(questions['documents'])} documents, {len(questions['questions'])} questions")
    table.show(
        ["system", "R@1", "R@5", "R@10", "docs/s", "p50 ms", "p95 ms"],
        [row if len(row) == 7 else [row[0], f"did not run: {row[1]}", "", "", "", "", ""] for row in rows],
    )
    table.emit({"bench": "peers", "results": results})


if __name__ == "__main__":
    main()
