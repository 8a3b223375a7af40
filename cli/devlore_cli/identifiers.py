"""Arguments that name something by its id."""

from __future__ import annotations

from typing import Any

import click

from devlore_cli.drafting import is_id


class Identifier(click.ParamType[Any]):
    """An argument that must be a whole id: refused here, the message can say what one looks like."""

    name = "id"

    def __init__(self, listed: str = "devlore list") -> None:
        self._listed = listed

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """``value`` if it is an id; raises a usage error."""
        text = str(value).strip()
        if not is_id(text):
            self.fail(f"{text!r} is no id: ids have 36 characters; {self._listed} shows them.", param, ctx)
        return text


ID = Identifier()
