"""The audit trail: a leaf in the transaction of each change, one for each refusal; reading them is identity's."""

from __future__ import annotations

from devlore_server.kit.audit.leaf import Leaf, Personal
from devlore_server.kit.audit.partitions import ensure_ahead, keep_ahead
from devlore_server.kit.audit.pseudonyms import erase, erase_all
from devlore_server.kit.audit.refusals import INSTANCE, refusal
from devlore_server.kit.audit.writing import NotAudited, Trail, append, new_trail, trail

__all__ = [
    "INSTANCE",
    "Leaf",
    "NotAudited",
    "Personal",
    "Trail",
    "append",
    "ensure_ahead",
    "erase",
    "erase_all",
    "keep_ahead",
    "new_trail",
    "refusal",
    "trail",
]
