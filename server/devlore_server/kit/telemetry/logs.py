"""Log lines: an event name with keys and values, request and caller from context; never bodies, never secrets."""

from __future__ import annotations

import logging
import os
import re
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any, Literal

import orjson
import psycopg
import structlog
from pydantic import ValidationError

LONGEST = 1_000
_SECRET = re.compile(
    r"(?:^|_)(?:password|passwd|secret|token|authorization|cookie|credential|api_?key|body|title|content|query)s?$",
    re.IGNORECASE,
)
_URL_PASSWORD = re.compile(r"(\w+://[^\s:/@]*):[^\s@/]+@")
_FRAMES = 25


def configure_logs(form: Literal["json", "console"] = "json", level: str = "info") -> None:
    """Set up structlog, and send the standard library's loggers (uvicorn's, psycopg's) the same way, to stderr."""
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        render_exception,
        redact,
    ]
    renderer: structlog.typing.Processor
    if form == "json":
        renderer = structlog.processors.JSONRenderer(serializer=_to_json)
    else:
        # The exception is text already; the console renderer must not print frames with their local variables.
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty() and not os.environ.get("NO_COLOR"),
            exception_formatter=structlog.dev.plain_traceback,
        )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, structlog.stdlib.ExtraAdder(), said_once, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(threshold, logging.INFO))
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.setLevel(logging.NOTSET)
        logger.propagate = name != "uvicorn.access"  # requests are measured, not printed
    # It would say the whole address of every request that leaves, with whatever its query holds.
    logging.getLogger("httpx2").setLevel(logging.WARNING)


def said_once(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Without uvicorn's second copy of a message, which is for terminals: full of escapes, and not filled in."""
    event.pop("color_message", None)
    return event


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Blank values whose name says they are content or secret, passwords in URLs, and anything very long."""
    for key, value in event.items():
        if _SECRET.search(key):
            event[key] = "[redacted]"
        elif isinstance(value, str) and key != "exception":
            event[key] = _URL_PASSWORD.sub(r"\1:[redacted]@", value if len(value) <= LONGEST else value[:LONGEST] + "…")
    return event


def render_exception(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace ``exc_info`` by text: frames without local variables, messages without the values they quote."""
    info = event.pop("exc_info", None)
    if info is True:
        info = sys.exc_info()
    if isinstance(info, tuple):
        info = info[1]
    if isinstance(info, BaseException):
        event["exception"] = safe_traceback(info)
    return event


def safe_traceback(error: BaseException) -> str:
    """A traceback that may be logged: no local variables, and messages that quote data are summed up."""
    chain: list[str] = []
    current: BaseException | None = error
    while current is not None and len(chain) < 5:
        frames = traceback.format_list(traceback.extract_tb(current.__traceback__)[-_FRAMES:])
        chain.append("".join(frames) + f"{type(current).__qualname__}: {_safe_message(current)}")
        if isinstance(current, BaseExceptionGroup):
            chain.extend(safe_traceback(inner) for inner in current.exceptions[:3])
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return "\n\ncaused by\n".join(chain)


def _safe_message(error: BaseException) -> str:
    if isinstance(error, psycopg.Error) and error.sqlstate is not None:
        # PostgreSQL quotes rows in its messages; the state and the constraint's name are enough to find the place.
        return f"SQLSTATE {error.sqlstate} {error.diag.constraint_name or error.diag.table_name or ''}".rstrip()
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['type']}" for e in error.errors()[:5])
    text = str(error)
    text = text if len(text) <= 300 else text[:300] + "…"
    return _URL_PASSWORD.sub(r"\1:[redacted]@", text)


def _to_json(event: Any, **_options: Any) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
