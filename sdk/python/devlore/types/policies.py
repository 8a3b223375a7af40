"""What an organisation has chosen to do with what is written to it."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import AwareDatetime

from devlore.types.model import Model

SecretsAction = Literal["redact", "block", "flag"]
"""What happens to a secret in a text: masked, refused with the text, or stored under a tag."""

CONTAINS_SECRET = "contains-secret"
"""The tag of a memory that was stored with a secret, where the policy is ``flag``."""


class SecretsPolicyChange(Model):
    """Choose what happens to secrets in what is stored from now on."""

    action: SecretsAction


class SecretsPolicy(SecretsPolicyChange):
    """What happens to secrets; ``changed_at`` and ``changed_by`` are null while nobody has chosen."""

    action: SecretsAction = "redact"
    changed_at: AwareDatetime | None = None
    changed_by: UUID | None = None
