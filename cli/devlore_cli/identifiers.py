"""Arguments that name a memory or a connection by its id."""

from __future__ import annotations

from typing import Any

import click

from devlore_cli.drafting import is_id


class Identifier(click.ParamType[Any]):
    """An argument that must be a whole id: refused here, the message can say what one looks like."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """``value`` if it is an id; raises a usage error."""
        text = str(value).strip()
        if not is_id(text):
            self.fail(
                f"{text!r} is no id: ids have 36 characters, devlore list and devlore search show them.", param, ctx
            )
        return text


ID = Identifier()
