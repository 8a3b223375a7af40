"""The state machine: people come and go, memories change hands and circles, and everybody is asked what they see."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from devlore_server.kit.ids import new_id
from tests.isolation.doors import Door, Hidden, Shown, privacy_of
from tests.isolation.model import Audience, Link, Note, Place, Privacy, World
from tests.isolation.probes import TALLY, Leaks

T = TypeVar("T")
WORDS = 8
CIRCLES: tuple[Privacy, ...] = ("private", "team", "public")
KIND = "state machine"


class Machine(RuleBasedStateMachine):
    """Rules change product and model alike; after each, some people are asked, and everybody at the end."""

    door: Door
    loop: asyncio.AbstractEventLoop
    kind = KIND
    wandering = True
    """Whether people may belong to several organisations: then some rows of several are theirs to see."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.places: list[Place] = []
        self.chance = random.Random(0)
        self.leaks = Leaks(self.kind)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(600)

    # ---------------------------------------------------------------- the beginning

    @initialize(seed=st.integers(0, 2**16))
    def begin(self, seed: int) -> None:
        self.chance = random.Random(seed)
        one, two = self.run(self.door.found(_name())), self.run(self.door.found(_name()))
        self._in(one, "owner")
        self._in(two, "owner")
        for owner, role in ((one, "member"), (one, "member"), (one, "viewer"), (two, "member")):
            self._in(self.run(self.door.invite(owner, _name(), role)), role)
        # Somebody who is in both, with a team in each.
        both, other = self.places[2], self.places[5]
        if self.wandering:
            other = self.run(self.door.join(two, both.person, "member"))
            self._in(other, "member")
        for owner, person in ((one, both.person), (two, other.person)):
            team = self.run(self.door.make_team(owner, _name()))
            self.world.teams.setdefault(owner.organisation, {})[team] = set()
            self._into(owner, team, person)
        for place, privacy in ((self.places[1], "team"), (self.places[2], "team"), (self.places[2], "private")):
            if privacy != "team" or place in self.world.roles:
                self._remember(place, "team" if self.world.teams_of(place) else "public")

    def _in(self, place: Place, role: str) -> None:
        self.world.join(place, role)
        if place not in self.places:
            self.places.append(place)

    def _into(self, owner: Place, team: str, person: str) -> None:
        self.run(self.door.put_in_team(owner, team, person))
        self.world.teams[owner.organisation][team].add(person)

    # ---------------------------------------------------------------- people

    @rule(data=st.data())
    def somebody_joins(self, data: st.DataObject) -> None:
        organisation = data.draw(st.sampled_from(sorted(self.world.teams)))
        known = {place.person for place in self.places if self.wandering or place.organisation == organisation}
        outside = sorted(known - set(self.world.members(organisation)))
        if not outside:
            return
        owner, person = self.world.owners(organisation)[0], data.draw(st.sampled_from(outside))
        role = data.draw(st.sampled_from(["viewer", "member", "admin"]))
        self._in(self.run(self.door.join(owner, person, role)), role)
        self._look({Place(person, organisation)})

    @rule(data=st.data(), themselves=st.booleans())
    def somebody_leaves(self, data: st.DataObject, themselves: bool) -> None:
        leaving = sorted(place for place, role in self.world.roles.items() if role != "owner")
        if not leaving:
            return
        place = data.draw(st.sampled_from(leaving))
        actor = place if themselves else self.world.owners(place.organisation)[0]
        self.world.leave(place, self.run(self.door.remove(actor, place.person)))
        self._look({place})

    @rule(data=st.data(), purge=st.booleans())
    @precondition(lambda self: self.world.left)
    def a_departure_is_settled(self, data: st.DataObject, purge: bool) -> None:
        place = data.draw(st.sampled_from(sorted(self.world.left)))
        owner = self.world.owners(place.organisation)[0]
        heir = None if purge else data.draw(st.sampled_from(self.world.members(place.organisation)))
        self.run(self.door.settle(owner, self.world.left[place], heir))
        if heir is None:
            self.world.purge_all(place)
        else:
            self.world.transfer(place, heir)
        self._look({owner, *({Place(heir, place.organisation)} if heir else ())})

    @rule(data=st.data(), role=st.sampled_from(["viewer", "member", "admin"]))
    def a_role_changes(self, data: st.DataObject, role: str) -> None:
        others = sorted(place for place, held in self.world.roles.items() if held not in ("owner", role))
        if others:
            place = data.draw(st.sampled_from(others))
            self.run(self.door.set_role(self.world.owners(place.organisation)[0], place.person, role))
            self.world.roles[place] = role

    @rule(data=st.data())
    def somebody_comes_into_a_team(self, data: st.DataObject) -> None:
        organisation, team = data.draw(st.sampled_from(self._teams()))
        outside = sorted(set(self.world.members(organisation)) - self.world.teams[organisation][team])
        if outside:
            person = data.draw(st.sampled_from(outside))
            self._into(self.world.owners(organisation)[0], team, person)
            self._look({Place(person, organisation)})

    @rule(data=st.data(), themselves=st.booleans())
    def somebody_goes_out_of_a_team(self, data: st.DataObject, themselves: bool) -> None:
        organisation, team = data.draw(st.sampled_from(self._teams()))
        if people := sorted(self.world.teams[organisation][team]):
            person = data.draw(st.sampled_from(people))
            place = Place(person, organisation)
            actor = place if themselves else self.world.owners(organisation)[0]
            self.run(self.door.take_from_team(actor, team, person))
            self.world.teams[organisation][team].discard(person)
            self._look({place})

    @rule(data=st.data())
    def a_team_is_dissolved_for_another(self, data: st.DataObject) -> None:
        organisation, team = data.draw(st.sampled_from(self._teams()))
        owner = self.world.owners(organisation)[0]
        self.run(self.door.drop_team(owner, team))
        were = self.world.teams[organisation].pop(team)
        self.world.teams[organisation][self.run(self.door.make_team(owner, _name()))] = set()
        self._look({Place(person, organisation) for person in were})

    def _teams(self) -> list[tuple[str, str]]:
        return sorted((where, team) for where, teams in self.world.teams.items() for team in teams)

    # ---------------------------------------------------------------- memories

    @rule(data=st.data(), privacy=st.sampled_from(CIRCLES))
    def somebody_remembers(self, data: st.DataObject, privacy: Privacy) -> None:
        place = data.draw(st.sampled_from(self.world.writers()))
        self._look({place}, {self._remember(place, privacy)})

    def _remember(self, place: Place, privacy: Privacy) -> str:
        team = self._team_for(place, privacy)
        tag, project = f"tag{self.chance.randrange(4)}", f"project{self.chance.randrange(3)}"
        said = " ".join(_word(self.chance) for _ in range(WORDS))
        draft = {"title": f"canary {_word(self.chance)}", "body": said, "tags": [tag], "project": project}
        chosen: Privacy = privacy if team or privacy != "team" else "private"
        id = self.run(self.door.create(place, draft | privacy_of(chosen, team)))
        audience = Audience(chosen, place.person, team)
        self.world.notes[id] = Note(id, place.organisation, audience, tag, project)
        return id

    def _team_for(self, place: Place, privacy: Privacy) -> str | None:
        teams = sorted(self.world.teams_of(place))
        return self.chance.choice(teams) if privacy == "team" and teams else None

    def _drawn(self, data: st.DataObject, *, own: bool = False, deleted: bool = False) -> tuple[Place, Note] | None:
        """Somebody who writes, and a memory that they see."""
        place = data.draw(st.sampled_from(self.world.writers()))
        seen = [self.world.notes[id] for id in sorted(self.world.shown(place, deleted=deleted))]
        mine = [note for note in seen if not own or note.audience.author == place.person]
        return (place, data.draw(st.sampled_from(mine))) if mine else None

    @rule(data=st.data())
    def a_text_changes(self, data: st.DataObject) -> None:
        if drawn := self._drawn(data):
            place, note = drawn
            self.run(self.door.edit(place, note.id, {"body": f"{_word(self.chance)} {_word(self.chance)}"}))
            note.changed()
            self._look({place}, {note.id})

    @rule(data=st.data(), privacy=st.sampled_from(CIRCLES))
    def a_memory_moves(self, data: st.DataObject, privacy: Privacy) -> None:
        if not (drawn := self._drawn(data, own=True)):
            return
        place, note = drawn
        team = self._team_for(place, privacy)
        chosen: Privacy = privacy if team or privacy != "team" else "private"
        audience = Audience(chosen, place.person, team)
        if audience != note.audience:
            self.run(self.door.edit(place, note.id, privacy_of(chosen, team)))
            note.changed()
            note.audience = audience
        self._look({place}, {note.id})

    @rule(data=st.data())
    def a_memory_is_deleted(self, data: st.DataObject) -> None:
        if drawn := self._drawn(data):
            place, note = drawn
            self.run(self.door.delete(place, note.id))
            note.changed()
            note.deleted = True
            self._look({place}, {note.id})

    @rule(data=st.data())
    def a_memory_is_restored(self, data: st.DataObject) -> None:
        if drawn := self._drawn(data, deleted=True):
            place, note = drawn
            self.run(self.door.restore(place, note.id))
            note.changed()
            note.deleted = False
            self._look({place}, {note.id})

    @rule(data=st.data(), deleted=st.booleans())
    def a_memory_is_erased(self, data: st.DataObject, deleted: bool) -> None:
        if drawn := self._drawn(data, own=True, deleted=deleted):
            place, note = drawn
            self.run(self.door.purge(place, note.id))
            self.world.purge(note.id)
            self._look({place}, {note.id})

    @rule(data=st.data())
    def a_memory_is_superseded(self, data: st.DataObject) -> None:
        if not (drawn := self._drawn(data)):
            return
        place, note = drawn
        others = [self.world.notes[id] for id in sorted(self.world.shown(place) - {note.id})]
        fresh = [one for one in others if one.successor is None]
        if note.successor is None and fresh:
            by = data.draw(st.sampled_from(fresh))
            self.run(self.door.supersede(place, note.id, by.id))
            note.changed()
            note.successor = by.id
            self.world.links.add(Link(by.id, "supersedes", note.id))
            self._look({place}, {note.id, by.id})

    @rule(data=st.data())
    def a_memory_is_linked(self, data: st.DataObject) -> None:
        if not (drawn := self._drawn(data)):
            return
        place, note = drawn
        if others := sorted(self.world.shown(place) - {note.id}):
            target = data.draw(st.sampled_from(others))
            self.run(self.door.link(place, note.id, target))
            self.world.links.add(Link(note.id, "relates_to", target))
            self._look({place}, {note.id, target})

    @rule(data=st.data())
    def somebody_meddles(self, data: st.DataObject) -> None:
        """What somebody may not see cannot be changed, either, and answers like what never was."""
        place = data.draw(st.sampled_from(self.world.writers()))
        hidden = sorted(id for id in self.world.notes if not self.world.sees(place, id))
        if not hidden:
            return
        id = data.draw(st.sampled_from(hidden))
        mine = sorted(self.world.shown(place))
        tries: dict[str, Callable[[str], Coroutine[Any, Any, None]]] = {
            "edit": lambda id: self.door.edit(place, id, {"title": "mine now"}),
            "delete": lambda id: self.door.delete(place, id),
            "restore": lambda id: self.door.restore(place, id),
            "purge": lambda id: self.door.purge(place, id),
            "supersede": lambda id: self.door.supersede(place, id, mine[0] if mine else id),
            "reinstate": lambda id: self.door.reinstate(place, id),
            "link": lambda id: self.door.link(place, id, mine[0] if mine else id),
        }
        for name, attempt in tries.items():
            told, expected = self._said(attempt(id)), self._said(attempt(str(new_id())))
            self.leaks.same(told, expected, f"{name} of a memory that is not theirs to see")

    def _said(self, attempt: Coroutine[Any, Any, None]) -> object:
        try:
            self.run(attempt)
        except Hidden as hidden:
            return hidden.said
        return "it was done"

    # ---------------------------------------------------------------- looking

    def _look(self, places: set[Place], ids: set[str] = frozenset()) -> None:  # type: ignore[assignment]
        """Ask those concerned and two others, before and after the indexes have followed."""
        known = sorted(self.places)
        asked = {*places, *self.chance.sample(known, min(2, len(known)))}
        some = sorted(self.world.notes)
        about = {*ids, *self.chance.sample(some, min(2, len(some)))}
        self.run(self._ask(sorted(asked), sorted(about)))
        assert not self.leaks.found, self.leaks.found[0]

    async def _ask(self, places: list[Place], ids: list[str]) -> None:
        for place in places:
            if place in self.world.roles:
                await self._compare_at_once(place)
        await self.door.settled()
        for place in places:
            if await self._is_in(place):
                await self._compare(place)
                for id in ids:
                    await self._compare_one(place, id)

    async def _is_in(self, place: Place) -> bool:
        inside = await self.door.who_is_in(place)
        expected = set(self.world.members(place.organisation)) if place in self.world.roles else None
        self.leaks.same(inside, expected, f"{place}: who is in the organisation")
        return inside is not None and expected is not None

    async def _compare_at_once(self, place: Place) -> None:
        """An index may be behind in showing something, never in hiding it."""
        for legs in (["lexical"], ["vector"]):
            shown, _ = await self.door.search(place, legs)
            self.leaks.same(shown - self.world.shown(place), set(), f"{place}: a search at once by {legs}")

    async def _compare(self, place: Place) -> None:
        door, world, same = self.door, self.world, self.leaks.same
        for deleted in (False, True):
            listed = await door.listed(place, deleted=deleted)
            may_know = {id: world.successor(place, id) for id in world.shown(place, deleted=deleted)}
            same(listed, may_know, f"{place}: a list, deleted {deleted}")
        shown, found = world.shown(place), world.findable(place)
        same(await door.tags(place), world.tags(shown), f"{place}: tags")
        same(await door.projects(place), world.projects(shown), f"{place}: projects")
        if world.roles[place] != "viewer":  # who only reads takes nothing away
            same(await door.exported(place), world.exported(place), f"{place}: an export")
        counted = {"privacy": world.privacies(found), "tag": world.tags(found), "project": world.projects(found)}
        for legs in ([], ["lexical"], ["vector"]):
            told, facets = await door.search(place, legs)
            same(told, found, f"{place}: a search by {legs}")
            same(facets, counted, f"{place}: facets of a search by {legs}")

    async def _compare_one(self, place: Place, id: str) -> None:
        door, world, same = self.door, self.world, self.leaks.same
        shown = world.shown(place)
        expected = Shown(world.notes[id].version, world.successor(place, id)) if id in shown else None
        same(await door.get(place, id), expected, f"{place}: memory {id}")
        same(await door.versions(place, id), world.versions(place, id), f"{place}: versions of {id}")
        same(await door.links(place, id), world.around(place, id), f"{place}: links of {id}")
        alike = await door.similar(place, id)
        same(alike is None, id not in shown, f"{place}: whether {id} has similar ones")
        same((alike or set()) - shown, set(), f"{place}: what is similar to {id}")

    def teardown(self) -> None:
        if not self.leaks.found and self.world.notes:
            self.run(self._ask(sorted(self.places), sorted(self.world.notes)))
        TALLY.noted["examples of the state machine"] += 1
        self.leaks.assert_none()


def _name() -> str:
    return f"name{new_id().hex[-12:]}"


def _word(chance: random.Random) -> str:
    return "".join(chance.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(9))
