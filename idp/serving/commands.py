"""`idp serve`: gunicorn with one process per core and threads, behind a proxy."""

import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click
from gunicorn.app.base import BaseApplication

if TYPE_CHECKING:
    from flask import Flask

    from idp.config import Settings

_MAX_REQUEST_LINE = 8190
_MAX_PORT = 65535
_UNIX = "unix:"
_LoadSettings = Callable[[], "Settings"]
_CreateApp = Callable[["Settings"], "Flask"]


class _Gunicorn(BaseApplication):  # type: ignore[misc]
    """Gunicorn, configured by options instead of a file."""

    def __init__(self, load: "Callable[[], Flask]", options: dict[str, Any]) -> None:
        self._load_app = load
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> "Flask":
        return self._load_app()


def command(load_settings: _LoadSettings, create_app: _CreateApp) -> click.Command:
    """Return `idp serve`, which reads the settings when it runs; each worker calls `create_app`."""

    @click.command("serve")
    @click.option(
        "--bind",
        default="127.0.0.1:8000",
        show_default=True,
        metavar="HOST:PORT",
        callback=_check_bind,
        help="Host and port to listen on, or unix:PATH for a socket file.",
    )
    @click.option("--workers", type=click.IntRange(1, 64), default=os.cpu_count() or 1, show_default="cores")
    @click.option("--threads", type=click.IntRange(1, 64), default=32, show_default=True)
    def serve(bind: str, workers: int, threads: int) -> None:
        """Serve pages and protocol endpoints. On SIGTERM, answer the current requests, then stop."""
        settings = load_settings()
        _check_free(bind)
        options = {
            "bind": bind,
            "workers": workers,
            "threads": threads,
            "worker_class": "idp.serving.worker.BufferingWorker",
            "logger_class": "idp.serving.log.Log",
            "errorlog": None,
            # IDP_TRUSTED_PROXIES alone decides about forwarded headers. Gunicorn would accept SCRIPT_NAME and PATH_INFO
            # headers from any client on this machine, and from clients behind a proxy on it.
            "secure_scheme_headers": {},
            "forwarder_headers": "",
            "forwarded_allow_ips": "",
            "header_map": "drop",
            "keepalive": 75,
            "timeout": 30,
            "graceful_timeout": 20,
            "limit_request_line": _MAX_REQUEST_LINE,
            "limit_request_field_size": 16 * 1024,
            "limit_request_fields": 64,
            "worker_tmp_dir": "/dev/shm" if os.path.isdir("/dev/shm") else None,  # noqa: S108, PTH112 - the heartbeat file, in memory
            "proc_name": "idp serve",
            "loglevel": "warning",
            "http_parser": "python",  # the tests compare this parser with `arrivals`
            "control_socket_disable": True,
        }
        try:
            _Gunicorn(lambda: create_app(settings), options).run()
        except SystemExit as stop:  # gunicorn has special codes for workers that cannot start
            raise click.exceptions.Exit(1 if stop.code else 0) from stop

    return serve


def _check_bind(_ctx: click.Context, _option: click.Parameter, value: str) -> str:
    """Refuse a value that gunicorn would misread: it takes a single word for a host, with port 8000."""
    if value.startswith(_UNIX):
        return value
    host, colon, port = value.rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit() and int(port) <= _MAX_PORT):
        raise click.BadParameter(f"{value!r} is not HOST:PORT, such as 127.0.0.1:8000 or [::1]:8000")
    return value


def _check_free(bind: str) -> None:
    """Fail at once if the port is in use; gunicorn would retry for five seconds."""
    if bind.startswith(_UNIX):
        return
    host, _, port = bind.rpartition(":")
    try:
        [(family, kind, _, _, sockaddr), *_] = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(sockaddr)
    except OSError as fault:
        raise click.ClickException(f"cannot listen on {bind} ({fault.strerror})") from fault
