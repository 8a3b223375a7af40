"""The description is enough for others: a client generated from the committed document remembers and finds."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "api" / "openapi.json"
NAME = "generated_client"


@pytest.fixture
def generated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a client that was generated just now and can be imported."""
    settings = tmp_path / "settings.yaml"
    settings.write_text("post_hooks: []\n")
    asked = ["generate", "--path", str(DOCUMENT), "--meta", "none", "--output-path", str(tmp_path / NAME)]
    made = subprocess.run(
        [sys.executable, "-m", "openapi_python_client", *asked, "--config", str(settings)],
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    # JSON Lines have no words in OpenAPI 3.1: the one kind of answer a generator leaves out.
    said = made.stdout + made.stderr
    assert said.count("WARNING") == said.count("Unsupported content_type application/x-ndjson"), said
    assert "ERROR" not in said, said
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / NAME


def module(path: str) -> Any:
    return import_module(f"{NAME}.{path}")


async def test_it_remembers_once_and_finds(generated: Path, server: str) -> None:
    models, create = module("models"), module("api.memories.create_memory")
    find, edit = module("api.search.search_memories"), module("api.memories.edit_memory")
    async with module("client").Client(base_url=server, timeout=30, raise_on_unexpected_status=True) as client:
        draft = models.MemoryDraft(title="Why the pool ran dry", body="Ten connections.", tags=["pool"])
        key = str(uuid4())
        first = await create.asyncio(client=client, body=draft, wait="indexed", idempotency_key=key)
        again = await create.asyncio(client=client, body=draft, wait="indexed", idempotency_key=key)
        assert (first.title, first.tags, first.version) == ("Why the pool ran dry", ["pool"], 1)
        assert again == first
        page = await find.asyncio(client=client, q="pool dry", kind=["note"])
        assert [hit.memory for hit in page.items] == [first]
        patch = models.MemoryPatch(title="Why it ran dry")
        stale = await edit.asyncio_detailed(first.id, client=client, body=patch, if_match='"7"')
        assert (stale.status_code, stale.parsed.code) == (412, "version-mismatch")
        edited = await edit.asyncio(first.id, client=client, body=patch, if_match='"1"')
        assert (edited.title, edited.version) == ("Why it ran dry", 2)
        wrong = await find.asyncio(client=client, q="before:whenever")
        assert (wrong.status, wrong.code) == (422, "invalid-query")


def test_every_operation_has_a_function(generated: Path) -> None:
    paths = json.loads(DOCUMENT.read_text())["paths"]
    named = {operation["operationId"] for operations in paths.values() for operation in operations.values()}
    assert {path.stem for path in (generated / "api").glob("*/*.py")} - {"__init__"} == named
