"""Every operation of the API, replayed by everybody else with what only Ann knows: as if it had never existed."""

from __future__ import annotations

import copy

import pytest

from devlore_server import openapi
from tests.isolation.cast import ACME, OUTSIDE, Cast
from tests.isolation.differ import Differ
from tests.isolation.operations import BY_SEGMENT, TAKEN, operations, unfilled
from tests.isolation.probes import FULL, Leaks

pytestmark = pytest.mark.timeout(3_600 if FULL else 300)
on_stage = pytest.mark.asyncio(loop_scope="module")
COLLEAGUES = [name for name in ACME if name != "ann"]
ASKERS = [*COLLEAGUES, *OUTSIDE] if FULL else ["carl", "alan", "gus", "ed", "revoked", "nobody"]
LATER = ("bulk_memories", "create_memory", "import_memories")
"""What stores things under names of Ann's comes last: it is then the asker's own."""


def test_every_operation_can_be_filled() -> None:
    assert unfilled(openapi.document()) == [], "say in operations.py of which kind these ids are"


def test_an_operation_that_cannot_be_filled_is_noticed() -> None:
    document = copy.deepcopy(openapi.document())
    document["paths"]["/v1/novelties/{id}"] = {"get": {"operationId": "get_novelty"}}
    whose = {"name": "owner_of_it", "in": "query", "schema": {"anyOf": [{"format": "uuid", "type": "string"}]}}
    document["paths"]["/v1/memories"]["get"]["parameters"].append(whose)
    body = {"type": "object", "properties": {"in_the_name_of": {"type": "string", "format": "uuid"}}}
    content = {"content": {"application/json": {"schema": body}}}
    document["paths"]["/v1/memories/{id}/lend"] = {"post": {"operationId": "lend", "requestBody": content}}
    assert set(unfilled(document)) == {
        "GET /v1/novelties/{id}: path id",
        "GET /v1/memories: query owner_of_it",
        "POST /v1/memories/{id}/lend: body in_the_name_of",
    }


@on_stage
async def test_ann_has_something_of_each_kind(cast: Cast) -> None:
    kinds = {slot.kind for one in operations() for slot in one.of("path")} - {"number"}
    assert kinds == set(BY_SEGMENT.values()) - {"number"}
    assert kinds <= cast.ids.keys()


@on_stage
@pytest.mark.xfail(reason=TAKEN)
async def test_whether_an_id_is_taken_is_not_told_colleagues(cast: Cast) -> None:
    differ = Differ(cast, Leaks("known", known=TAKEN), values=1)
    (one,) = [one for one in operations() if one.id == "import_memories"]
    (slot,) = [slot for slot in one.slots if slot.name == "items.[].memory.id"]
    await differ.compare(one, "carl", {slot: cast.ids["memory"][0]})
    differ.leaks.assert_none()


@on_stage
@pytest.mark.parametrize("name", ASKERS)
async def test_what_ann_knows_is_answered_like_what_nobody_knows(cast: Cast, name: str) -> None:
    differ = Differ(cast, Leaks("differ"), values=100 if FULL else 1)
    for one in sorted(operations(), key=lambda one: one.id in LATER):
        await differ.replay(one, name)
    assert differ.errors == []
    differ.leaks.assert_none()
