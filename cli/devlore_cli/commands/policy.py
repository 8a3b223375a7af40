"""`devlore policy`."""

from __future__ import annotations

from typing import Literal, get_args

import click

from devlore.types import SecretsAction, SecretsPolicy
from devlore_cli.dates import both
from devlore_cli.session import Session, command

_ACTIONS: tuple[SecretsAction, ...] = get_args(SecretsAction)
_MEANING: dict[SecretsAction, str] = {
    "redact": "a secret in a text is masked before the text is stored",
    "block": "a text that holds a secret is refused",
    "flag": "a text that holds a secret is stored as it is, tagged contains-secret",
}


@click.group()
def policy() -> None:
    """What the organisation has chosen to do with what is written to it."""


@policy.command()
@click.argument("verb", metavar="[get|set]", type=click.Choice(["get", "set"]), default="get")
@click.argument("action", metavar="[redact|block|flag]", type=click.Choice(_ACTIONS), required=False)
@command
def secrets(session: Session, verb: Literal["get", "set"], action: SecretsAction | None) -> None:
    """Show or choose what happens to secrets.

    Those are keys, tokens and passwords in what is stored.
    """
    if (verb == "set") is not (action is not None):
        raise click.UsageError(f"Say: devlore policy secrets, or: devlore policy secrets set {'|'.join(_ACTIONS)}")
    policies = session.client.policies
    found = policies.secrets() if action is None else policies.set_secrets(action)
    session.one(found, lambda one: _shown(session, one))


def _shown(session: Session, found: SecretsPolicy) -> None:
    session.out.line(f"{session.out.style(found.action, 'bold')}: {_MEANING[found.action]}.")
    if found.changed_at is not None:
        session.note(f"Chosen {both(found.changed_at)}.")
