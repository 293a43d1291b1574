"""Log lines: one JSON object a line on stderr, in ASCII, UTC, with the request's id; never the text of an exception.

The level is for what this service says. Libraries keep at least INFO, and those that would write secrets or statements
at it keep WARNING: turning the level down to DEBUG must never put a token into a file.
"""

import json
import logging
import sys
import threading
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

_TALKATIVE = (
    "authlib",
    "werkzeug",
    "sqlalchemy",
    "psycopg",
    "requests",
    "urllib3",
    "aiosmtpd",
    "mail.log",
    "alembic",
    "asyncio",
)
_FRAMES = 12
_lock = threading.Lock()


def configure(level: str = "INFO") -> None:
    """Set structlog and the standard library's loggers up for this process; a second call replaces the first."""
    chosen = logging.getLevelNamesMapping()[level]
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _Handler)]:
        root.removeHandler(handler)
    root.addHandler(_Handler())
    root.setLevel(max(chosen, logging.INFO))
    logging.getLogger("idp").setLevel(chosen)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(chosen, logging.WARNING))
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _without_text,
            structlog.processors.JSONRenderer(ensure_ascii=True),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(chosen),
        logger_factory=lambda *_: _STDERR,
        cache_logger_on_first_use=False,
    )


def write(line: str) -> None:
    """Write `line` to stderr, whole. What cannot be written is lost: a full disk must not stop a sign-in."""
    with _lock:
        try:
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()
        except (OSError, ValueError, AttributeError):  # full, closed, or a process without one
            return


def stamp(moment: datetime) -> str:
    """Return `moment` as all lines show it: ISO 8601, UTC, with a Z."""
    return moment.isoformat().replace("+00:00", "Z")


def frames(error: BaseException) -> list[str]:
    """Return where `error` came from, without its text: a driver's message can hold what a person typed."""
    return [type(error).__name__, *_places(error.__traceback__)]


def _places(trace: TracebackType | None) -> list[str]:
    found = traceback.extract_tb(trace)[-_FRAMES:]
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in found]


def _without_text(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Put where an exception came from in the place of the exception."""
    told = event.pop("exc_info", None)
    error = told if isinstance(told, BaseException) else sys.exception() if told else None
    if error is not None:
        event["where"] = frames(error)
    return event


class _Stderr:
    """What structlog writes to. `sys.stderr` is looked up for each line: others may have put another in its place."""

    def msg(self, line: str) -> None:
        write(line)

    debug = info = warning = error = critical = msg


_STDERR = _Stderr()


class _Handler(logging.Handler):
    """What libraries log, in the same form."""

    def emit(self, record: logging.LogRecord) -> None:
        event: dict[str, Any] = {
            "event": _said(record),
            "logger": record.name,
            **structlog.contextvars.get_contextvars(),
            "level": record.levelname.lower(),
            "timestamp": stamp(datetime.fromtimestamp(record.created, UTC)),
        }
        if record.exc_info and record.exc_info[1] is not None:
            event["where"] = frames(record.exc_info[1])
        write(json.dumps(event, ensure_ascii=True))


def _said(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):  # arguments that do not fit the sentence: a library's slip, not a request's
        return str(record.msg)
