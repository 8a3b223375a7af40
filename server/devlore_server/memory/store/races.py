"""Transactions that lost a race: which failures mean that running the whole transaction again will do."""

from __future__ import annotations

from psycopg.errors import DeadlockDetected, SerializationFailure, UniqueViolation


class Raced(Exception):
    """Another transaction stored the same source item first; the next attempt sees its row."""


RACES = (Raced, DeadlockDetected, SerializationFailure, UniqueViolation)
"""Failures that left nothing behind and that another attempt gets past."""
