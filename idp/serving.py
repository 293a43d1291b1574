"""`idp serve`: gunicorn with threads, the same in development and production (one worker a core, behind a buffering
proxy)."""

import os
from collections.abc import Callable
from typing import Any

import click
from flask import Flask
from gunicorn.app.base import BaseApplication

from idp.config import Settings

_LONGEST_REQUEST_LINE = 8190


class _Gunicorn(BaseApplication):  # type: ignore[misc]
    """Gunicorn, given its application and options by us instead of by a file."""

    def __init__(self, load: Callable[[], Flask], options: dict[str, Any]) -> None:
        self._load_app = load
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        return self._load_app()


def command(settings: Settings, create_app: Callable[[Settings], Flask]) -> click.Command:
    """Return `idp serve`."""

    @click.command("serve")
    @click.option("--bind", default="127.0.0.1:8000", show_default=True, metavar="HOST:PORT")
    @click.option("--workers", type=click.IntRange(1, 64), default=os.cpu_count() or 1, show_default="cores")
    @click.option("--threads", type=click.IntRange(1, 64), default=8, show_default=True)
    def serve(bind: str, workers: int, threads: int) -> None:
        """Serve pages and protocol; stops cleanly on SIGTERM, the requests in hand answered."""
        options = {
            "bind": bind,
            "workers": workers,
            "threads": threads,
            "worker_class": "gthread",
            "keepalive": 75,
            "timeout": 30,
            "graceful_timeout": 20,
            "limit_request_line": _LONGEST_REQUEST_LINE,
            "limit_request_field_size": 16 * 1024,
            "limit_request_fields": 64,
            "worker_tmp_dir": "/dev/shm" if os.path.isdir("/dev/shm") else None,  # noqa: S108, PTH112 - the heartbeat file
            "proc_name": "idp serve",
            "loglevel": "warning",
            "control_socket_disable": True,
        }
        _Gunicorn(lambda: create_app(settings), options).run()

    return serve
