"""`python -m clients.ent`: serves the ENT by gunicorn until SIGTERM or Ctrl-C."""

import logging
import os
import socket
import sqlite3
import sys
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from clients.ent.app import create_app
from clients.ent.settings import SettingsError, read_settings

_THREADS = 8
_GRACE = 10
"""Seconds that requests on their way have to end after SIGTERM."""


class _Server(BaseApplication):  # type: ignore[misc]  # gunicorn publishes no types
    """Gunicorn, given an application and a socket that already listens."""

    def __init__(self, app: Flask, listener: socket.socket) -> None:
        self._app = app
        self._listener = listener
        super().__init__()

    def load_config(self) -> None:
        """Set what a small site needs; nothing is read from the command line or from a file."""
        choices: dict[str, Any] = {
            "bind": f"fd://{self._listener.fileno()}",
            "worker_class": "gthread",
            "workers": 1,
            "threads": _THREADS,
            "timeout": 30,
            "graceful_timeout": _GRACE,
            "loglevel": "warning",
            "control_socket_disable": True,
            "proc_name": "ent",
        }
        for name, value in choices.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Return the application, made before the worker is."""
        return self._app


def main() -> int:
    """Serve the ENT; 2 for a setting that cannot be used, said in one sentence each."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        settings = read_settings(os.environ)
        app = create_app(settings)
    except SettingsError as error:
        return _fail(*error.faults)
    except (OSError, sqlite3.Error) as error:
        return _fail(f"ENT_DATABASE cannot be used: {error}.")
    try:
        listener = socket.create_server(settings.bind, backlog=64)
    except OSError as error:
        return _fail(f"ENT_BIND {settings.bind[0]}:{settings.bind[1]} cannot be listened on: {error.strerror}.")
    host, port = listener.getsockname()[:2]
    sys.stdout.write(f"{settings.name}: {settings.public_url} (listening on {host}:{port})\n")
    sys.stdout.flush()
    _Server(app, listener).run()
    return 0


def _fail(*sentences: str) -> int:
    """Say what is wrong, on stderr."""
    for sentence in sentences:
        sys.stderr.write(f"{sentence}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
