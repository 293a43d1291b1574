"""What gunicorn says, in our JSON lines. Its own texts quote what clients sent, and addresses of links are secrets."""

from typing import Any

from gunicorn.glogging import Logger

_QUOTES = "Invalid request"


class Log(Logger):  # type: ignore[misc] # gunicorn publishes no types
    """Hands gunicorn's lines to the handler of `idp.logging`."""

    def setup(self, cfg: Any) -> None:
        """Let lines go up to the root logger, which writes them."""
        super().setup(cfg)
        self.error_log.propagate = True

    def warning(self, msg: str, *args: Any, **options: Any) -> None:
        """Say that a request was none; not how it began."""
        if str(msg).startswith(_QUOTES):
            self.error_log.warning("not an HTTP request that can be answered")
        else:
            super().warning(msg, *args, **options)

    def exception(self, _msg: str, *_args: Any, **_options: Any) -> None:
        """Say where a request failed outside the application; not which request it was."""
        self.error_log.error("a request failed in the server", exc_info=True)
