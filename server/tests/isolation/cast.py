"""Two organisations with somebody in every relation to what Ann keeps, and rows of hers in every table.

Acme: Olga owns it, Alan administers it, Ann writes, Ben is in her team, Carl is not, Vera only reads, Ed was in the
team and has left. Globex: Gus owns it, Gina administers it, Gil writes. Nobody has no credential, the revoked key was
Ann's.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from devlore_server.kit.ids import new_id
from tests.isolation.stage import Caller, Stage

ACME = ("olga", "alan", "ann", "ben", "carl", "vera")
GLOBEX = ("gus", "gina", "gil")
OUTSIDE = ("ed", "ed-home", *GLOBEX, "revoked", "nobody")

Ids = dict[str, list[str]]
"""Ids by kind, as `operations` names kinds."""


@dataclass
class Cast:
    """Everybody, what Ann and the two organisations have, and which words only some of them may read."""

    stage: Stage
    people: dict[str, Caller] = field(default_factory=dict)
    ids: Ids = field(default_factory=dict)
    words: dict[str, frozenset[str]] = field(default_factory=dict)
    texts: dict[str, list[str]] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    own: dict[str, dict[str, str]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Caller:
        return self.people[name]

    def word(self, stem: str, *readers: str) -> str:
        """A canary: a word that nobody but `readers` may ever be told."""
        made = f"cnry{stem}{new_id().hex[-10:]}"
        self.words[made] = frozenset(readers)
        return made

    def keep(self, kind: str, id: object) -> str:
        self.ids.setdefault(kind, []).append(str(id))
        return str(id)

    async def on(self, stage: Stage) -> Cast:
        """The same on a stage whose database is a copy of this one's."""
        people = {name: await stage.seated(caller) for name, caller in self.people.items()}
        kept = copy.deepcopy((self.ids, self.words, self.texts, self.keys, self.own))
        return Cast(stage, people, *kept)

    async def hold(self) -> None:
        """Everybody who is in is still in, and nobody else: who is refused at the door is told nothing by chance."""
        out = ("ed", "revoked", "nobody")
        held = {name: await caller.is_in() for name, caller in self.people.items()}
        wrong = {name: is_in for name, is_in in held.items() if is_in is (name in out)}
        assert not wrong, f"who is in, and should not be, or the other way round: {wrong}"

    def forbidden(self, name: str) -> Iterator[str]:
        """The words that somebody must never be told."""
        return (word for word, readers in self.words.items() if name not in readers)


HIDDEN_FROM_COLLEAGUES = ("memory", "link", "connection", "sync", "session", "key", "passkey")
"""Kinds whose ids in `Cast.ids` tell nobody anything in Ann's own organisation; all others are hidden from outside."""


async def assembled(stage: Stage, *, wandering: bool = True) -> Cast:
    """The cast on a fresh stage, with everything indexed; without ``wandering`` nobody is in two organisations."""
    cast = Cast(stage)
    await _people(cast, wandering)
    await _team(cast)
    await _memories(cast)
    await _credentials(cast)
    _written_by_hand(cast)
    await _globex(cast)
    await _departure(cast)
    await _own(cast)
    await stage.settled(cast["ann"])
    return cast


async def _people(cast: Cast, wandering: bool) -> None:
    stage, people = cast.stage, cast.people
    names = {name: cast.word(name, *ACME) for name in (*ACME, "ed")}
    names |= {name: cast.word(name, *GLOBEX) for name in GLOBEX}
    # Ed knows himself everywhere, and whom he met.
    cast.words[names["ed"]] |= {"ed-home"}
    olga = people["olga"] = await stage.sign_up(names["olga"], stage.first)
    for name, role in (("alan", "admin"), ("ann", "member"), ("ben", "member"), ("carl", "member"), ("vera", "viewer")):
        people[name] = await stage.invite(olga, names[name], role)
    if wandering:
        people["ed-home"] = await stage.sign_up(names["ed"])
        people["ed"] = await stage.invite_known(olga, people["ed-home"])
    else:
        people["ed-home"] = await stage.sign_up(cast.word("namesake", "ed-home"))
        people["ed"] = await stage.invite(olga, names["ed"])
    gus = people["gus"] = await stage.sign_up(names["gus"])
    people["gina"] = await stage.invite(gus, names["gina"], "admin")
    people["gil"] = await stage.invite(gus, names["gil"])
    people["nobody"] = await stage.caller("nobody")
    for name, caller in people.items():
        caller.name = name
    for owner, readers in ((olga, ACME), (gus, GLOBEX)):
        await _rename(owner, cast.word("organisation", *readers))
    cast.keep("organisation", olga.organisation)
    for name in (*ACME, "ed"):
        cast.keep("person", people[name].id)


async def _rename(owner: Caller, name: str) -> None:
    path = f"/v1/organisations/{owner.organisation}"
    tag = (await owner.done("GET", path)).headers["etag"]
    merge = {"Content-Type": "application/merge-patch+json", "If-Match": tag}
    await owner.done("PATCH", path, json={"name": name}, headers=merge)


async def _team(cast: Cast) -> None:
    olga = cast["olga"]
    made = await olga.made("/v1/teams", {"name": cast.word("team", *ACME)})
    team = cast.keep("team", made["id"])
    for name in ("ann", "ben", "ed"):
        await olga.done("PUT", f"/v1/teams/{team}/members/{cast[name].id}", json={"role": "member"})


def _draft(cast: Cast, stem: str, readers: tuple[str, ...], **more: Any) -> dict[str, Any]:
    words = {part: cast.word(f"{stem}{part}", *readers) for part in ("title", "body", "tag", "project", "reason")}
    for part in ("tag", "project"):
        cast.texts.setdefault(part, []).append(words[part])
    item = {"connector": "api", "external_id": cast.word(f"{stem}item", *readers)}
    cast.texts.setdefault("item", []).append(item["external_id"])
    made = {"title": f"{words['title']} pool", "body": f"{words['body']} ran dry", "source": item}
    return made | {"tags": [words["tag"]], "project": words["project"]} | more


async def _memories(cast: Cast) -> None:
    ann, team, mates = cast["ann"], cast.ids["team"][0], ("ann", "ben")
    private = await ann.made("/v1/memories", _draft(cast, "private", ("ann",)), headers={"Idempotency-Key": "known"})
    shared = await ann.made("/v1/memories", _draft(cast, "team", mates, privacy="team", team_id=team))
    public = await ann.made("/v1/memories", _draft(cast, "public", ACME, privacy="public"))
    gone = await ann.made("/v1/memories", _draft(cast, "deleted", ("ann",)))
    erased = await ann.made("/v1/memories", _draft(cast, "erased", ("ann",)))
    followed = await ann.made("/v1/memories", _draft(cast, "followed", ("ann",)))
    before = _draft(cast, "before", ("ann",))
    published = await ann.made("/v1/memories", before)
    after = _draft(cast, "after", ACME) | {"privacy": "public"}
    await _edit(ann, published["id"], {k: v for k, v in after.items() if k != "source"})
    # Where it came from was told with it.
    cast.words[before["source"]["external_id"]] = frozenset(ACME)
    cast.texts["item"].remove(before["source"]["external_id"])
    await _edit(ann, private["id"], {"body": f"{cast.word('edit', 'ann')} ran dry"})
    await _edit(ann, shared["id"], {"body": f"{cast.word('edit', *mates)} ran dry"})
    await ann.done("DELETE", f"/v1/memories/{gone['id']}")
    await ann.done("DELETE", f"/v1/memories/{erased['id']}", params={"purge": "true"})
    await ann.made(f"/v1/memories/{followed['id']}/supersede", {"by": private["id"], "reason": cast.word("why", "ann")})
    replaced = await ann.made("/v1/memories", _draft(cast, "replaced", ACME, privacy="public"))
    await ann.made(f"/v1/memories/{replaced['id']}/supersede", {"by": private["id"]})
    for target in (public, shared, followed):
        link = {"target_kind": "memory", "target": target["id"], "note": cast.word("note", "ann")}
        cast.keep("link", (await ann.made(f"/v1/memories/{private['id']}/links", link))["id"])
    for memory in (private, shared, gone, erased, followed):
        cast.keep("memory", memory["id"])
    cast.ids["public memory"] = [public["id"], published["id"], replaced["id"]]


async def _edit(who: Caller, memory: str, patch: dict[str, Any]) -> None:
    headers = {"Content-Type": "application/merge-patch+json", "If-Match": "*"}
    await who.done("PATCH", f"/v1/memories/{memory}", json=patch, headers=headers)


async def _credentials(cast: Cast) -> None:
    ann, olga = cast["ann"], cast["olga"]
    for session in (await ann.done("GET", "/v1/sessions")).json()["items"]:
        cast.keep("session", session["id"])
    cast.keep("key", (await ann.made("/v1/keys", {"name": cast.word("key", "ann")}))["id"])
    revoked = await ann.made("/v1/keys", {"name": cast.word("key", "ann")})
    cast.people["revoked"] = await cast.stage.caller("revoked", {"Authorization": f"Bearer {revoked['key']}"})
    cast.people["revoked"].id = ann.id
    await cast["revoked"].done("GET", "/v1/memories")
    await ann.done("DELETE", f"/v1/keys/{cast.keep('key', revoked['id'])}")
    account = await olga.made("/v1/people", {"name": cast.word("robot", *ACME), "role": "member"})
    cast.keep("account", account["id"])
    made = await olga.made("/v1/keys", {"name": cast.word("key", "olga", "alan"), "person": account["id"]})
    cast.keep("account key", made["id"])
    asked = {"role": "member", "email": f"{cast.word('invited', *ACME)}@example.com"}
    invited = await olga.made(f"/v1/organisations/{olga.organisation}/invitations", asked)
    cast.keep("invitation", invited["id"])
    cast.keys["invitation"] = invited["token"]
    await olga.done("PUT", "/v1/policies/secrets", json={"action": "flag"})
    begun = await cast["nobody"].made("/v1/sessions/device", None)
    await ann.made("/v1/sessions/device/approve", {"user_code": begun["user_code"], "approve": True})
    cast.keys["device"] = begun["device_code"]


def _written_by_hand(cast: Cast) -> None:
    """Rows that take a browser's authenticator or a connector on this machine to come about."""
    stage, ann = cast.stage, cast["ann"]
    where, who = ann.organisation, ann.id
    passkey = cast.keep("passkey", new_id())
    stage.rows(
        "INSERT INTO identity.passkey (person_id, id, credential_id, public_key, sign_count, backed_up, name,"
        " created_at) VALUES (%s, %s, %s, '\\x00', 0, false, %s, now()) RETURNING id",
        who, passkey, new_id().bytes, cast.word("passkey", "ann"),
    )  # fmt: skip
    stage.rows(
        "INSERT INTO identity.challenge VALUES (sha256(%s), %s, now() + interval '1 hour') RETURNING 1", b"ann", who
    )
    connection, sync = cast.keep("connection", new_id()), cast.keep("sync", new_id())
    name = cast.word("connection", "ann")
    stage.rows(
        "INSERT INTO integration.connection (organisation_id, id, created_by, connector, location, name, config,"
        " created_at) VALUES (%s, %s, %s, 'git', %s, %s, '{}', now()) RETURNING 1",
        where, connection, who, name, name,
    )  # fmt: skip
    stage.rows(
        "INSERT INTO integration.sync (organisation_id, id, connection_id, created_by, state, queued_at, finished_at)"
        " VALUES (%s, %s, %s, %s, 'done', now(), now()) RETURNING 1",
        where, sync, connection, who,
    )  # fmt: skip
    stage.rows(
        "INSERT INTO integration.item VALUES (%s, %s, %s, %s, 'git', 1) RETURNING 1",
        where, connection, cast.word("item", "ann"), who,
    )  # fmt: skip
    stage.rows(
        "INSERT INTO memory.checkpoint VALUES (%s, %s, jsonb_build_object('at', %s::text), now()) RETURNING 1",
        where, connection, cast.word("checkpoint", "ann"),
    )  # fmt: skip
    stage.rows(
        "INSERT INTO memory.claim VALUES (%s, %s, %s, 'api', 'active', %s) RETURNING 1",
        where, cast.ids["memory"][0], who, cast.word("claim", "ann"),
    )  # fmt: skip
    stage.rows(
        "INSERT INTO log.parked SELECT organisation_id, 'test', id, %s, 1 FROM log.event WHERE organisation_id = %s"
        " LIMIT 1 RETURNING 1",
        cast.word("parked", "ann"), where,
    )  # fmt: skip


async def _globex(cast: Cast) -> None:
    """Globex has a little of everything as well: a wall that shows everybody nothing would hold too."""
    gus, gil = cast["gus"], cast["gil"]
    team = (await gus.made("/v1/teams", {"name": cast.word("team", *GLOBEX)}))["id"]
    await gus.done("PUT", f"/v1/teams/{team}/members/{gil.id}", json={"role": "member"})
    own = await gil.made("/v1/memories", _draft(cast, "globex", ("gil",)))
    other = await gil.made("/v1/memories", _draft(cast, "globexpublic", GLOBEX, privacy="public"))
    await _edit(gil, own["id"], {"body": "edited"})
    await gil.made(f"/v1/memories/{own['id']}/links", {"target_kind": "memory", "target": other["id"]})
    await gil.made("/v1/keys", {"name": cast.word("key", "gil")})
    await gus.made(f"/v1/organisations/{gus.organisation}/invitations", {"role": "member"})
    cast.ids |= {"of gil": [own["id"], other["id"]], "team of gil": [team]}
    leaver = await cast.stage.invite(gus, cast.word("leaver", *GLOBEX))
    await gus.done("DELETE", f"/v1/organisations/{gus.organisation}/members/{leaver.id}")
    left = (await gus.done("GET", f"/v1/organisations/{gus.organisation}/departures")).json()["items"]
    cast.own["gus"] = {"departure": left[0]["id"]}
    cast.own["gina"] = dict(cast.own["gus"])


async def _departure(cast: Cast) -> None:
    """Ed writes a word of his own, and leaves."""
    olga, ed = cast["olga"], cast["ed"]
    left = await ed.made("/v1/memories", _draft(cast, "ed", ()))
    cast.keep("memory", left["id"])
    await olga.done("DELETE", f"/v1/organisations/{olga.organisation}/members/{ed.id}")
    found = (await olga.done("GET", f"/v1/organisations/{olga.organisation}/departures")).json()["items"]
    cast.keep("departure", found[0]["id"])


async def _own(cast: Cast) -> None:
    """What everybody has themselves, so that only one thing in a call is another's."""
    for name in (*ACME, *GLOBEX, "ed-home"):
        caller, own = cast[name], cast.own.setdefault(name, {})
        own |= {"organisation": caller.organisation, "person": caller.id}
        if name != "vera":
            made = await caller.made("/v1/memories", _draft(cast, f"{name.replace('-', '')}s", (name,)))
            own["memory"] = made["id"]
            link = {"target_kind": "url", "target": "https://example.com/"}
            own["link"] = (await caller.made(f"/v1/memories/{made['id']}/links", link))["id"]
        if name in ("olga", "alan"):
            own["team"] = cast.ids["team"][0]
        elif name in GLOBEX:
            own["team"] = cast.ids["team of gil"][0]
    for part in ("tag", "project", "item"):
        known = cast.texts[part]
        cast.texts[part] = [text for text in known if not cast.words[text] or "ann" in cast.words[text]]
