"""ETag, If-Match and If-None-Match (RFC 9110 §13) of what has a version: the version is the entity tag."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import Header

_TAG = re.compile(r'(W/)?"([^"]*)"')

ETAG_HEADER: dict[str, Any] = {
    "ETag": {"description": "Its version.", "schema": {"type": "string"}, "example": '"1"'},
}

IfMatch = Annotated[
    str | None,
    Header(
        description='The version the change was made to, as its ETag (`"3"`); `*` for whatever is current.',
        examples=['"3"'],
    ),
]
IfNoneMatch = Annotated[
    str | None, Header(description="The ETag you have: answers 304 while it is current.", examples=['"3"'])
]


def etag(version: int) -> dict[str, str]:
    """The header that names a version."""
    return {"ETag": f'"{version}"'}


def expected(if_match: str | None) -> frozenset[int] | None:
    """The versions If-Match accepts, None for any; a tag that never was ours (or a weak one) accepts none."""
    if if_match is None or if_match.strip() == "*":
        return None
    strong = [tag for weak, tag in _TAG.findall(if_match) if not weak]
    return frozenset(int(tag) for tag in strong if re.fullmatch(r"[1-9][0-9]{0,9}", tag))


def unchanged(if_none_match: str | None, version: int) -> bool:
    """Whether the caller has this version already (weak comparison)."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or str(version) in {tag for _, tag in _TAG.findall(if_none_match)}
