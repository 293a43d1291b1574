"""`idp serve`: granian with one process per core and threads, behind a proxy."""

import ctypes
import os
import resource
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings
from granian.log import LogLevels

from idp.serving import limits

if TYPE_CHECKING:
    from flask import Flask
    from granian.server.common import AbstractServer

    from idp.config import Settings
    from idp.serving.bridge import Bridge

_BACKLOG = 2048
_CONNECTIONS = 8192
"""The most open connections of one worker."""
_OTHER_FILES = 256
"""Descriptors that a worker needs beside its connections."""
_ANYBODY = 0o666
"""The mode of a socket file: the proxy is another user. The folder decides who reaches it."""
_STOP_SECONDS = 20
_LOGGING: dict[str, Any] = {"formatters": {}, "handlers": {}, "loggers": {"_granian": {"propagate": True}}}
"""Lines of granian go to the handler of `idp.logging`."""
_MAX_PORT = 65535
_M_ARENA_MAX, _ARENAS = -8, 1
"""The parameter of glibc's `mallopt`, and its value."""
_UNIX = "unix:"
_LoadSettings = Callable[[], "Settings"]
_CreateApp = Callable[["Settings"], "Flask"]


def command(
    load_settings: _LoadSettings,
    create_app: _CreateApp,
    *,
    bind: str = "127.0.0.1:8000",
    workers: int = os.cpu_count() or 1,
    help: str = "Serve pages and protocol endpoints. On SIGTERM, answer the current requests, then stop.",  # noqa: A002 - Click's name
    part: str = "serve",
) -> click.Command:
    """Return a command `serve`, which reads the settings when it runs; each worker calls `create_app`.

    Args:
        load_settings: returns the settings, or ends the command.
        create_app: returns the application of one worker.
        bind: where the command listens by default.
        workers: the number of workers by default.
        help: the help of the command.
        part: the name of the command in the metrics.
    """
    default_bind, default_workers = bind, workers

    @click.command("serve", help=help)
    @click.option(
        "--bind",
        default=default_bind,
        show_default=True,
        metavar="HOST:PORT",
        callback=_check_bind,
        help="Host and port to listen on, or unix:PATH for a socket file.",
    )
    @click.option("--workers", type=click.IntRange(1, 64), default=default_workers, show_default=True)
    @click.option("--threads", type=click.IntRange(1, 64), default=32, show_default=True)
    def serve(bind: str, workers: int, threads: int) -> None:
        _serve(load_settings, create_app, part, bind, workers, threads)

    return serve


def _serve(
    load_settings: _LoadSettings, create_app: _CreateApp, part: str, bind: str, workers: int, threads: int
) -> None:
    """Serve until SIGTERM."""
    _limit_arenas()  # before any thread has one, here and in the workers, which are forked
    settings = load_settings()
    _check_free(bind)
    if settings.metrics_bind:
        create_app = _counting(create_app, settings.metrics_bind, part, workers)
    socket_file = Path(bind.removeprefix(_UNIX)) if bind.startswith(_UNIX) else None
    host, _, port = bind.rpartition(":")
    server = Granian(
        "idp",
        address="127.0.0.1" if socket_file else host.strip("[]"),
        port=0 if socket_file else int(port),
        uds=socket_file,
        uds_permissions=_ANYBODY,
        interface=Interfaces.ASGINL,
        http=HTTPModes.http1,
        loop=Loops.uvloop,
        websockets=False,
        workers=workers,
        backlog=_BACKLOG,
        backpressure=_most_connections(),
        http1_settings=HTTP1Settings(
            header_read_timeout=int(1000 * limits.READ_SECONDS), max_buffer_size=limits.MAX_HEAD
        ),
        log_dictconfig=_LOGGING,
        log_level=LogLevels.warning,
        respawn_failed_workers=True,
        workers_kill_timeout=_STOP_SECONDS,
    )
    loader: Any = partial(_load, create_app, settings, threads, server, os.getpid())  # granian's type is for functions
    server.serve(target_loader=loader, wrap_loader=False)


def _counting(create_app: _CreateApp, bind: str, part: str, workers: int) -> _CreateApp:
    """Serve the metrics of the workers; return a function that creates an application and counts in its process."""
    from idp.metrics import instruments, listener  # noqa: PLC0415 - most services have no metrics

    try:
        memory = listener.serve_apart(bind, part, workers)
    except listener.CannotListenError as fault:
        raise click.ClickException(str(fault)) from fault

    def create_counting(settings: "Settings") -> "Flask":
        instruments.attach(memory)
        return create_app(settings)

    return create_counting


def _load(
    create_app: _CreateApp, settings: "Settings", threads: int, server: "AbstractServer[Any]", parent: int
) -> "Bridge":
    """Return the application of one worker; granian calls this in the worker's process."""
    _stop_while_loading(server)
    from idp.serving.bridge import Bridge, door_of, stop_without  # noqa: PLC0415 - the parent needs no application

    stop_without(parent)
    return Bridge(door_of(create_app(settings)), threads)


def _stop_while_loading(server: "AbstractServer[Any]") -> None:
    """Let SIGTERM end this worker until it serves; granian then installs its own handler.

    A forked worker has the handlers of its parent, which only note the signal: the worker would continue to start, and
    the parent would kill it after `_STOP_SECONDS`. Ctrl-C reaches all processes of a terminal; the parent passes it on
    as SIGTERM.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if server.interrupt_signal:
        raise SystemExit(0)


def _limit_arenas() -> None:
    """Let all threads of a process share one arena of glibc's malloc; other C libraries have none.

    An arena keeps what its threads ever needed at once. With eight for each core, which is the default, a flood of
    sign-ins would leave 40 MiB more in each worker.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)


def _check_bind(_ctx: click.Context, _option: click.Parameter, value: str) -> str:
    """Refuse a value that is neither an address nor a socket file."""
    if value.startswith(_UNIX):
        return value
    host, colon, port = value.rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit() and int(port) <= _MAX_PORT):
        raise click.BadParameter(f"{value!r} is not HOST:PORT, such as 127.0.0.1:8000 or [::1]:8000")
    return value


def _check_free(bind: str) -> None:
    """Fail if the port is in use: granian shares a port, so that a second server would get a part of the requests."""
    if bind.startswith(_UNIX):
        _remove_abandoned(Path(bind.removeprefix(_UNIX)))
        return
    host, _, port = bind.rpartition(":")
    try:
        [(family, kind, _, _, sockaddr), *_] = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(sockaddr)
    except OSError as fault:
        raise click.ClickException(f"cannot listen on {bind} ({fault.strerror})") from fault


def _remove_abandoned(path: Path) -> None:
    """Remove the socket file of a server that was killed; fail if a server listens on it."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError as fault:
            raise click.ClickException(f"cannot listen on {_UNIX}{path} ({fault.strerror})") from fault
    raise click.ClickException(f"cannot listen on {_UNIX}{path} (Address already in use)")


def _most_connections() -> int:
    """Return the most connections of one worker, by the descriptors that it may have; ask for as many as allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wished = _CONNECTIONS + _OTHER_FILES
    if soft < wished:
        soft = wished if hard == resource.RLIM_INFINITY else min(wished, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(_CONNECTIONS, soft - _OTHER_FILES))
