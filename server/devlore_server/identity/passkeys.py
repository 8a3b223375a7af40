"""Passkeys (WebAuthn level 3): added, used, removed. One is proof enough: its authenticator verified its user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import structlog
from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import base64url_to_bytes, options_to_json_dict
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)
from webauthn.registration.verify_registration_response import VerifiedRegistration

from devlore.problems import Conflict, NotFound, SignInFailed
from devlore.types import PasskeyDraft, PasskeyOptions, PasskeyView
from devlore_server.identity.challenges import PATIENCE, Challenge, Challenges
from devlore_server.identity.checks import refuse
from devlore_server.identity.oneself import Origin, alone, session_of
from devlore_server.identity.store import passkeys, passwords, sessions
from devlore_server.identity.store.passkeys import NewPasskey
from devlore_server.kit import audit
from devlore_server.kit.audit import Leaf, refusal
from devlore_server.kit.auth import Principal
from devlore_server.kit.clock import Clock, utc_now
from devlore_server.kit.db import Connection, Database
from devlore_server.kit.ids import new_id

MOST = 20
"""Most passkeys of one person."""

_ALGORITHMS = [
    COSEAlgorithmIdentifier.EDDSA,
    COSEAlgorithmIdentifier.ECDSA_SHA_256,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,
]
_TIMEOUT = int(PATIENCE.total_seconds() * 1_000)
_FAILED = Leaf("session.started", result="failed", context={"by": "passkey"})
_said = structlog.get_logger("devlore.identity")


class Passkeys:
    """What is done with passkeys; ``public_url`` is where browsers find this instance, its host the relying party."""

    def __init__(self, database: Database, challenges: Challenges, *, public_url: str, clock: Clock = utc_now) -> None:
        parts = urlsplit(public_url)
        self._database = database
        self._challenges = challenges
        self._party = parts.hostname or ""
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._clock = clock

    async def registration(self, who: Principal) -> PasskeyOptions:
        """What the caller's browser is asked to make a passkey with."""
        session_of(who)
        async with self._database.transaction(alone(who.person)) as connection:
            names = await passwords.names_of(connection, who.person)
            known = await passkeys.credential_ids(connection, who.person)
        options = generate_registration_options(
            rp_id=self._party,
            rp_name="Devlore",
            user_id=who.person.bytes,
            user_name=names[-1],
            user_display_name=names[0],
            challenge=self._challenges.make(who.person),
            timeout=_TIMEOUT,
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED, user_verification=UserVerificationRequirement.REQUIRED
            ),
            exclude_credentials=[PublicKeyCredentialDescriptor(id=one) for one in known],
            supported_pub_key_algs=_ALGORITHMS,
        )
        return PasskeyOptions(public_key=options_to_json_dict(options))

    def assertion(self) -> PasskeyOptions:
        """What a browser is asked to use a passkey with, whosever: which accounts there are is told to nobody."""
        options = generate_authentication_options(
            rp_id=self._party,
            challenge=self._challenges.make(None),
            timeout=_TIMEOUT,
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        return PasskeyOptions(public_key=options_to_json_dict(options))

    async def add(self, who: Principal, draft: PasskeyDraft) -> PasskeyView:
        """Store what the caller's authenticator made.

        Raises ``Invalid`` for anything but its true answer to an open challenge of the caller's, ``Conflict`` for a
        passkey that is known already, or one too many.
        """
        session_of(who)
        challenge, made = self._registered(who, draft)
        id, at = new_id(), self._clock()
        new = NewPasskey(
            id, made.credential_id, made.credential_public_key, made.sign_count, made.credential_backed_up, draft.name
        )
        async with self._database.transaction(who) as connection:
            if not await passkeys.spend(connection, who.person, challenge.digest, challenge.expires_at):
                raise refuse("/credential", "This challenge was answered before.")
            if len(await passkeys.lock_all(connection, who.person)) >= MOST:
                raise Conflict(f"You have {MOST} passkeys already; remove one first.")
            if not await passkeys.insert(connection, who.person, new, at=at):
                raise Conflict("This passkey is in use already.")
            await audit.append(connection, who, Leaf("passkey.added", [("passkey", id)]), at=at)
        return PasskeyView(id=id, name=new.name, backed_up=new.backed_up, created_at=at, last_used_at=None)

    async def mine(self, who: Principal) -> list[PasskeyView]:
        """The caller's passkeys, oldest first."""
        session_of(who)
        async with self._database.transaction(who) as connection:
            return await passkeys.of_person(connection, who.person)

    async def remove(self, who: Principal, id: UUID) -> None:
        """Remove one of the caller's passkeys.

        Raises ``NotFound``, and ``Conflict`` for the last one of somebody who could not sign in without it.
        """
        session_of(who)
        async with self._database.transaction(who) as connection:
            known = await passkeys.lock_all(connection, who.person)
            if id not in known:
                raise NotFound
            password = await passwords.find(connection, who.person, lock=True)
            if len(known) == 1 and (password is None or not password.long):
                raise Conflict(
                    "This is all you can sign in with: add another passkey or choose a longer password first."
                )
            await passkeys.delete(connection, who.person, id)
            await audit.append(connection, who, Leaf("passkey.removed", [("passkey", id)]), at=self._clock())

    async def prove(self, credential: Mapping[str, Any], origin: Origin) -> UUID:
        """The person whose authenticator answered a challenge; raises ``SignInFailed``, which is audited."""
        person = await self._owner(credential)
        if person is not None:
            async with self._database.transaction(alone(person)) as connection:
                if await self._check(connection, person, credential):
                    return person
                places = await sessions.places_of(connection, person)
        targets = [] if person is None else [("person", person)]
        leaf = Leaf(_FAILED.action, targets, _FAILED.result, _FAILED.context)
        await refusal(
            self._database, None, leaf, network=origin.network, organisations=[] if person is None else places
        )
        raise SignInFailed

    async def confirm(self, who: Principal, credential: Mapping[str, Any]) -> None:
        """Raise ``SignInFailed`` unless an authenticator of the caller's answered a challenge."""
        async with self._database.transaction(alone(who.person)) as connection:
            if not await self._check(connection, who.person, credential):
                raise SignInFailed

    async def _owner(self, credential: Mapping[str, Any]) -> UUID | None:
        try:
            credential_id = base64url_to_bytes(credential["rawId"])
        except (KeyError, TypeError, ValueError, AttributeError):
            return None
        return await passkeys.person_of(self._database, credential_id)

    async def _check(self, connection: Connection, person: UUID, credential: Mapping[str, Any]) -> bool:
        """Whether this is an answer, never given before, of the person's authenticator; notes its use."""
        try:
            challenge = self._challenges.answered(credential, None)
            known = await passkeys.find(connection, person, base64url_to_bytes(credential["rawId"]))
        except (KeyError, TypeError, ValueError, AttributeError):
            return False
        if known is None:
            return False
        try:
            used = verify_authentication_response(
                credential=dict(credential),
                expected_challenge=challenge.value,
                expected_rp_id=self._party,
                expected_origin=self._origin,
                credential_public_key=known.public_key,
                credential_current_sign_count=known.sign_count,
                require_user_verification=True,
            )
        except Exception as error:  # whatever a hostile answer makes the parsers stumble over
            _said.info("passkey_refused", error=type(error).__name__)
            return False
        if not await passkeys.spend(connection, person, challenge.digest, challenge.expires_at):
            return False
        await passkeys.used(
            connection, person, known.id, used.new_sign_count, used.credential_backed_up, at=self._clock()
        )
        return True

    def _registered(self, who: Principal, draft: PasskeyDraft) -> tuple[Challenge, VerifiedRegistration]:
        try:
            challenge = self._challenges.answered(draft.credential, who.person)
            made = verify_registration_response(
                credential=dict(draft.credential),
                expected_challenge=challenge.value,
                expected_rp_id=self._party,
                expected_origin=self._origin,
                require_user_verification=True,
                supported_pub_key_algs=_ALGORITHMS,
            )
        except Exception as error:  # whatever a hostile answer makes the parsers stumble over
            _said.info("passkey_refused", error=type(error).__name__)
            raise refuse("/credential", "This is no answer of an authenticator to this challenge.") from None
        return challenge, made
