"""The event log in PostgreSQL: outbox, timeline, change feed and resume buffer in one table."""

from devlore_server.kit.log.consumer import Consumer, away
from devlore_server.kit.log.cursors import Cursors, PostgresCursors
from devlore_server.kit.log.event_log import START, EventLog, Position, Tail, encoded
from devlore_server.kit.log.hint import Hint, RedisHint

__all__ = [
    "START",
    "Consumer",
    "Cursors",
    "EventLog",
    "Hint",
    "Position",
    "PostgresCursors",
    "RedisHint",
    "Tail",
    "away",
    "encoded",
]
