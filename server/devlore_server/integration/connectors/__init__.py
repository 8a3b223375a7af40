"""Every connector by name: the one place that lists them."""

from __future__ import annotations

from devlore_server.integration.connector import Connector
from devlore_server.integration.connectors.git import GitConnector
from devlore_server.integration.connectors.markdown import MarkdownConnector

CONNECTORS: dict[str, Connector] = {one.name: one for one in (GitConnector(), MarkdownConnector())}
