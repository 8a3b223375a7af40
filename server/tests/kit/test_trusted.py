"""Models from trusted values are in nothing different from validated ones."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from devlore_server.kit.trusted import trusted


class Leaf(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    size: int = 1


class Tree(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    leaves: list[Leaf]
    root: Leaf | None = None


def made() -> tuple[Tree, Tree]:
    values = {"leaves": [{"name": "a", "size": 2}], "root": {"name": "b", "size": 3}}
    leaves = [trusted(Leaf, {"name": "a", "size": 2})]
    return trusted(Tree, {"leaves": leaves, "root": trusted(Leaf, {"name": "b", "size": 3})}), Tree(**values)


def test_equal_written_and_copied_like_a_validated_one() -> None:
    one, other = made()
    assert one == other
    assert one.model_dump_json() == other.model_dump_json()
    assert one.model_dump(exclude_unset=True) == other.model_dump(exclude_unset=True)
    assert one.model_copy(update={"root": None}) == other.model_copy(update={"root": None})
    assert repr(one) == repr(other)
    assert Tree.model_validate(one) is one


def test_still_frozen() -> None:
    one, _ = made()
    with pytest.raises(ValidationError):
        one.leaves = []  # type: ignore[misc]
