"""Memories, queries and a filled index for the tests of the embedded lexical index."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from devlore_server.search.backends.tantivy import TantivyIndex
from devlore_server.search.lexical import LexicalDocument, LexicalQuery
from devlore_server.search.passages import split

ACME, GLOBEX = UUID(int=1), UUID(int=2)
ANN, TEAM = UUID(int=10), UUID(int=20)
MINE = (f"p:{ANN}",)
MAY = datetime(2025, 5, 1, tzinfo=UTC)


def memory(number: int, body: str = "", version: int = 1, **fields: Any) -> LexicalDocument:
    defaults: dict[str, Any] = {
        "organisation": ACME,
        "access": MINE[0],
        "title": "",
        "passages": [passage.text for passage in split(fields.get("title", ""), body)],
        "kind": "note",
        "status": "active",
        "privacy": "private",
        "created_at": MAY,
        "occurred_at": MAY,
    }
    return LexicalDocument(id=UUID(int=number), version=version, body=body, **(defaults | fields))


def query(text: str = "", **fields: Any) -> LexicalQuery:
    return LexicalQuery(**({"organisation": ACME, "access": MINE, "text": text} | fields))


def filled(*memories: LexicalDocument) -> TantivyIndex:
    index = TantivyIndex.in_memory()
    index.upsert(memories)
    index.commit()
    return index


def found(index: TantivyIndex, asked: LexicalQuery, limit: int = 10) -> list[int]:
    return [match.id.int for match in index.search(asked, limit).memories]


def in_passages(index: TantivyIndex, asked: LexicalQuery, limit: int = 10) -> list[int]:
    return [match.id.int for match in index.search(asked, limit).passages]
