"""The whole instance over HTTP, with real credentials."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx2

from devlore_server.kit.ids import new_id
from tests.isolation.doors import Exported, Facets, Hidden, NotIn, Shown
from tests.isolation.model import Place
from tests.isolation.service_door import FACETS, QUESTION
from tests.isolation.stage import Caller, Stage
from tests.people import PASSWORD

MERGE = {"Content-Type": "application/merge-patch+json", "If-Match": "*"}


@dataclass
class HttpDoor:
    """Implements ``doors.Door``."""

    stage: Stage
    callers: dict[Place, Caller] = field(default_factory=dict)
    emails: dict[str, str] = field(default_factory=dict)

    async def _ask(self, place: Place, method: str, path: str, **options: Any) -> httpx2.Response:
        """Raises ``NotIn``, or ``Hidden`` with all that was answered."""
        answer = await self.callers[place].client.request(method, path, **options)
        if answer.status_code == 401:
            raise NotIn
        if answer.status_code == 404:
            told = {
                k: v for k, v in answer.headers.items() if k not in ("x-request-id", "date") and "ratelimit" not in k
            }
            raise Hidden((told, answer.text))
        return answer

    async def _done(self, place: Place, method: str, path: str, **options: Any) -> Any:
        answer = await self._ask(place, method, path, **options)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def _came(self, caller: Caller) -> Place:
        place = Place(caller.id, caller.organisation)
        self.callers[place], self.emails[caller.id] = caller, caller.email
        return place

    async def found(self, name: str) -> Place:
        return self._came(await self.stage.sign_up(name))

    async def invite(self, owner: Place, name: str, role: str) -> Place:
        return self._came(await self.stage.invite(self.callers[owner], name, role))

    async def join(self, owner: Place, person: str, role: str) -> Place:
        path = f"/v1/organisations/{owner.organisation}/invitations"
        made = await self._done(owner, "POST", path, json={"role": role})
        asker = await self.stage.caller(person)
        asked = {"email": self.emails[person], "password": PASSWORD, "invitation": made["token"]}
        return self._came(await self.stage.as_of(asker, await asker.made("/v1/sessions", asked)))

    async def remove(self, actor: Place, person: str) -> str:
        path = f"/v1/organisations/{actor.organisation}"
        await self._done(actor, "DELETE", f"{path}/members/{person}")
        owner = next(place for place in self.callers if place.organisation == actor.organisation)
        left = await self._done(owner, "GET", f"{path}/departures", params={"pending": "true", "limit": "200"})
        return next(str(one["id"]) for one in left["items"] if one["person_id"] == person)

    async def settle(self, owner: Place, departure: str, heir: str | None) -> None:
        decided = {"action": "transfer", "to": heir} if heir else {"action": "purge"}
        await self._done(owner, "POST", f"/v1/organisations/{owner.organisation}/departures/{departure}", json=decided)
        await self.stage.consumed("memory.departures")

    async def set_role(self, owner: Place, person: str, role: str) -> None:
        path = f"/v1/organisations/{owner.organisation}/members/{person}"
        await self._done(owner, "PATCH", path, json={"role": role}, headers=MERGE)

    async def make_team(self, owner: Place, name: str) -> str:
        return str((await self._done(owner, "POST", "/v1/teams", json={"name": name}))["id"])

    async def drop_team(self, owner: Place, team: str) -> None:
        await self._done(owner, "DELETE", f"/v1/teams/{team}")

    async def put_in_team(self, owner: Place, team: str, person: str) -> None:
        await self._done(owner, "PUT", f"/v1/teams/{team}/members/{person}", json={"role": "member"})

    async def take_from_team(self, actor: Place, team: str, person: str) -> None:
        await self._done(actor, "DELETE", f"/v1/teams/{team}/members/{person}")

    async def create(self, place: Place, draft: dict[str, Any]) -> str:
        key = {"Idempotency-Key": str(new_id())}
        return str((await self._done(place, "POST", "/v1/memories", json=draft, headers=key))["id"])

    async def edit(self, place: Place, id: str, patch: dict[str, Any]) -> None:
        await self._done(place, "PATCH", f"/v1/memories/{id}", json=patch, headers=MERGE)

    async def delete(self, place: Place, id: str) -> None:
        await self._done(place, "DELETE", f"/v1/memories/{id}")

    async def restore(self, place: Place, id: str) -> None:
        await self._done(place, "POST", f"/v1/memories/{id}/restore", json={})

    async def purge(self, place: Place, id: str) -> None:
        await self._done(place, "DELETE", f"/v1/memories/{id}", params={"purge": "true"})

    async def supersede(self, place: Place, id: str, by: str) -> None:
        await self._done(place, "POST", f"/v1/memories/{id}/supersede", json={"by": by})

    async def reinstate(self, place: Place, id: str) -> None:
        await self._done(place, "POST", f"/v1/memories/{id}/reinstate", json={})

    async def link(self, place: Place, source: str, target: str) -> None:
        draft = {"target_kind": "memory", "target": target}
        await self._done(place, "POST", f"/v1/memories/{source}/links", json=draft)

    async def _items(self, place: Place, path: str, **params: str) -> list[dict[str, Any]]:
        """Every item of a list, page by page."""
        found: list[dict[str, Any]] = []
        cursor: dict[str, str] = {}
        while True:
            page = await self._done(place, "GET", path, params=params | cursor)
            found += page["items"]
            if page["next"] is None:
                return found
            cursor = {"cursor": page["next"]}

    async def who_is_in(self, place: Place) -> set[str] | None:
        try:
            found = await self._items(place, f"/v1/organisations/{place.organisation}/members", limit="3")
        except NotIn:
            return None
        return {one["person_id"] for one in found}

    async def get(self, place: Place, id: str) -> Shown | None:
        try:
            found = await self._done(place, "GET", f"/v1/memories/{id}")
        except Hidden:
            return None
        return Shown(found["version"], found["superseded_by"])

    async def listed(self, place: Place, *, deleted: bool = False) -> dict[str, str | None]:
        found = await self._items(place, "/v1/memories", deleted=str(deleted).lower(), limit="7")
        return {one["id"]: one["superseded_by"] for one in found}

    async def versions(self, place: Place, id: str) -> set[int] | None:
        try:
            return {one["version"] for one in await self._items(place, f"/v1/memories/{id}/versions", limit="3")}
        except Hidden:
            return None

    async def links(self, place: Place, id: str) -> set[tuple[str, str, str]] | None:
        try:
            found = await self._items(place, f"/v1/memories/{id}/links", limit="3")
        except Hidden:
            return None
        return {
            (one["direction"], one["type"], one["target"] if one["direction"] == "outgoing" else one["memory_id"])
            for one in found
            if one["type"] != "near_duplicate"
        }

    async def similar(self, place: Place, id: str) -> set[str] | None:
        try:
            found = await self._done(place, "GET", f"/v1/memories/{id}/similar", params={"limit": "50"})
        except Hidden:
            return None
        return {hit["memory"]["id"] for hit in found["items"]}

    async def search(self, place: Place, legs: list[str]) -> tuple[set[str], Facets]:
        params = [("q", QUESTION), ("limit", "7"), *(("legs", leg) for leg in legs), *(("facets", f) for f in FACETS)]
        shown, facets, cursor = set[str](), Facets(), list[tuple[str, str]]()
        while True:
            page = await self._done(place, "GET", "/v1/search", params=[*params, *cursor])
            shown |= {hit["memory"]["id"] for hit in page["items"]}
            counted = {
                name: Counter({c["value"]: c["count"] for c in counts}) for name, counts in page["facets"].items()
            }
            facets = facets or counted
            if page["next"] is None:
                return shown, facets
            cursor = [("cursor", page["next"])]

    async def tags(self, place: Place) -> Counter[str]:
        return Counter({one["value"]: one["count"] for one in await self._items(place, "/v1/tags", limit="2")})

    async def projects(self, place: Place) -> Counter[str]:
        return Counter({one["value"]: one["count"] for one in await self._items(place, "/v1/projects", limit="2")})

    async def exported(self, place: Place) -> Exported:
        answer = await self._ask(place, "GET", "/v1/memories/export")
        assert answer.is_success, answer.text
        records = [json.loads(line) for line in answer.text.splitlines()]
        return {
            one["memory"]["id"]: (
                frozenset(version["version"] for version in one["versions"]),
                frozenset(link["target"] for link in one["links"] if link["type"] != "near_duplicate"),
            )
            for one in records
        }

    async def settled(self) -> None:
        for place in self.callers:
            try:
                await self._ask(place, "GET", "/v1/search/status")
            except NotIn:
                continue
            await self.stage.settled(self.callers[place])
            return
