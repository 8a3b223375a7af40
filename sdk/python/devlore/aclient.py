"""``devlore.AsyncClient``: every operation of a Devlore server as an awaited, typed method."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import httpx2

from devlore.authentication import authentication
from devlore.bindings import AsyncNamespace, async_each, async_lines, awaited
from devlore.calls import Retry
from devlore.credentials import CredentialStore
from devlore.operations import (
    governance,
    history,
    identity,
    integration,
    keys,
    memories,
    organisations,
    people,
    sessions,
)
from devlore.operations import search as searching
from devlore.transport import AsyncTransport, address, http_options
from devlore.types import Tokens


class AsyncMemories(AsyncNamespace):
    """Write, read, change and list memories, and what surrounds them."""

    create = awaited(memories.create)
    get = awaited(memories.get)
    list = awaited(memories.list_memories)
    all = async_each(memories.list_memories)
    update = awaited(memories.update)
    delete = awaited(memories.delete)
    restore = awaited(memories.restore)
    supersede = awaited(memories.supersede)
    invalidate = awaited(memories.invalidate)
    reinstate = awaited(memories.reinstate)
    bulk = awaited(memories.bulk)
    tags = awaited(memories.tags)
    all_tags = async_each(memories.tags)
    projects = awaited(memories.projects)
    all_projects = async_each(memories.projects)
    versions = awaited(history.versions)
    all_versions = async_each(history.versions)
    version = awaited(history.version)
    diff = awaited(history.diff)
    links = awaited(history.links)
    all_links = async_each(history.links)
    link = awaited(history.link)
    add_link = awaited(history.add_link)
    unlink = awaited(history.unlink)
    export = async_lines(history.export)
    import_records = awaited(history.import_records)
    search = awaited(searching.search)
    similar = awaited(searching.similar)


class AsyncSearch(AsyncNamespace):
    """Find memories (``await client.search("…")``), and look after the indexes."""

    __call__ = awaited(searching.search)
    all = async_each(searching.search)
    request = awaited(searching.request)
    similar = awaited(searching.similar)
    status = awaited(searching.status)
    check = awaited(searching.check)
    rebuild = awaited(searching.rebuild)
    cancel_rebuild = awaited(searching.cancel_rebuild)


class AsyncConnections(AsyncNamespace):
    """Configure sources of memories and read them."""

    create = awaited(integration.connect)
    list = awaited(integration.connections)
    all = async_each(integration.connections)
    get = awaited(integration.connection)
    update = awaited(integration.change_connection)
    delete = awaited(integration.disconnect)
    sync = awaited(integration.sync)
    syncs = awaited(integration.syncs_of)
    all_syncs = async_each(integration.syncs_of)


class AsyncSyncs(AsyncNamespace):
    """Follow and stop syncs."""

    get = awaited(integration.get_sync)
    cancel = awaited(integration.cancel_sync)


class AsyncSessions(AsyncNamespace):
    """Sign in, look at one's sessions, and end them; ``client.adopt`` goes on in the session that was begun."""

    sign_in = awaited(sessions.sign_in)
    passkey_options = awaited(sessions.passkey_options)
    sign_in_with_passkey = awaited(sessions.sign_in_with_passkey)
    begin_device = awaited(sessions.begin_device)
    poll_device = awaited(sessions.poll_device)
    look_at_device = awaited(sessions.look_at_device)
    settle_device = awaited(sessions.settle_device)
    refresh = awaited(sessions.refresh)
    switch = awaited(sessions.switch)
    step_up = awaited(sessions.step_up)
    list = awaited(sessions.list_sessions)
    all = async_each(sessions.list_sessions)
    revoke = awaited(sessions.revoke)
    revoke_others = awaited(sessions.revoke_others)


class AsyncIdentity(AsyncNamespace):
    """Oneself (``await client.identity()``), and what one signs in with."""

    __call__ = awaited(identity.whoami)
    update = awaited(identity.update)
    sign_up = awaited(identity.sign_up)
    change_password = awaited(identity.change_password)
    passkeys = awaited(identity.passkeys)
    passkey_options = awaited(identity.passkey_options)
    add_passkey = awaited(identity.add_passkey)
    remove_passkey = awaited(identity.remove_passkey)
    keyset = awaited(identity.keyset)


class AsyncOrganisations(AsyncNamespace):
    """Organisations, who is in them, and who left."""

    create = awaited(organisations.create)
    list = awaited(organisations.list_organisations)
    all = async_each(organisations.list_organisations)
    get = awaited(organisations.get)
    update = awaited(organisations.update)
    delete = awaited(organisations.delete)
    restore = awaited(organisations.restore)
    members = awaited(organisations.members)
    all_members = async_each(organisations.members)
    change_member = awaited(organisations.change_member)
    remove_member = awaited(organisations.remove_member)
    departures = awaited(organisations.departures)
    all_departures = async_each(organisations.departures)
    settle = awaited(organisations.settle)


class AsyncInvitations(AsyncNamespace):
    """Invite people, and take up an invitation."""

    create = awaited(organisations.invite)
    list = awaited(organisations.invitations)
    all = async_each(organisations.invitations)
    withdraw = awaited(organisations.withdraw)
    look = awaited(organisations.look)
    accept = awaited(organisations.accept)


class AsyncTeams(AsyncNamespace):
    """Teams of the organisation, and who is in them."""

    create = awaited(people.create_team)
    list = awaited(people.list_teams)
    all = async_each(people.list_teams)
    get = awaited(people.get_team)
    update = awaited(people.update_team)
    delete = awaited(people.delete_team)
    members = awaited(people.team_members)
    all_members = async_each(people.team_members)
    put_member = awaited(people.put_team_member)
    remove_member = awaited(people.remove_team_member)


class AsyncPeople(AsyncNamespace):
    """People and service accounts of the organisation."""

    list = awaited(people.list_people)
    all = async_each(people.list_people)
    get = awaited(people.get_person)
    create_service = awaited(people.create_service)
    delete_service = awaited(people.delete_service)


class AsyncKeys(AsyncNamespace):
    """API keys."""

    create = awaited(keys.create)
    list = awaited(keys.list_keys)
    all = async_each(keys.list_keys)
    revoke = awaited(keys.revoke)


class AsyncAudit(AsyncNamespace):
    """The audit trail."""

    list = awaited(governance.audit)
    all = async_each(governance.audit)
    follow = awaited(governance.follow)


class AsyncPolicies(AsyncNamespace):
    """What the organisation has chosen to do with what is written to it."""

    secrets = awaited(governance.secrets_policy)
    set_secrets = awaited(governance.set_secrets_policy)


class AsyncInstance(AsyncNamespace):
    """The server itself: ``await client.instance()``, ``await client.instance.ready()``."""

    __call__ = awaited(integration.instance)
    ready = awaited(integration.ready)


class AsyncClient:
    """An awaiting client for one event loop; use as an async context manager or ``aclose()`` it.

    ``base_url`` defaults to ``DEVLORE_URL``, then to this machine's Devlore. ``timeout`` is seconds without
    progress on one attempt. Where people sign in, requests are signed with ``token`` or the API ``key``, or with the
    session in ``credentials``, renewed as it runs out; without any with ``DEVLORE_TOKEN`` or ``DEVLORE_KEY``, else with
    the session that was ``adopt``-ed. ``http`` brings an own ``httpx2.AsyncClient`` (proxies, certificates).
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        token: str | None = None,
        key: str | None = None,
        credentials: CredentialStore | None = None,
        timeout: float = 30.0,
        retry: Retry | None = None,
        headers: Mapping[str, str] | None = None,
        http: httpx2.AsyncClient | None = None,
    ) -> None:
        self.base_url = address(base_url)
        self._http = http or httpx2.AsyncClient(**http_options(self.base_url, timeout, headers))
        self._auth = authentication(self._http.build_request, token, key, credentials)
        transport = AsyncTransport(self.base_url, self._http, retry or Retry(), self._auth)
        self.memories = AsyncMemories(transport)
        self.search = AsyncSearch(transport)
        self.connections = AsyncConnections(transport)
        self.syncs = AsyncSyncs(transport)
        self.instance = AsyncInstance(transport)
        self.sessions = AsyncSessions(transport)
        self.identity = AsyncIdentity(transport)
        self.organisations = AsyncOrganisations(transport)
        self.invitations = AsyncInvitations(transport)
        self.teams = AsyncTeams(transport)
        self.people = AsyncPeople(transport)
        self.keys = AsyncKeys(transport)
        self.audit = AsyncAudit(transport)
        self.policies = AsyncPolicies(transport)

    async def adopt(self, tokens: Tokens) -> None:
        """Go on as whoever ``tokens`` were handed out to, and keep their session in the ``credentials``."""
        for pause in self._auth.adopting(tokens):
            await asyncio.sleep(pause)

    async def forget(self) -> None:
        """Go on as nobody, and forget the session; ``sessions.revoke()`` ends it."""
        for pause in self._auth.forgetting():
            await asyncio.sleep(pause)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
