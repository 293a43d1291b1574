"""Gunicorn's log as JSON lines, without its quotations of requests, whose paths may have secrets."""

from typing import Any

from gunicorn.glogging import Logger

_QUOTES = "Invalid request"


class Log(Logger):  # type: ignore[misc] # gunicorn publishes no types
    """Sends gunicorn's lines to the handler of `idp.logging`."""

    def setup(self, cfg: Any) -> None:
        """Propagate lines to the root logger, which writes them."""
        super().setup(cfg)
        self.error_log.propagate = True

    def warning(self, msg: str, *args: Any, **options: Any) -> None:
        """Log an invalid request without quoting it."""
        if str(msg).startswith(_QUOTES):
            self.error_log.warning("invalid HTTP request")
        else:
            super().warning(msg, *args, **options)

    def exception(self, _msg: str, *_args: Any, **_options: Any) -> None:
        """Log an error outside the application, without the request."""
        self.error_log.error("a request failed in the server", exc_info=True)
