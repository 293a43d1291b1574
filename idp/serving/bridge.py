"""The application as granian calls it (RSGI): an event loop receives requests, and threads answer them.

Granian parses requests in its own threads and calls `__rsgi__` when it has the head of one. The body is collected in
the event loop until a deadline, so that a slow client has a socket but no thread. What needs no more than memory is
answered there too; all else by the threads of this module, which wait for the database and for password hashes.

Requests with a body must have a `Content-Length` (RFC 9112 6.3 allows a server to require it): browsers and the
libraries of ENTs send it, and a buffering proxy adds it. Granian would collect chunks without a limit.
"""

import asyncio
import os
import signal
import sys
import threading
from functools import cached_property
from io import BytesIO
from queue import SimpleQueue
from typing import TYPE_CHECKING, NamedTuple, cast

import structlog
from granian.rsgi import HTTPProtocol, ProtocolClosed, ProtocolError, Scope  # type: ignore[attr-defined]
from werkzeug.exceptions import RequestEntityTooLarge

from idp.serving import limits
from idp.web.door.door import Door
from idp.web.http import MAX_BODY, Request, Response

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment
    from flask import Flask

_LINGER_SECONDS = 2.0
"""Seconds in which a body that was not awaited is discarded, so that the client reads the response (RFC 9112 9.6)."""
_PARENT_SECONDS = 2.0
_PORTLESS = "unix:"
_DIGITS = 12
"""The most digits of a length; a longer number is too large as well."""
_CLOSE = ("connection", "close")

log = structlog.get_logger()


class _Request(Request):
    """A request as granian describes it."""

    def __init__(self, scope: Scope, headers: list[tuple[str, str]]) -> None:
        self.method = scope.method
        self.path = "/" + scope.path.lstrip("/")
        self.query_string = scope.query_string.encode(errors="replace")
        self.remote_ip = _host(scope.client)
        self.scheme = scope.scheme
        self.content = b""
        self.length = "0"
        self._scope = scope
        self._headers: dict[str, str] = {}
        for name, value in headers:
            self._headers[name] = f"{self._headers[name]},{value}" if name in self._headers else value

    def header(self, name: str, default: str = "") -> str:
        """Return a header by its name; lines of one name are joined by commas."""
        return self._headers.get(name.lower(), default)

    def has_header(self, name: str) -> bool:
        """Return whether the request has a header of this name."""
        return name.lower() in self._headers

    @property
    def content_type(self) -> str:
        """The header `Content-Type`, or an empty text."""
        return self._headers.get("content-type", "")

    @property
    def oversized(self) -> bool:
        """Whether the body is longer than any that is read: it was not received."""
        return len(self.length) > _DIGITS or int(self.length) > MAX_BODY

    @cached_property
    def body(self) -> bytes:
        """The body.

        Raises:
            RequestEntityTooLarge: It is longer than `MAX_BODY`.
        """
        if self.oversized:
            raise RequestEntityTooLarge
        return self.content

    @cached_property
    def environ(self) -> "WSGIEnvironment":  # type: ignore[override] # made at its first use
        """The WSGI environment (PEP 3333), for Flask."""
        headers = {
            # a header with an underscore would be taken for the one with a hyphen, which a proxy checks
            f"HTTP_{name.upper().replace('-', '_')}": value
            for name, value in self._headers.items()
            if "_" not in name and name not in {"content-type", "content-length"}
        }
        server, _, port = self._scope.server.rpartition(":")
        return {
            "REQUEST_METHOD": self.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": _latin(self.path),
            "QUERY_STRING": self.query_string.decode("latin-1"),
            "REMOTE_ADDR": self.remote_ip,
            "SERVER_NAME": server.strip("[]"),
            "SERVER_PORT": port,
            "SERVER_PROTOCOL": f"HTTP/{self._scope.http_version}",
            "CONTENT_TYPE": self.content_type,
            "CONTENT_LENGTH": self.length,
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": self.scheme,
            "wsgi.input": BytesIO(self.content),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
            **headers,
        }


class _Task(NamedTuple):
    """A whole request, and what to do with its response."""

    request: _Request
    protocol: HTTPProtocol
    answered: "asyncio.Future[None]"


class Bridge:
    """The RSGI application around the door.

    Args:
        door: answers the requests.
        threads: the number of threads for what waits.
        parent: the process that started this worker, and without which it stops.
    """

    def __init__(self, door: Door, threads: int, parent: int) -> None:
        self._door = door
        self._parent = parent
        self._threads = threads
        self._tasks: SimpleQueue[_Task] = SimpleQueue()

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the threads, in the worker's process."""
        self._loop = loop
        for _ in range(self._threads):
            threading.Thread(target=self._work, name="request", daemon=True).start()
        loop.call_later(_PARENT_SECONDS, self._watch_parent)

    async def __rsgi__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        """Collect a request, and answer it from memory or wait until a thread has answered it."""
        request = _Request(scope, scope.headers.items())
        if refusal := await _receive(request, protocol):
            log.warning("request refused before it was answered", status=refusal)
            protocol.response_empty(refusal, [_CLOSE])
            await _discard(protocol)
            return
        response = self._door.answer_at_once(request)
        if response is not None:
            _send(request, response, protocol)
            return
        answered = self._loop.create_future()
        self._tasks.put(_Task(request, protocol, answered))
        await answered
        if request.oversized:
            await _discard(protocol)

    def _work(self) -> None:
        while True:
            self._answer(self._tasks.get())

    def _answer(self, task: _Task) -> None:
        """Answer a request. No reference to it stays: granian closes a connection when nobody can read from it."""
        try:
            _send(task.request, self._door.answer(task.request), task.protocol)
        except BaseException:  # granian panics at a header that HTTP does not allow, and the thread must go on
            log.exception("a request failed in the server")
            task.protocol.response_empty(500, [])
        self._loop.call_soon_threadsafe(_note, task.answered)

    def _watch_parent(self) -> None:
        """Stop this worker when its parent is gone, which cannot stop it any more."""
        if os.getppid() == self._parent:
            self._loop.call_later(_PARENT_SECONDS, self._watch_parent)
        else:
            os.kill(os.getpid(), signal.SIGTERM)


async def _receive(request: _Request, protocol: HTTPProtocol) -> int:
    """Receive the body of a request; return 0, or the status of a refusal."""
    request.length = request.header("content-length") or "0"
    if request.has_header("transfer-encoding"):
        return 411
    if len(request.path) + len(request.query_string) > limits.MAX_TARGET:
        return 414
    if request.length != "0" and not request.oversized:
        try:
            async with asyncio.timeout(limits.READ_SECONDS):
                request.content = await protocol()
        except TimeoutError:
            return 408
        except (ProtocolClosed, ProtocolError):
            return 400
    return 0


def _send(request: _Request, response: Response, protocol: HTTPProtocol) -> None:
    """Give a response to granian."""
    headers = [*response.headers, _CLOSE] if request.oversized else response.headers
    if request.method == "HEAD" and not response.has_length:
        headers = [*headers, ("content-length", str(len(response.body)))]
    protocol.response_bytes(response.status, headers, b"" if request.method == "HEAD" else response.body)


async def _discard(protocol: HTTPProtocol) -> None:
    """Read what a client still sends after its response, for a moment."""
    try:
        async with asyncio.timeout(_LINGER_SECONDS):
            async for _ in protocol:
                pass
    except (TimeoutError, ProtocolClosed, ProtocolError, RuntimeError):
        return


def _note(answered: "asyncio.Future[None]") -> None:
    if not answered.done():
        answered.set_result(None)


def _latin(text: str) -> str:
    """Return a text of the request as WSGI has it: each byte is one character."""
    return text if text.isascii() else text.encode(errors="replace").decode("latin-1")


def _host(peer: str) -> str:
    """Return the IP of an address such as `127.0.0.1:4711` or `[::1]:4711`; empty for a socket file."""
    return "" if peer.startswith(_PORTLESS) else peer.rpartition(":")[0].strip("[]")


def door_of(app: "Flask") -> Door:
    """Return the door of an application."""
    return cast("Door", app.wsgi_app)
