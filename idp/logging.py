"""Log lines: JSON, UTC, with the request's id. Libraries that would write secrets at DEBUG are held above it."""

import logging
import sys

import structlog

_TALKATIVE = ("authlib", "werkzeug", "sqlalchemy", "requests", "urllib3", "aiosmtpd", "alembic")


def configure() -> None:
    """Set structlog and the standard library's loggers up for this process."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=True),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
