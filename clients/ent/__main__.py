"""`python -m clients.ent`: serve the ENT with gunicorn until SIGTERM or Ctrl-C."""

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
"""Seconds that running requests have to end after SIGTERM."""


class _Server(BaseApplication):  # type: ignore[misc]  # gunicorn publishes no types
    """Gunicorn for one application and a socket that already listens."""

    def __init__(self, app: Flask, listener: socket.socket) -> None:
        self._app = app
        self._listener = listener
        super().__init__()

    def load_config(self) -> None:
        """Set the options of a small site. Neither the command line nor a configuration file is read."""
        options: dict[str, Any] = {
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
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Return the application, which was created before the worker process."""
        return self._app


def main() -> int:
    """Serve the ENT and return the exit code: 2 for settings that cannot be used, each reported on a line of stderr."""
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


def _fail(*faults: str) -> int:
    """Write the faults to stderr, one on each line, and return the exit code."""
    for fault in faults:
        sys.stderr.write(f"{fault}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
