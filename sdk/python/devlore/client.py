"""``devlore.Client``: every operation of a Devlore server as a blocking, typed method."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import httpx2

from devlore.authentication import authentication
from devlore.bindings import Namespace, each, lines, once
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
from devlore.transport import Transport, address, http_options
from devlore.types import Tokens


class Memories(Namespace):
    """Write, read, change and list memories, and what surrounds them."""

    create = once(memories.create)
    get = once(memories.get)
    list = once(memories.list_memories)
    all = each(memories.list_memories)
    update = once(memories.update)
    delete = once(memories.delete)
    restore = once(memories.restore)
    supersede = once(memories.supersede)
    invalidate = once(memories.invalidate)
    reinstate = once(memories.reinstate)
    bulk = once(memories.bulk)
    tags = once(memories.tags)
    all_tags = each(memories.tags)
    projects = once(memories.projects)
    all_projects = each(memories.projects)
    versions = once(history.versions)
    all_versions = each(history.versions)
    version = once(history.version)
    diff = once(history.diff)
    links = once(history.links)
    all_links = each(history.links)
    link = once(history.link)
    add_link = once(history.add_link)
    unlink = once(history.unlink)
    export = lines(history.export)
    import_records = once(history.import_records)
    search = once(searching.search)
    similar = once(searching.similar)


class Search(Namespace):
    """Find memories (``client.search("…")``), and look after the indexes."""

    __call__ = once(searching.search)
    all = each(searching.search)
    request = once(searching.request)
    similar = once(searching.similar)
    status = once(searching.status)
    check = once(searching.check)
    rebuild = once(searching.rebuild)
    cancel_rebuild = once(searching.cancel_rebuild)


class Connections(Namespace):
    """Configure sources of memories and read them."""

    create = once(integration.connect)
    list = once(integration.connections)
    all = each(integration.connections)
    get = once(integration.connection)
    update = once(integration.change_connection)
    delete = once(integration.disconnect)
    sync = once(integration.sync)
    syncs = once(integration.syncs_of)
    all_syncs = each(integration.syncs_of)


class Syncs(Namespace):
    """Follow and stop syncs."""

    get = once(integration.get_sync)
    cancel = once(integration.cancel_sync)


class Sessions(Namespace):
    """Sign in, look at one's sessions, and end them; ``client.adopt`` goes on in the session that was begun."""

    sign_in = once(sessions.sign_in)
    passkey_options = once(sessions.passkey_options)
    sign_in_with_passkey = once(sessions.sign_in_with_passkey)
    begin_device = once(sessions.begin_device)
    poll_device = once(sessions.poll_device)
    look_at_device = once(sessions.look_at_device)
    settle_device = once(sessions.settle_device)
    refresh = once(sessions.refresh)
    switch = once(sessions.switch)
    step_up = once(sessions.step_up)
    list = once(sessions.list_sessions)
    all = each(sessions.list_sessions)
    revoke = once(sessions.revoke)
    revoke_others = once(sessions.revoke_others)


class Identity(Namespace):
    """Oneself (``client.identity()``), and what one signs in with."""

    __call__ = once(identity.whoami)
    update = once(identity.update)
    sign_up = once(identity.sign_up)
    change_password = once(identity.change_password)
    passkeys = once(identity.passkeys)
    passkey_options = once(identity.passkey_options)
    add_passkey = once(identity.add_passkey)
    remove_passkey = once(identity.remove_passkey)
    keyset = once(identity.keyset)


class Organisations(Namespace):
    """Organisations, who is in them, and who left."""

    create = once(organisations.create)
    list = once(organisations.list_organisations)
    all = each(organisations.list_organisations)
    get = once(organisations.get)
    update = once(organisations.update)
    delete = once(organisations.delete)
    restore = once(organisations.restore)
    members = once(organisations.members)
    all_members = each(organisations.members)
    change_member = once(organisations.change_member)
    remove_member = once(organisations.remove_member)
    departures = once(organisations.departures)
    all_departures = each(organisations.departures)
    settle = once(organisations.settle)


class Invitations(Namespace):
    """Invite people, and take up an invitation."""

    create = once(organisations.invite)
    list = once(organisations.invitations)
    all = each(organisations.invitations)
    withdraw = once(organisations.withdraw)
    look = once(organisations.look)
    accept = once(organisations.accept)


class Teams(Namespace):
    """Teams of the organisation, and who is in them."""

    create = once(people.create_team)
    list = once(people.list_teams)
    all = each(people.list_teams)
    get = once(people.get_team)
    update = once(people.update_team)
    delete = once(people.delete_team)
    members = once(people.team_members)
    all_members = each(people.team_members)
    put_member = once(people.put_team_member)
    remove_member = once(people.remove_team_member)


class People(Namespace):
    """People and service accounts of the organisation."""

    list = once(people.list_people)
    all = each(people.list_people)
    get = once(people.get_person)
    create_service = once(people.create_service)
    delete_service = once(people.delete_service)


class Keys(Namespace):
    """API keys."""

    create = once(keys.create)
    list = once(keys.list_keys)
    all = each(keys.list_keys)
    revoke = once(keys.revoke)


class Audit(Namespace):
    """The audit trail."""

    list = once(governance.audit)
    all = each(governance.audit)
    follow = once(governance.follow)


class Policies(Namespace):
    """What the organisation has chosen to do with what is written to it."""

    secrets = once(governance.secrets_policy)
    set_secrets = once(governance.set_secrets_policy)


class Instance(Namespace):
    """The server itself: ``client.instance()``, ``client.instance.ready()``."""

    __call__ = once(integration.instance)
    ready = once(integration.ready)


class Client:
    """A blocking client. Safe to share between threads; use as a context manager or ``close()`` it.

    ``base_url`` defaults to ``DEVLORE_URL``, then to this machine's Devlore. ``timeout`` is seconds without
    progress on one attempt. Where people sign in, requests are signed with ``token`` or the API ``key``, or with the
    session in ``credentials``, renewed as it runs out; without any with ``DEVLORE_TOKEN`` or ``DEVLORE_KEY``, else with
    the session that was ``adopt``-ed. ``http`` brings an own ``httpx2.Client`` (proxies, certificates).
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
        http: httpx2.Client | None = None,
    ) -> None:
        self.base_url = address(base_url)
        self._http = http or httpx2.Client(**http_options(self.base_url, timeout, headers))
        self._auth = authentication(self._http.build_request, token, key, credentials)
        transport = Transport(self.base_url, self._http, retry or Retry(), self._auth)
        self.memories = Memories(transport)
        self.search = Search(transport)
        self.connections = Connections(transport)
        self.syncs = Syncs(transport)
        self.instance = Instance(transport)
        self.sessions = Sessions(transport)
        self.identity = Identity(transport)
        self.organisations = Organisations(transport)
        self.invitations = Invitations(transport)
        self.teams = Teams(transport)
        self.people = People(transport)
        self.keys = Keys(transport)
        self.audit = Audit(transport)
        self.policies = Policies(transport)

    def adopt(self, tokens: Tokens) -> None:
        """Go on as whoever ``tokens`` were handed out to, and keep their session in the ``credentials``."""
        for pause in self._auth.adopting(tokens):
            time.sleep(pause)

    def forget(self) -> None:
        """Go on as nobody, and forget the session; ``sessions.revoke()`` ends it."""
        for pause in self._auth.forgetting():
            time.sleep(pause)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
