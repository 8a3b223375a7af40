"""What happens to secrets on every way in, under every policy: through the service, on PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from devlore.problems import HoldsSecret, Invalid, NotAllowed
from devlore.types import (
    CONTAINS_SECRET,
    LinkDraft,
    Memory,
    MemoryDraft,
    MemoryPatch,
    Restoration,
    SecretsAction,
    Source,
    TargetKind,
)
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database
from devlore_server.kit.log import EventLog
from devlore_server.memory.history import History
from devlore_server.memory.lifecycle import Lifecycle
from devlore_server.memory.links import Links
from devlore_server.memory.secrets.policy import KEPT_SECONDS, SecretsPolicies
from devlore_server.memory.secrets.screen import OVERRIDE, Screen
from devlore_server.memory.service import MemoryService
from devlore_server.memory.transfer import Transfer
from tests.kit.audited import leaves
from tests.memory.secrets_formats import checked
from tests.memory.stored import everything_stored

TOKEN = checked(Random(11), "gh" + "p_")
OTHER = checked(Random(12), "gh" + "p_")
SAID = f"It failed with {TOKEN} today."


@pytest.fixture
def screen(database: Database) -> Screen:
    return Screen(database, b"the secret of this instance, long enough")


@pytest.fixture
def service(database: Database, log: EventLog, screen: Screen) -> MemoryService:
    return MemoryService(database, log, screen=screen)


@pytest.fixture
def marker(screen: Screen, who: Principal) -> str:
    """What takes the place of TOKEN in the organisation of ``who``."""
    return f"[[secret:github:token:{screen.fingerprint(who.organisation, TOKEN.encode())}]]"


@pytest.fixture
def trusted(who: Principal) -> Principal:
    """``who`` with the scope to store secrets."""
    return replace(who, scopes=who.scopes | {OVERRIDE})


def told(owner_url: str, action: str) -> list[dict[str, Any]]:
    """The leaves of one action."""
    return [leaf for leaf in leaves(owner_url) if leaf["action"] == action]


async def set_policy(service: MemoryService, who: Principal, action: SecretsAction) -> None:
    await service.screen.policies.change(who, action)


async def stored(service: MemoryService, who: Principal, **draft: Any) -> Memory:
    return (await service.create(who, MemoryDraft(**draft))).memory


async def test_every_text_of_a_draft_is_masked_before_it_is_stored(
    service: MemoryService, database: Database, who: Principal, marker: str, owner_url: str
) -> None:
    memory = await stored(
        service,
        who,
        title=f"leaked {TOKEN}",
        body=f"{SAID}\n\nTwice: {TOKEN}",
        tags=["a", f"t {TOKEN}"],
        source=Source(connector="git", external_id=f"x/{TOKEN}", url=f"https://x.dev/?t={TOKEN}", author=TOKEN),
        links=[LinkDraft(target_kind=TargetKind.URL, target=f"https://x.dev/{TOKEN}", note=f"see {TOKEN}")],
    )
    assert memory.title == f"leaked {marker}"
    assert memory.body == f"It failed with {marker} today.\n\nTwice: {marker}"
    assert memory.tags == ["a", f"t {marker}"]
    assert memory.source is not None
    assert (memory.source.external_id, memory.source.author) == (f"x/{marker}", marker)
    assert memory.source.url == f"https://x.dev/?t={marker}"
    (link,) = await Links(database).list(who, memory.id, 10)
    assert (link.target, link.note) == (f"https://x.dev/{marker}", f"see {marker}")
    assert TOKEN not in everything_stored(owner_url)
    assert marker in everything_stored(owner_url)


async def test_what_holds_no_secret_is_stored_as_it_came_and_leaves_no_leaf(
    service: MemoryService, who: Principal, owner_url: str
) -> None:
    draft = MemoryDraft(title="Rotate tokens", body="password: see the vault. commit 9f2c1e7a", tags=["token"])
    memory = (await service.create(who, draft)).memory
    assert (memory.title, memory.body, memory.tags) == (draft.title, draft.body, draft.tags)
    assert [leaf["action"] for leaf in leaves(owner_url)] == ["memory.created"]


async def test_a_masked_secret_leaves_a_leaf_with_its_rule_and_nothing_of_it(
    service: MemoryService, who: Principal, owner_url: str
) -> None:
    memory = await stored(service, who, body=SAID)
    (leaf,) = told(owner_url, "secret.redacted")
    assert leaf["targets"] == [{"type": "memory", "id": str(memory.id)}]
    assert (leaf["context"]["rules"], leaf["context"]["places"]) == (["github:token"], 1)
    assert TOKEN[4:] not in str(leaves(owner_url))


async def test_equal_secrets_look_equal_in_one_organisation_only(
    service: MemoryService, who: Principal, other: Principal, stranger: Principal, marker: str
) -> None:
    assert (await stored(service, who, title="a", body=TOKEN)).body == marker
    assert (await stored(service, other, title=f"b: {TOKEN}")).title == f"b: {marker}"
    assert (await stored(service, who, body=OTHER)).body != marker
    elsewhere = (await stored(service, stranger, body=TOKEN)).body
    assert elsewhere.startswith("[[secret:github:token:")
    assert elsewhere != marker


async def test_fingerprints_outlive_the_process_but_need_its_secret(database: Database, who: Principal) -> None:
    def of(secret: bytes | None) -> str:
        return Screen(database, secret).fingerprint(who.organisation, TOKEN.encode())

    assert of(b"one secret") == of(b"one secret")
    assert of(b"one secret") != of(b"another secret")
    assert of(None) != of(None)


async def test_a_patch_is_masked(service: MemoryService, who: Principal, marker: str, owner_url: str) -> None:
    before = await stored(service, who, title="a")
    after = await service.edit(who, before.id, MemoryPatch(body=SAID, tags=[TOKEN]), None)
    assert (after.body, after.tags, after.version) == (f"It failed with {marker} today.", [marker], 2)
    again = await service.edit(who, before.id, MemoryPatch(body=SAID, tags=[TOKEN]), None)
    assert again.version == 2  # masked in the same way, so nothing changed
    assert TOKEN not in everything_stored(owner_url)
    assert len(told(owner_url, "secret.redacted")) == 1


async def test_bulk_masks_and_refuses_item_by_item(
    service: MemoryService, who: Principal, marker: str, owner_url: str
) -> None:
    drafts = [MemoryDraft(title="fine"), MemoryDraft(body=SAID), Invalid("/title: no", errors=[])]
    result = await service.bulk(who, drafts)
    assert [one.result for one in result.items] == ["created", "created", "refused"]
    assert result.items[1].id is not None
    assert (await service.get(who, result.items[1].id)).body == f"It failed with {marker} today."
    await set_policy(service, who, "block")
    result = await service.bulk(who, drafts)
    assert [one.result for one in result.items] == ["created", "refused", "refused"]
    problem = result.items[1].problem
    assert problem is not None
    assert problem.code == "holds-secret"
    assert problem.errors == [
        {"pointer": "/items/1/body", "detail": "This holds a secret (github:token).", "rule": "github:token"}
    ]
    assert TOKEN not in str(result) + everything_stored(owner_url)


async def test_block_refuses_and_names_the_places_only(service: MemoryService, who: Principal, owner_url: str) -> None:
    await set_policy(service, who, "block")
    with pytest.raises(HoldsSecret) as refused:
        await stored(service, who, title=TOKEN, links=[LinkDraft(target_kind=TargetKind.URL, target=f"x?{TOKEN}")])
    pointers = [one["pointer"] for one in refused.value.extra["errors"]]
    assert pointers == ["/title", "/links/0/target"]
    assert TOKEN not in str(refused.value.body())
    (leaf,) = told(owner_url, "secret.blocked")
    assert (leaf["result"], leaf["targets"]) == ("refused", [])
    memory = await stored(service, who, title="fine")
    with pytest.raises(HoldsSecret):
        await service.edit(who, memory.id, MemoryPatch(body=SAID), None)
    assert (await service.get(who, memory.id)).version == 1
    assert len(told(owner_url, "secret.blocked")) == 2
    assert TOKEN not in everything_stored(owner_url)


async def test_flag_stores_it_as_it_is_under_a_tag(service: MemoryService, who: Principal, owner_url: str) -> None:
    await set_policy(service, who, "flag")
    memory = await stored(service, who, body=SAID, tags=["a"])
    assert (memory.body, memory.tags) == (SAID, ["a", CONTAINS_SECRET])
    assert (await stored(service, who, body=SAID, tags=[CONTAINS_SECRET])).tags == [CONTAINS_SECRET]
    plain = await stored(service, who, title="plain", tags=["b"])
    assert plain.tags == ["b"]
    edited = await service.edit(who, plain.id, MemoryPatch(title=f"now {TOKEN}"), None)
    assert (edited.title, edited.tags) == (f"now {TOKEN}", ["b", CONTAINS_SECRET])
    cleared = await service.edit(who, plain.id, MemoryPatch(title="rotated", tags=["b"]), None)
    assert cleared.tags == ["b"]
    assert len(told(owner_url, "secret.flagged")) == 3
    full = [f"t{n}" for n in range(50)]
    with pytest.raises(HoldsSecret):
        await stored(service, who, body=SAID, tags=full)
    crowded = await stored(service, who, tags=full)
    with pytest.raises(Invalid):
        await service.edit(who, crowded.id, MemoryPatch(body=SAID), None)


async def test_an_override_needs_its_scope_and_is_kept_on_record(
    service: MemoryService, who: Principal, trusted: Principal, owner_url: str
) -> None:
    for action in ("redact", "block", "flag"):
        await set_policy(service, who, action)  # type: ignore[arg-type]
        with pytest.raises(NotAllowed):
            await stored(service, who, title="not even without a secret", allow_secrets=True)
        memory = await stored(service, trusted, body=SAID, allow_secrets=True)
        assert (memory.body, memory.tags) == (SAID, [])
        edited = await service.edit(trusted, memory.id, MemoryPatch(title=TOKEN, allow_secrets=True), None)
        assert (edited.title, edited.version) == (TOKEN, 2)
    told_of = told(owner_url, "secret.overridden")
    assert len(told_of) == 6
    assert {leaf["context"]["rules"][0] for leaf in told_of} == {"github:token"}
    await stored(service, trusted, title="no secret in it", allow_secrets=True)
    assert len(told(owner_url, "secret.overridden")) == 6
    with pytest.raises(NotAllowed):
        await service.bulk(who, [MemoryDraft(title="a"), MemoryDraft(title="b", allow_secrets=True)])


async def test_an_older_version_comes_back_as_the_policy_of_today_has_it(
    service: MemoryService, who: Principal, trusted: Principal, marker: str, owner_url: str
) -> None:
    memory = await stored(service, trusted, body=SAID, tags=["a"], allow_secrets=True)
    await service.edit(who, memory.id, MemoryPatch(body="cleaned"), None)
    await set_policy(service, who, "block")
    with pytest.raises(HoldsSecret) as refused:
        await service.restore(who, memory.id, Restoration(version=1))
    assert [one["pointer"] for one in refused.value.extra["errors"]] == ["/version"]
    assert [leaf["targets"] for leaf in told(owner_url, "secret.blocked")] == [
        [{"type": "memory", "id": str(memory.id)}]
    ]
    await set_policy(service, who, "flag")
    flagged = await service.restore(who, memory.id, Restoration(version=1))
    assert (flagged.body, flagged.tags) == (SAID, ["a", CONTAINS_SECRET])
    await set_policy(service, who, "redact")
    masked = await service.restore(who, memory.id, Restoration(version=1))
    assert (masked.body, masked.tags) == (f"It failed with {marker} today.", ["a"])


async def test_links_and_reasons_are_masked(
    database: Database, log: EventLog, screen: Screen, who: Principal, marker: str, owner_url: str
) -> None:
    service = MemoryService(database, log, screen=screen)
    links, lifecycle = Links(database, screen=screen), Lifecycle(database, log, screen=screen)
    old, new = await stored(service, who, title="old"), await stored(service, who, title="new")
    link = await links.add(who, old.id, LinkDraft(target_kind=TargetKind.URL, target=f"https://a?{TOKEN}", note=TOKEN))
    assert (link.target, link.note) == (f"https://a?{marker}", marker)
    assert (
        await links.add(who, old.id, LinkDraft(target_kind=TargetKind.URL, target=f"https://a?{TOKEN}"))
    ).id == link.id
    assert (await lifecycle.invalidate(who, old.id, f"leaked {TOKEN}")).status_reason == f"leaked {marker}"
    assert (await lifecycle.reinstate(who, old.id, TOKEN)).status_reason == marker
    assert (await lifecycle.supersede(who, old.id, new.id, TOKEN)).status_reason == marker
    assert [one.reason for one in await History(database).versions(who, old.id, 9)][:3] == [
        marker,
        marker,
        f"leaked {marker}",
    ]
    assert TOKEN not in everything_stored(owner_url)


async def test_imported_records_are_masked_everywhere_in_them(
    database: Database,
    log: EventLog,
    screen: Screen,
    who: Principal,
    trusted: Principal,
    stranger: Principal,
    marker: str,
) -> None:
    service, transfer = MemoryService(database, log, screen=screen), Transfer(database, log, screen=screen)
    memory = await stored(service, trusted, title="one", body=SAID, allow_secrets=True)
    await service.edit(trusted, memory.id, MemoryPatch(body=f"Now {TOKEN}", allow_secrets=True), None)
    records = [one.model_dump(mode="json") async for one in await transfer.export(who)]
    await service.purge(who, memory.id)
    assert [one.result for one in (await transfer.take_in(who, records)).items] == ["created"]
    back = await service.get(who, memory.id)
    assert back.body == f"Now {marker}"
    assert (await History(database).version(who, memory.id, 1)).memory.body == f"It failed with {marker} today."
    await service.purge(who, memory.id)
    with pytest.raises(NotAllowed):
        await transfer.take_in(who, records, allow_secrets=True)
    await transfer.take_in(trusted, records, allow_secrets=True)
    assert (await service.get(who, memory.id)).body == f"Now {TOKEN}"
    await set_policy(service, stranger, "block")
    (refused,) = (await transfer.take_in(stranger, records)).items
    assert refused.problem is not None
    assert [one["pointer"] for one in refused.problem.errors or []] == ["/memory/body", "/versions/0/memory/body"]
    await set_policy(service, stranger, "flag")
    (taken,) = (await transfer.take_in(stranger, [records[0] | {"versions": []}])).items
    assert taken.id is not None
    flagged = await service.get(stranger, taken.id)
    assert (flagged.body, flagged.tags) == (f"Now {TOKEN}", [CONTAINS_SECRET])


async def test_a_marker_that_does_not_fit_is_refused_not_cut(
    service: MemoryService, who: Principal, owner_url: str
) -> None:
    with pytest.raises(HoldsSecret) as refused:
        await stored(service, who, tags=["ok", "x" * 82 + " pwd=Ab3$xy9Qz"])
    assert [one["pointer"] for one in refused.value.extra["errors"]] == ["/tags/1"]
    assert "Ab3$xy9Qz" not in str(refused.value.body())
    (leaf,) = told(owner_url, "secret.blocked")
    assert (leaf["result"], leaf["context"]["rules"]) == ("refused", ["assigned:password"])


async def test_the_policy_of_one_organisation_is_not_anothers(
    service: MemoryService, who: Principal, stranger: Principal, owner_url: str
) -> None:
    assert (await service.screen.policies.get(who)).action == "redact"
    await set_policy(service, who, "flag")
    chosen = await service.screen.policies.get(who)
    assert (chosen.action, chosen.changed_by) == ("flag", who.person)
    assert (await service.screen.policies.get(stranger)).changed_at is None
    assert TOKEN not in (await stored(service, stranger, body=TOKEN)).body
    (leaf,) = told(owner_url, "policy.changed")
    assert (leaf["context"]["before"], leaf["context"]["after"]) == ("redact", "flag")


async def test_another_process_hears_of_a_change_within_two_seconds(database: Database, who: Principal) -> None:
    now = 0.0
    here, there = SecretsPolicies(database), SecretsPolicies(database, monotonic=lambda: now)
    assert await there.action(who) == "redact"
    await here.change(who, "block")
    assert await here.action(who) == "block"
    assert await there.action(who) == "redact"
    now = KEPT_SECONDS
    assert await there.action(who) == "block"


async def test_a_large_body_is_read_off_the_loop_with_the_same_result(
    service: MemoryService, who: Principal, marker: str
) -> None:
    body = "harmless text, line by line\n" * 30_000
    memory = await stored(service, who, body=body + SAID + body[:1000])
    assert memory.body == f"{body}It failed with {marker} today.{body[:1000]}"
