"""What a memory that was replaced may tell of its successor to everybody who sees it."""

from __future__ import annotations

from datetime import datetime

from devlore.types import Memory, Privacy
from devlore_server.kit.auth import Principal


def told_start(who: Principal, old: Memory, successor: Memory) -> datetime | None:
    """When ``successor`` became valid, for ``old`` to end then; None where that is not for all who may see ``old``.

    ``who`` sees both.
    """
    return successor.valid_from if _seen_by_all(who, old, successor) else None


def _seen_by_all(who: Principal, old: Memory, successor: Memory) -> bool:
    if successor.privacy is Privacy.PUBLIC or old.privacy is Privacy.PRIVATE:
        return True
    if old.privacy is Privacy.PUBLIC or successor.privacy is Privacy.PRIVATE:
        return False
    # An author keeps the sight of what they wrote for a team they have left.
    return old.team_id == successor.team_id and old.created_by in (successor.created_by, who.person)
