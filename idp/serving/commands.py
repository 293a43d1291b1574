"""`idp serve`: granian with one process per core and threads, behind a proxy."""

import asyncio
import ctypes
import os
import resource
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import click
import structlog
from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings
from granian.log import LogLevels

from idp.serving import server
from idp.serving.server import UNIX, Listener, Server

if TYPE_CHECKING:
    from flask import Flask

    from idp.config import Settings
    from idp.serving.bridge import Bridge

_CONNECTIONS = 8192  # the most open connections of one worker
_OTHER_FILES = 256  # descriptors that a worker needs beside its connections
_STOP_SECONDS = 20
# Lines of granian go to the handler of `idp.logging`.
_LOGGING: dict[str, Any] = {"formatters": {}, "handlers": {}, "loggers": {"_granian": {"propagate": True}}}
_MAX_PORT = 65535
_M_ARENA_MAX, _ARENAS = -8, 1  # the parameter of glibc's `mallopt`, and its value
_LoadSettings = Callable[[], "Settings"]
_CreateApp = Callable[["Settings"], "Flask"]

log = structlog.get_logger()


def command(
    load_settings: _LoadSettings,
    create_app: _CreateApp,
    *,
    bind: str = "127.0.0.1:8000",
    workers: int = 0,
    help: str = "Serve pages and protocol endpoints. On SIGTERM, drain, then stop.",  # noqa: A002 - Click's name
    part: str = "serve",
) -> click.Command:
    """Return a command `serve`, which reads the settings when it runs; each worker calls `create_app`.

    Args:
        load_settings: returns the settings, or ends the command.
        create_app: returns the application of one worker.
        bind: where the command listens by default.
        workers: the number of workers by default; 0 means one for each core.
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
    @click.option(
        "--workers",
        type=click.IntRange(1, 64),
        default=default_workers or os.cpu_count() or 1,
        show_default=True if default_workers else "one for each core",
    )
    @click.option("--threads", type=click.IntRange(1, 64), default=32, show_default=True)
    def serve(bind: str, workers: int, threads: int) -> None:
        _serve(load_settings, create_app, part, bind, workers, threads)

    return serve


def _serve(
    load_settings: _LoadSettings, create_app: _CreateApp, part: str, bind: str, workers: int, threads: int
) -> None:
    _limit_arenas()  # before any thread has one, here and in the workers, which are forked
    settings = load_settings()
    with ExitStack() as stack:
        if settings.metrics_bind:  # before the listener, whose socket a process of the metrics must not keep open
            _count(stack, settings.metrics_bind, part)
        _run(settings, create_app, bind, workers, threads)


def _run(settings: "Settings", create_app: _CreateApp, bind: str, workers: int, threads: int) -> None:
    listener = Listener(bind)
    parent = Server(
        listener,
        settings.drain_seconds,
        interface=Interfaces.ASGINL,
        http=HTTPModes.http1,
        loop=Loops.uvloop,
        websockets=False,
        workers=workers,
        backpressure=_most_connections(),
        http1_settings=HTTP1Settings(
            header_read_timeout=int(1000 * server.READ_SECONDS), max_buffer_size=server.MAX_HEAD
        ),
        log_dictconfig=_LOGGING,
        log_level=LogLevels.warning,
        respawn_failed_workers=True,
        workers_kill_timeout=_STOP_SECONDS,
    )
    log.info("server.listening", url=listener.url, workers=workers, threads=threads)
    loader: Any = partial(_load, create_app, settings, threads, parent)  # granian's type is for functions
    parent.serve(target_loader=loader, wrap_loader=False)


def _count(stack: ExitStack, bind: str, part: str) -> None:
    """Serve the metrics of the workers, and count in this process those that fail."""
    from idp.metrics import instruments, listener  # noqa: PLC0415 - most services have no metrics

    try:
        stack.enter_context(listener.serving_apart(bind, part))
    except listener.CannotListenError as fault:
        raise click.ClickException(str(fault)) from fault
    instruments.start("parent")


def _load(create_app: _CreateApp, settings: "Settings", threads: int, server: Server, worker: int) -> "Bridge":
    """Return the application of one worker; granian calls this in the worker's process."""
    server.begin_worker()
    from idp.metrics import instruments  # noqa: PLC0415 - the parent needs no application
    from idp.serving.bridge import Bridge, door_of  # noqa: PLC0415 - as above

    if settings.metrics_bind:
        instruments.start(str(worker))
    bridge = Bridge(door_of(create_app(settings)), threads)
    if settings.metrics_bind:
        instruments.start_at_zero()
    bridge.heartbeat.start(asyncio.get_event_loop())
    server.finish_loading()
    return bridge


def _limit_arenas() -> None:
    """Let all threads of a process share one arena of glibc's malloc; other C libraries have none.

    An arena keeps what its threads ever needed at once. With eight for each core, which is the default, a flood of
    sign-ins would leave 40 MiB more in each worker.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)


def _check_bind(_ctx: click.Context, _option: click.Parameter, value: str) -> str:
    if value.startswith(UNIX):
        return value
    host, colon, port = value.rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit() and int(port) <= _MAX_PORT):
        raise click.BadParameter(f"{value!r} is not HOST:PORT, such as 127.0.0.1:8000 or [::1]:8000")
    return value


def _most_connections() -> int:
    """Return the most connections of one worker, by the descriptors that it may have; ask for as many as allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wished = _CONNECTIONS + _OTHER_FILES
    if soft < wished:
        soft = wished if hard == resource.RLIM_INFINITY else min(wished, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(_CONNECTIONS, soft - _OTHER_FILES))
