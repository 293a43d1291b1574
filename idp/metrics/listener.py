"""Serves `/metrics` on a port of its own, which no proxy leads to; and `/healthz`, whether the process works."""

import json
import math
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import structlog

from idp.metrics import instruments

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

PARTS = ("serve", "worker", "desk")
"""The commands with metrics. The port of each is that of the setting plus its place here."""
_SECONDS = 5.0  # how long a client may take to send its whole request, and then to receive the answer
# The most connections at once, each of which has a thread: more are closed. Few programs watch a process.
_CONNECTIONS = 32
# Seconds between two looks at the parent process. Once it has ended, the next parent needs the port.
_PARENT_SECONDS = 0.5
# Where `prometheus_client` writes the files of processes that count together; by default, in the temporary folder.
_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
log = structlog.get_logger()

Health = Callable[[], str]  # returns what is wrong with the process, or an empty text


class CannotListenError(Exception):
    """The metrics cannot be served; the text says why."""


def place_of(bind: str, part: str) -> tuple[str, int]:
    """Return the host and the port of a command's metrics; see `IDP_METRICS_BIND`."""
    host, _, port = bind.rpartition(":")
    return host.strip("[]"), int(port) + PARTS.index(part)


@contextmanager
def serving_apart(bind: str, part: str) -> Iterator[None]:
    """Serve the metrics of workers in a process of its own during the block, and delete their files after it.

    The files are in a new folder, since those of former processes would be counted too.

    Raises:
        CannotListenError: another process has the port, or this machine has no such IP; or no folder can be made.
    """
    listening = _listen(bind, part)
    try:
        folder = mkdtemp(prefix="idp-metrics-", dir=os.environ.get(_FOLDER) or None)
    except OSError as fault:
        raise CannotListenError(f"cannot make the folder {fault.filename} ({fault.strerror})") from fault
    os.environ[_FOLDER], parent = folder, os.getpid()  # the workers are forked
    get_context("fork").Process(
        target=_run, args=(listening, folder, part, parent), name="metrics", daemon=True
    ).start()
    listening.close()
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def serve_here(bind: str, part: str, read: instruments.Read, health: Health) -> None:
    """Serve the metrics of this process, which are counted from now on, in threads of its own.

    Raises:
        CannotListenError: see `serving_apart`.
    """
    from idp.metrics.exposition import Readings  # noqa: PLC0415 - the workers of `idp serve` do not need it

    listening, registry = _listen(bind, part), instruments.start()
    registry.register(Readings(read))
    instruments.start_at_zero()
    server = _server(listening, registry, part, health)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()


def _run(listening: socket.socket, folder: str, part: str, parent: int) -> None:
    from prometheus_client import CollectorRegistry  # noqa: PLC0415 - most services have no metrics
    from prometheus_client.multiprocess import MultiProcessCollector  # noqa: PLC0415 - as above

    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends, and this process with it
    registry = CollectorRegistry()
    MultiProcessCollector(registry, folder)
    server = _server(listening, registry, part, str)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    while os.getppid() == parent:
        time.sleep(_PARENT_SECONDS)


def _listen(bind: str, part: str) -> socket.socket:
    host, port = place_of(bind, part)
    try:
        [(family, kind, _, _, sockaddr), *_] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        listening = socket.socket(family, kind)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(sockaddr)
        listening.listen()
    except OSError as fault:
        raise CannotListenError(f"cannot listen on {host}:{port} for the metrics ({fault.strerror})") from fault
    return listening


def _server(listening: socket.socket, registry: "CollectorRegistry", part: str, health: Health) -> ThreadingHTTPServer:
    from idp.metrics import exposition  # noqa: PLC0415 - as in `serve_here`

    exposition.add_build(registry, part)
    server = _Server(listening.getsockname()[:2], _Handler, bind_and_activate=False)
    server.text, server.health = partial(exposition.text, registry), health
    server.socket.close()
    server.socket = listening
    return server


class _Server(ThreadingHTTPServer):
    """Closes connections whose requests are not complete in time, as the timeout of a socket is that of each read."""

    text: Callable[[str], tuple[bytes, str]]
    health: Health

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._ends: dict[Any, float] = {}  # when the request of each open connection must be complete

    def verify_request(self, _request: object, _client_address: object) -> bool:
        """Return whether there is a thread for one more connection."""
        return len(self._ends) < _CONNECTIONS

    def process_request(self, request: Any, client_address: Any) -> None:
        self._ends[request] = time.monotonic() + _SECONDS
        super().process_request(request, client_address)

    def note_received(self, request: Any) -> None:
        """Note that a request is complete: what it asks for may take longer."""
        self._ends[request] = math.inf

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        self._ends.pop(request, None)

    def service_actions(self) -> None:
        """Disconnect slow clients: `serve_forever` calls this twice a second, or more often."""
        for request, end in self._ends.copy().items():
            if end < time.monotonic():
                with suppress(OSError):  # its thread has closed it
                    request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, _request: object, _client_address: object) -> None:
        """Log the error of a request; a client that went away is none."""
        if not isinstance(sys.exception(), OSError):
            log.exception("a request for metrics failed")  # noqa: LOG004 - an exception is being handled


class _Handler(BaseHTTPRequestHandler):
    timeout = _SECONDS
    server: _Server
    server_version, sys_version = "idp", ""

    def do_GET(self) -> None:
        """Answer `/metrics` and `/healthz`; 400 if the URL cannot be read."""
        self.server.note_received(self.connection)
        try:
            path = urlsplit(self.path).path
        except ValueError:
            path = ""
        if path == "/metrics":
            self._answer(200, *self.server.text(self.headers.get("Accept", "")))
        elif path == "/healthz":
            fault = self.server.health()
            self._answer(503 if fault else 200, json.dumps({"status": fault or "ok"}).encode(), "application/json")
        else:
            self._answer(404 if path else 400, b"", "text/plain")

    def _answer(self, status: int, body: bytes, media_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the standard library
        """Log nothing: a request each few seconds says nothing."""
