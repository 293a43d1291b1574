"""Log lines: JSON objects on stderr, in ASCII and UTC, with the request's id, without texts of exceptions.

The level applies to this service. Libraries have INFO at least; those that log secrets or SQL statements have WARNING
at least, so that DEBUG never writes a token to a file.
"""

import json
import logging
import sys
import threading
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any

if not TYPE_CHECKING and "rich" not in sys.modules:
    # structlog would import rich for consoles, which takes each process 50 ms and 5 MiB and is not used
    sys.modules["rich"] = None
    import structlog

    del sys.modules["rich"]
else:
    import structlog

if TYPE_CHECKING:
    from structlog.typing import EventDict, WrappedLogger

_VERBOSE_LIBRARIES = (
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
    """Configure structlog and the standard loggers of this process; a second call replaces the first."""
    chosen = logging.getLevelNamesMapping()[level]
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _Handler)]:
        root.removeHandler(handler)
    root.addHandler(_Handler())
    root.setLevel(max(chosen, logging.INFO))
    logging.getLogger("idp").setLevel(chosen)
    for name in _VERBOSE_LIBRARIES:
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
    """Write `line` to stderr. Errors are ignored: a full disk must not stop a sign-in."""
    with _lock:
        try:
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()
        except (OSError, ValueError, AttributeError):  # a full disk, a closed stderr, or none
            return


def stamp(moment: datetime) -> str:
    """Return `moment` in the format of all lines: ISO 8601, UTC, with a Z."""
    return moment.isoformat().replace("+00:00", "Z")


def frames(error: BaseException) -> list[str]:
    """Return the type and the stack of `error`, without its text, which may have personal data."""
    return [type(error).__name__, *_places(error.__traceback__)]


def _places(trace: TracebackType | None) -> list[str]:
    stack = traceback.extract_tb(trace)[-_FRAMES:]
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in stack]


def _without_text(_logger: "WrappedLogger", _name: str, event: "EventDict") -> "EventDict":
    exc_info = event.pop("exc_info", None)
    error = exc_info if isinstance(exc_info, BaseException) else sys.exception() if exc_info else None
    if error is not None:
        event["where"] = frames(error)
    return event


class _Stderr:
    """The output of structlog. `write` looks `sys.stderr` up for each line, since it may be replaced."""

    def msg(self, line: str) -> None:
        write(line)

    debug = info = warning = error = critical = msg


_STDERR = _Stderr()


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, KeyboardInterrupt):  # Ctrl-C ends the command, wherever it met a library
            return
        event: dict[str, Any] = {
            "event": _message(record),
            "logger": record.name,
            **structlog.contextvars.get_contextvars(),
            "level": record.levelname.lower(),
            "timestamp": stamp(datetime.fromtimestamp(record.created, UTC)),
        }
        if error is not None:
            event["where"] = frames(error)
        write(json.dumps(event, ensure_ascii=True))


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):  # a library passed arguments that do not fit its format
        return str(record.msg)
