"""Identity: who belongs to which organisation and team, in which role, and how they prove who they are.

Owns the schema ``identity``: organisations, people, memberships, teams, invitations, departures, sessions, keys.
Emits ``identity.member_removed``, ``identity.departure_settled`` and ``identity.organisation_erased``. Reacts to
nothing.

A person is global and may belong to several organisations; everything else belongs to exactly one. Every change
leaves a leaf in the audit log, in its own transaction.
"""
