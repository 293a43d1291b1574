"""The application as granian calls it (RSGI), answered by threads as WSGI (PEP 3333).

Granian parses requests in its own threads and calls `__rsgi__` when it has the head of one. The body is collected in
the event loop until a deadline, so that a slow client has a socket but no thread. The threads of this module then run
the WSGI application: they wait for the database and for password hashes.

Requests with a body must have a `Content-Length` (RFC 9112 6.3 allows a server to require it): browsers and the
libraries of ENTs send it, and a buffering proxy adds it. Granian would collect chunks without a limit.
"""

import asyncio
import os
import signal
import sys
import threading
from io import BytesIO
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog
from granian.rsgi import HTTPProtocol, ProtocolClosed, ProtocolError, Scope  # type: ignore[attr-defined]

from idp.serving import limits
from idp.web.http import MAX_BODY

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

_LINGER_SECONDS = 2.0
"""Seconds in which a body that was not awaited is discarded, so that the client reads the response (RFC 9112 9.6)."""
_PARENT_SECONDS = 2.0
_PORTLESS = "unix:"
_DIGITS = 12
"""The most digits of a length; a longer number is too large as well."""
_CLOSE = ("connection", "close")

log = structlog.get_logger()


class _Task(NamedTuple):
    """A whole request."""

    scope: Scope
    protocol: HTTPProtocol
    body: bytes
    length: str
    answered: "asyncio.Future[None]"
    oversized: bool


class Bridge:
    """The RSGI application around a WSGI application, with `threads` threads."""

    def __init__(self, application: "WSGIApplication", threads: int) -> None:
        self._application = application
        self._threads = threads
        self._tasks: SimpleQueue[_Task] = SimpleQueue()
        self._fixed: WSGIEnvironment = {
            "SCRIPT_NAME": "",
            "wsgi.version": (1, 0),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
        }

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the threads, in the worker's process."""
        self._loop = loop
        for _ in range(self._threads):
            threading.Thread(target=self._work, name="request", daemon=True).start()
        loop.call_later(_PARENT_SECONDS, self._watch_parent, os.getppid())

    async def __rsgi__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        """Collect a request, and wait until a thread has answered it."""
        headers = scope.headers
        length = headers.get("content-length") or "0"
        oversized = len(length) > _DIGITS or int(length) > MAX_BODY
        body, refusal = b"", 0
        if "transfer-encoding" in headers:
            refusal = 411
        elif len(scope.path) + len(scope.query_string) > limits.MAX_TARGET:
            refusal = 414
        elif length != "0" and not oversized:
            try:
                async with asyncio.timeout(limits.READ_SECONDS):
                    body = await protocol()
            except TimeoutError:
                refusal = 408
            except (ProtocolClosed, ProtocolError):
                refusal = 400
        if refusal:
            log.warning("request refused before it was answered", status=refusal)
            protocol.response_empty(refusal, [_CLOSE])
            await _discard(protocol)
            return
        task = _Task(scope, protocol, body, length, self._loop.create_future(), oversized)
        self._tasks.put(task)
        await task.answered
        if oversized:
            await _discard(protocol)

    def _work(self) -> None:
        while True:
            self._answer(self._tasks.get())

    def _answer(self, task: _Task) -> None:
        """Answer a request. No reference to it stays: granian closes a connection when nobody can read from it."""
        try:
            self._run(task)
        except Exception:
            log.exception("a request failed in the server")
            task.protocol.response_empty(500, [])
        self._loop.call_soon_threadsafe(_note, task.answered)

    def _run(self, task: _Task) -> None:
        """Run the application, and send its response."""
        started: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            del exc_info  # nothing is sent before the end
            started[:] = status, headers
            return None

        parts = self._application(self._environment(task), start_response)
        try:
            content = b"".join(parts)
        finally:
            if hasattr(parts, "close"):
                parts.close()
        status, headers = started
        if task.oversized:
            headers = [*headers, _CLOSE]
        task.protocol.response_bytes(int(status[:3]), headers, content)

    def _environment(self, task: _Task) -> "WSGIEnvironment":
        scope = task.scope
        environ = {
            **self._fixed,
            "REQUEST_METHOD": scope.method,
            "PATH_INFO": _latin(scope.path),
            "QUERY_STRING": _latin(scope.query_string),
            "REMOTE_ADDR": _host(scope.client),
            "SERVER_NAME": _host(scope.server),
            "SERVER_PORT": scope.server.rpartition(":")[2],
            "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
            "CONTENT_LENGTH": task.length,
            "wsgi.url_scheme": scope.scheme,
            "wsgi.input": BytesIO(task.body),
        }
        for name, value in scope.headers.items():
            if "_" in name:  # it would be taken for the header with a hyphen, which a proxy checks
                continue
            key = f"HTTP_{name.upper().replace('-', '_')}"
            environ[key] = f"{environ[key]},{value}" if key in environ else value
        environ["CONTENT_TYPE"] = environ.pop("HTTP_CONTENT_TYPE", "")
        environ.pop("HTTP_CONTENT_LENGTH", None)
        return environ

    def _watch_parent(self, parent: int) -> None:
        """Stop this worker when its master is gone, which cannot stop it any more."""
        if os.getppid() == parent:
            self._loop.call_later(_PARENT_SECONDS, self._watch_parent, parent)
        else:
            os.kill(os.getpid(), signal.SIGTERM)


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
