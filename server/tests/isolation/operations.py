"""Every operation of the OpenAPI document as a call with slots: places to put what one knows of somebody else.

A new route is covered as soon as it is described. One whose ids are of no kind known here fails ``unfilled``.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from devlore_server import openapi

BY_SEGMENT = {
    "connections": "connection",
    "departures": "departure",
    "invitations": "invitation",
    "keys": "key",
    "links": "link",
    "members": "person",
    "memories": "memory",
    "organisations": "organisation",
    "passkeys": "passkey",
    "people": "person",
    "sessions": "session",
    "syncs": "sync",
    "teams": "team",
    "versions": "number",
}
"""The kind of an id in a path, by the segment before it."""

BY_NAME = {
    "actor": "person",
    "author": "person",
    "by": "memory",
    "changed_by": "person",
    "created_by": "person",
    "email": "email",
    "external_id": "item",
    "memory_id": "memory",
    "organisation": "organisation",
    "organisation_id": "organisation",
    "person": "account",
    "project": "project",
    "q": "word",
    "superseded_by": "memory",
    "tag": "tag",
    "tags": "tag",
    "target": "memory",
    "team": "team",
    "team_id": "team",
    "teams": "team",
    "to": "person",
    "cursor": "cursor",
    "if-match": "etag",
    "if-none-match": "etag",
    "Idempotency-Key": "idempotency key",
}
"""The kind of a parameter or a member of a body, by its name."""

BY_PARENT = {("memory", "id"): "memory", ("links", "id"): "link"}
"""The kind of an ``id`` in a body, by what it is in."""

TELL_APART = {
    ("sign_up", "email"): "an address names one person of the instance: whoever is invited learns that it is taken",
}
"""Slots in which what is known may answer otherwise than a random value, and why that is meant."""

TAKEN = "an import keeps ids, and one that a hidden memory of the organisation has cannot be kept (docs/decisions/0026)"
TOLD_COLLEAGUES = {
    ("import_memories", f"items.[].{name}"): TAKEN
    for name in ("memory.id", "versions.[].memory_id", "versions.[].memory.id", "links.[].memory_id")
}
"""The same, in one's own organisation only; ``test_differ`` says so, and fails when it is told no longer."""

SAMPLES = {"number": "1"}
"""What a path holds where nobody's id is meant."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A place in a call: ``name`` is that of the parameter, or the dotted way into the body (``[]`` for any item)."""

    where: str
    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation, with the body its description shows."""

    id: str
    method: str
    path: str
    slots: tuple[Slot, ...]
    media: str | None = None
    body: Any = None
    schema: dict[str, Any] = field(default_factory=dict)

    def of(self, where: str) -> list[Slot]:
        return [slot for slot in self.slots if slot.where == where]


@dataclass(slots=True)
class Call:
    """A request to make."""

    method: str
    url: str
    params: list[tuple[str, str]]
    headers: dict[str, str]
    body: Any


def operations() -> list[Operation]:
    """Every operation that is described."""
    return list(_operations(openapi.document()))


def unfilled(document: dict[str, Any]) -> list[str]:
    """Ids of a document that no kind is known for."""
    return [
        f"{one.method} {one.path}: {slot.where} {slot.name}"
        for one in _operations(document)
        for slot in one.slots
        if slot.kind == "?"
    ]


def _operations(document: dict[str, Any]) -> Iterator[Operation]:
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            content = described.get("requestBody", {}).get("content", {})
            media = next(iter(content), None)
            schema = content[media]["schema"] if media else {}
            slots = [*_path_slots(path), *_parameter_slots(described)]
            slots += [Slot("body", name, kind) for name, kind in _leaves(document, schema, ())]
            body = _bare(document, schema, slots) if media else None
            whole = {"document": document, "schema": schema}
            yield Operation(described["operationId"], method.upper(), path, tuple(slots), media, body, whole)


def _path_slots(path: str) -> Iterator[Slot]:
    parts = path.split("/")
    for before, part in pairwise(parts):
        if part.startswith("{"):
            yield Slot("path", part[1:-1], BY_SEGMENT.get(before, "?"))


def _parameter_slots(described: dict[str, Any]) -> Iterator[Slot]:
    for parameter in described.get("parameters", []):
        name, where = parameter["name"], parameter["in"]
        if where in ("query", "header"):
            kind = BY_NAME.get(name, "?" if _is_id(parameter["schema"]) else None)
            # A connector's name, a reason and the like are nobody's.
            if kind is not None:
                yield Slot(where, name, "word" if name == "target" else kind)


def _is_id(schema: dict[str, Any]) -> bool:
    if schema.get("format") == "uuid":
        return True
    inner = [*schema.get("anyOf", []), *schema.get("oneOf", []), schema.get("items", {})]
    return any(_is_id(one) for one in inner if one)


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """A schema without a reference at its top; what stands beside the reference counts, too."""
    if "$ref" in schema:
        target = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        beside = {name: value for name, value in schema.items() if name != "$ref"}
        properties = dict(target.get("properties", {}))
        for name, said in beside.get("properties", {}).items():
            properties[name] = properties.get(name, {}) | said
        return {**target, **beside, **({"properties": properties} if properties else {})}
    for alternatives in ("anyOf", "oneOf", "allOf"):
        for one in schema.get(alternatives, []):
            if one.get("type") != "null":
                return resolved(document, one)
    return schema


def _leaves(document: dict[str, Any], schema: dict[str, Any], way: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    found = resolved(document, schema)
    if found.get("type") == "array":
        yield from _leaves(document, found.get("items", {}), (*way, "[]"))
        return
    if "properties" in found:
        for name, inner in found["properties"].items():
            yield from _leaves(document, inner, (*way, name))
        return
    if found.get("type") == "string" and way and not found.get("enum") and "const" not in found:
        names = [part for part in way if part != "[]"]
        kind = BY_PARENT.get((names[-2], "id")) if len(names) > 1 and names[-1] == "id" else BY_NAME.get(names[-1])
        if kind is not None:
            yield ".".join(way), kind
        elif found.get("format") == "uuid":
            yield ".".join(way), "?"


def _bare(document: dict[str, Any], schema: dict[str, Any], slots: list[Slot]) -> Any:
    """The sample without the optional ids in it: those it shows are nobody's, and would be refused first."""
    body = _sample(document, schema)
    required = resolved(document, schema).get("required", [])
    optional = {slot.name.partition(".")[0] for slot in slots if slot.where == "body"} - set(required)
    if not isinstance(body, dict):
        return body
    bare = {name: value for name, value in body.items() if name not in optional}
    return bare | ({"password": "of nobody at all"} if "password" in bare else {})


def _sample(document: dict[str, Any], schema: dict[str, Any]) -> Any:
    """What the description shows, or the least that the schema allows."""
    found = resolved(document, schema)
    if examples := found.get("examples"):
        return copy.deepcopy(examples[0])
    if found.get("type") == "array":
        return [_sample(document, found["items"])]
    if "properties" in found:
        return {name: _sample(document, found["properties"][name]) for name in found.get("required", [])}
    if "enum" in found:
        return found["enum"][0]
    return {"string": "x", "integer": 1, "number": 1, "boolean": True, "null": None}.get(str(found.get("type")), {})


def call(one: Operation, values: dict[Slot, str]) -> Call:
    """The call with these values in their slots."""
    url, body, headers = one.path, copy.deepcopy(one.body), {}
    params = []
    for slot, value in values.items():
        if slot.where == "path":
            url = url.replace(f"{{{slot.name}}}", value)
        elif slot.where == "query":
            params.append((slot.name, value))
        elif slot.where == "header":
            headers[slot.name] = value
        else:
            _put(one.schema["document"], one.schema["schema"], body, slot.name.split("."), value)
    if one.media:
        headers["Content-Type"] = one.media
    return Call(one.method, url, params, headers, body)


COMPANIONS = {"target": {"target_kind": "memory"}, "team_id": {"privacy": "team"}, "to": {"action": "transfer"}}
"""What has to stand beside a member for it to mean another's id."""


def _put(document: dict[str, Any], schema: dict[str, Any], inside: Any, way: list[str], value: str) -> None:
    """Set a leaf of a body, making what leads to it."""
    found = resolved(document, schema)
    name, rest = way[0], way[1:]
    if name == "[]":
        if not inside:
            inside.append(_sample(document, found["items"]))
        if not rest:
            inside[0] = value
        else:
            _put(document, found["items"], inside[0], rest, value)
        return
    inner = found["properties"][name]
    if not rest:
        inside[name] = value
        inside.update({k: v for k, v in COMPANIONS.get(name, {}).items() if k in found["properties"]})
        return
    if not isinstance(inside.get(name), dict | list):
        inside[name] = [] if rest[0] == "[]" else _sample(document, inner)
    _put(document, inner, inside[name], rest, value)
