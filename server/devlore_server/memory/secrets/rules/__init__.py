"""Every rule, most telling first: where two claim the same text, the earlier names it."""

from __future__ import annotations

from typing import Final

from devlore_server.memory.secrets.rule import Rule
from devlore_server.memory.secrets.rules.assignments import ASSIGNMENTS
from devlore_server.memory.secrets.rules.clouds import CLOUDS
from devlore_server.memory.secrets.rules.forges import FORGES
from devlore_server.memory.secrets.rules.protocols import PROTOCOLS
from devlore_server.memory.secrets.rules.services import SERVICES

RULES: Final[tuple[Rule, ...]] = (*CLOUDS, *FORGES, *SERVICES, *PROTOCOLS, *ASSIGNMENTS)
