"""Two principals, one call: what Ann knows and what nobody knows must be answered alike to everybody else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx2
import redis

from devlore_server.kit.ids import new_id
from tests.isolation.cast import ACME, HIDDEN_FROM_COLLEAGUES, Cast
from tests.isolation.operations import TELL_APART, TOLD_COLLEAGUES, Call, Operation, Slot, call
from tests.isolation.probes import Leaks

NOT_COMPARED = frozenset({"x-request-id", "date", "ratelimit", "ratelimit-policy", "set-cookie"})
MADE = frozenset(
    {"token", "link", "key", "key_id", "access_token", "refresh_token", "took_ms", "version", "etag", "next"}
)
"""Members of an answer that are another for each thing that is made or asked."""
TEXTS = ("tag", "project", "item", "word")
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")
_GUESSED_AT = ("/v1/sessions", "/v1/identity", "/v1/invitations")


@dataclass
class Differ:
    """Makes each call twice and compares; ``values`` are as many of each kind as are tried."""

    cast: Cast
    leaks: Leaks
    values: int = 100
    used: set[tuple[str, str]] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._redis = redis.Redis.from_url(self.cast.stage.redis_url)

    async def replay(self, one: Operation, name: str) -> None:
        """Everything that is hidden from somebody, in each slot of an operation."""
        told = {**TELL_APART, **(TOLD_COLLEAGUES if name in ACME else {})}
        slots = [slot for slot in one.slots if (one.id, slot.name) not in told]
        for slot in slots:
            for value in self._known(slot, name):
                await self.compare(one, name, {slot: value})
        ids = [slot for slot in slots if slot.where in ("path", "body") and slot.kind not in TEXTS]
        if len(ids) > 1:
            everything = {slot: next(self._known(slot, name), None) for slot in ids}
            if all(everything.values()):
                await self.compare(one, name, {slot: str(value) for slot, value in everything.items()})

    async def compare(self, one: Operation, name: str, known: dict[Slot, str]) -> None:
        """One probe: a call with what Ann knows, and the same with what nobody knows."""
        if any(slot.kind == "item" and (name, value) in self.used for slot, value in known.items()):
            return  # by now they have a memory of this item themselves
        self.used |= {(name, value) for slot, value in known.items() if slot.kind == "item" and one.method != "GET"}
        # What is the same in several places stays the same.
        random = {value: self._random(slot, value) for slot, value in known.items()}
        guessed = {slot: random[value] for slot, value in known.items()}
        rest = {slot: self._own(slot, name) for slot in one.of("path") if slot not in known}
        for headers in self._conditions(one):
            told = await self._answer(call(one, rest | known | headers), name, known)
            expected = await self._answer(call(one, rest | guessed | headers), name, guessed)
            what = ", ".join(f"{slot.where} {slot.name}={slot.kind}" for slot in [*known, *headers])
            self.leaks.same(told, expected, f"{name}: {one.method} {one.path} with Ann's {what}")

    def _known(self, slot: Slot, name: str) -> Iterator[str]:
        """What Ann knows of a kind and this person must not."""
        cast, colleague = self.cast, name in ACME
        if slot.kind in TEXTS:
            texts = cast.texts.get(slot.kind) or [text for texts in cast.texts.values() for text in texts]
            found = [text for text in texts if name not in cast.words[text]]
        elif slot.kind == "email":
            found = [] if colleague else [cast["ann"].email]
        elif colleague and slot.kind not in HIDDEN_FROM_COLLEAGUES:
            found = []
        else:
            # Ed is who he is at home as well.
            found = [id for id in cast.ids.get(slot.kind, []) if id != cast[name].id]
            if name == "ben" and slot.kind == "memory":
                found.remove(cast.ids["memory"][1])
        yield from found[: self.values]

    def _random(self, slot: Slot, value: str) -> str:
        """As long as what is known, and nobody's."""
        if slot.kind in TEXTS:
            stem = value.rstrip("0123456789abcdef")
            return stem + new_id().hex[-(len(value) - len(stem)) :]
        if slot.kind == "email":
            return f"{new_id().hex}{new_id().hex}"[: len(value) - 12] + "@example.com"
        return str(new_id())

    def _own(self, slot: Slot, name: str) -> str:
        return "1" if slot.kind == "number" else self.cast.own.get(name, {}).get(slot.kind) or str(new_id())

    def _conditions(self, one: Operation) -> Iterator[dict[Slot, str]]:
        """Without and with a condition on the version, where there is one to set."""
        yield {}
        for slot in one.of("header"):
            if slot.kind == "etag":
                for tag in ("*", '"1"', '"2"') if self.values > 1 else ('"2"',):
                    yield {slot: tag}

    async def _answer(self, asked: Call, name: str, values: dict[Slot, str]) -> tuple[int, dict[str, str], Any]:
        """Status, headers and body, with what was asked with and what was made anew taken out."""
        body = _fresh_record(asked.body, set(values.values()))
        if asked.url == "/v1/search":
            # All hits: words that nobody wrote are still nearer to one text than to another.
            asked.params.append(("limit", "100"))
            body = body | {"limit": 100, "explain": False} if isinstance(body, dict) else body
        if asked.url.startswith(_GUESSED_AT):
            self._redis.flushall()  # or the limit of guesses would answer for everything
        content = None if body is None else json.dumps(body)
        answer = await self.cast[name].client.request(
            asked.method, asked.url, params=tuple(asked.params), headers=asked.headers, content=content
        )
        if answer.status_code >= 500:
            self.errors.append(f"{name}: {asked.method} {asked.url} {asked.params}: {answer.text}")
        await self._clean_up(asked, answer, name, values)
        return normalised(answer, values)

    async def _clean_up(self, asked: Call, answer: httpx2.Response, name: str, values: dict[Slot, str]) -> None:
        """An import keeps ids: what somebody took in under an id of Ann's would later be found by it."""
        if asked.url.endswith("/import") and answer.is_success:
            for id in {value for slot, value in values.items() if slot.kind == "memory"}:
                await self.cast[name].client.delete(f"/v1/memories/{id}", params={"purge": "true"})


def _fresh_record(body: Any, values: set[str]) -> Any:
    """An import's record is whole, under an id of its own: only what is tried is another's."""
    if isinstance(body, dict) and isinstance(body.get("items"), list):
        for record in [item for item in body["items"] if isinstance(item, dict) and "memory" in item]:
            for part in ("versions", "links"):
                record[part] = [one for one in record[part] if any(value in json.dumps(one) for value in values)]
            memory = record["memory"]
            memory["id"] = memory["id"] if memory["id"] in values else str(new_id())
            inner = [*record["versions"], *record["links"], *(one["memory"] for one in record["versions"])]
            for one in inner:
                for name in ("memory_id", "id"):
                    if name in one and one[name] not in values:
                        one[name] = memory["id"]
    return body


def normalised(answer: httpx2.Response, values: dict[Slot, str]) -> tuple[int, dict[str, str], Any]:
    """An answer as it would be for any value: two for different values can be compared."""

    def plain(text: str) -> str:
        for slot, value in values.items():
            for written in (value, quote(value, safe=""), value.replace("-", "")):
                text = text.replace(written, f"<{slot.kind}>")
        return text

    headers = {name: plain(value) for name, value in answer.headers.items() if name not in NOT_COMPARED}
    if not answer.is_success:
        return answer.status_code, headers, plain(answer.text)
    headers = {name: _TIME.sub("<time>", _ID.sub("<id>", value)) for name, value in headers.items()}
    headers = {name: re.sub(r"\d+", "<n>", value) if name == "etag" else value for name, value in headers.items()}
    headers.pop("content-length", None)
    loaded = _loaded(answer)
    if isinstance(loaded, dict) and "degraded" in loaded:
        loaded["items"] = sorted(hit["memory"]["id"] for hit in loaded["items"])
        return answer.status_code, headers, loaded | {"took_ms": None}
    return answer.status_code, headers, _made_plain(loaded, plain)


def _loaded(answer: httpx2.Response) -> Any:
    try:
        return answer.json() if answer.content else None
    except json.JSONDecodeError:
        return answer.text


def _made_plain(value: Any, plain: Any) -> Any:
    if isinstance(value, dict):
        return {k: f"<{k}>" if k in MADE and v is not None else _made_plain(v, plain) for k, v in value.items()}
    if isinstance(value, list):
        return [_made_plain(one, plain) for one in value]
    if isinstance(value, str):
        return _TIME.sub("<time>", _ID.sub("<id>", plain(value)))
    return value
