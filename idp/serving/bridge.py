"""The application as granian calls it (ASGI): an event loop receives requests, and threads answer them.

Granian parses requests in its own threads. The body is collected in the event loop until a deadline, so that a slow
client has a socket but no thread. What needs no more than memory is answered there too; all else by the threads of
`idp.serving.queue`, which wait for the database and for password hashes. A request for which too many wait already, or
which waits too long, is shed: it gets the page « affluence » from memory. None is shed while nothing waits.

Requests with a body must have a `Content-Length` (RFC 9112 6.3 allows a server to require it): browsers and the
libraries of ENTs send it, and a buffering proxy adds it.
"""

import asyncio
import re
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import lru_cache, partial
from http import HTTPStatus
from io import BytesIO
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote_to_bytes

import structlog
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.utils import cached_property

from idp.metrics.catalogue import NOWHERE, REQUESTS
from idp.node import node
from idp.serving import server
from idp.serving.queue import Heartbeat, Late, Queue
from idp.web.door import Door
from idp.web.http import IP_LENGTH, MAX_BODY, MAX_UPLOAD, Request, Response, utf8

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment
    from flask import Flask

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_DIGITS = 12  # the most digits of a length; a longer number is too large as well
_TOLD_SECONDS = 60.0  # how often the log says that requests are shed
_CLOSE = ("Connection", "close")
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

log = structlog.get_logger()


class _Request(Request):
    def __init__(self, scope: Scope) -> None:
        self.method = scope["method"]
        self._path = unquote_to_bytes(scope["raw_path"]).decode("latin-1")
        self.path = "/" + utf8(self._path).lstrip("/")
        self.query_string = scope["query_string"]
        self.remote_ip = (scope["client"] or ("",))[0][:IP_LENGTH]
        self.scheme = scope["scheme"]
        self.content = b""
        self._scope = scope
        self._headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            key, text = name.decode("latin-1"), value.decode("latin-1")
            self._headers[key] = f"{self._headers[key]},{text}" if key in self._headers else text
        length = self._headers.get("content-length", "0")
        self.length = length if length.isdigit() else "0"  # granian refuses other lengths

    def header(self, name: str, default: str = "") -> str:
        return self._headers.get(name.lower(), default)

    def has_header(self, name: str) -> bool:
        return name.lower() in self._headers

    @property
    def content_type(self) -> str:
        return self._headers.get("content-type", "")

    @property
    def is_malformed(self) -> bool:
        """Whether it has not one header `Host` (RFC 9112 3.2), or a method in lower case, which is none of ours."""
        host = self._headers.get("host")  # granian adds an empty one
        return not host or "," in host or not self.method.isupper()

    @property
    def oversized(self) -> bool:
        """Whether the body is longer than any that is read: it was not received."""
        return self.is_longer_than(self.max_body)

    def is_longer_than(self, size: int) -> bool:
        return len(self.length) > _DIGITS or int(self.length) > size

    @cached_property
    def body(self) -> bytes:
        """The body.

        Raises:
            RequestEntityTooLarge: It is longer than `max_body`.
        """
        if self.oversized:
            raise RequestEntityTooLarge
        return self.content

    @cached_property
    def environ(self) -> "WSGIEnvironment":  # made at its first use
        headers = {
            # a header with an underscore would be taken for the one with a hyphen, which a proxy checks
            f"HTTP_{name.upper().replace('-', '_')}": value
            for name, value in self._headers.items()
            if "_" not in name and name not in {"content-type", "content-length"}
        }
        server, port = (self._scope["server"] or ("localhost", None))[:2]
        return {
            "REQUEST_METHOD": self.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": self._path,
            "QUERY_STRING": self.query_string.decode("latin-1"),
            "RAW_URI": self._scope["raw_path"].decode("latin-1"),  # without the query, which nobody needs
            "REMOTE_ADDR": self.remote_ip,
            "SERVER_NAME": server,
            "SERVER_PORT": str(port or ""),
            "SERVER_PROTOCOL": f"HTTP/{self._scope['http_version']}",
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


class Bridge:
    """The ASGI application around a door, with `threads` threads for what waits, and one for probes.

    It is made in the worker's process.
    """

    def __init__(self, door: Door, threads: int, clock: Callable[[], float] = time.perf_counter) -> None:
        self._door, self._clock = door, clock
        self.heartbeat = Heartbeat(clock)
        self._queue = Queue(threads, clock)
        self._probes = Queue(1, clock)
        self._uploads = asyncio.Semaphore(server.MAX_UPLOADS)
        self._told_until = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Collect a request, and answer it from memory or wait until a thread has answered it."""
        request = _Request(scope)
        if self._is_upload(request) and await self._queue.run(partial(self._door.may_upload, request)):
            request.max_body = MAX_UPLOAD
            async with self._uploads:
                await self._respond(request, receive, send)
        else:
            await self._respond(request, receive, send)

    def _is_upload(self, request: _Request) -> bool:
        """Return whether a request has a body that only a page which takes files may receive, and may wait for it."""
        is_long = request.is_longer_than(MAX_BODY) and not request.is_longer_than(MAX_UPLOAD)
        may_be = is_long and request.method == "POST" and self._door.takes_files(request)
        return may_be and self._queue.has_room(self._door.shares(request))

    async def _respond(self, request: _Request, receive: Receive, send: Send) -> None:
        refusal = 400 if request.is_malformed else await _receive(request, receive)
        if refusal:
            response = self._refuse(request, refusal)
        else:
            response = self._door.answer_at_once(request) or await self._answer_in_turn(request)
        is_unread = bool(refusal) or request.oversized
        if is_unread or node.is_stopping:
            response.headers.append(_CLOSE)
        await _send(response, request, send)
        if is_unread:
            await _discard(receive)

    def _refuse(self, request: _Request, status: int) -> Response:
        """Return the response to a request that is not answered: without a body, but for what a browser may send."""
        log.warning("request refused before it was answered", status=status)
        if status != HTTPStatus.REQUEST_URI_TOO_LONG or not self._door.is_for_people(request):
            REQUESTS.count(NOWHERE, "4xx")
            return Response(status=status)
        return self._attempt(partial(self._door.refuse, status=status), request)

    async def _answer_in_turn(self, request: _Request) -> Response:
        """Return the response of a thread, or that of an overloaded service, if too many wait or the loop is late."""
        queue = self._probes if self._door.is_probe(request) else self._queue
        shares = self._door.shares(request)
        # a request has waited for the lag of the loop before it comes here, and its answer waits once more
        patience = self._door.patience(request) - (2 * self.heartbeat.lag if queue.waiting else 0.0)
        if patience <= 0 or not queue.has_room(shares):
            return self._shed(request)
        answer = partial(self._attempt, self._door.answer, request)
        late = Late(patience, partial(self._shed, request))
        return await queue.run(answer, late, tuple(shares)) or Response(status=500)

    def _shed(self, request: _Request) -> Response:
        if self._clock() >= self._told_until:
            self._told_until = self._clock() + _TOLD_SECONDS
            log.warning("requests shed", waiting=self._queue.waiting, lag=round(self.heartbeat.lag, 1))
        return self._attempt(self._door.shed, request)

    def _attempt(self, answer: Callable[[_Request], Response], request: _Request) -> Response:
        try:
            return answer(request)
        except BaseException:  # whatever it is, the thread has other requests to answer
            log.exception("a request failed in the server")
            return Response(status=500)


def door_of(app: "Flask") -> Door:
    """Return the door of an application."""
    return cast("Door", app.wsgi_app)


async def _receive(request: _Request, receive: Receive) -> int:
    """Receive the body of a request; return 0, or the status of a refusal."""
    if request.has_header("transfer-encoding"):
        return 411
    if request.has_long_target:
        return 414
    if request.length == "0" or request.oversized:
        return 0
    seconds, parts, next_part = server.READ_SECONDS, bytearray(), receive
    if request.max_body > MAX_BODY:
        seconds += int(request.length) / server.UPLOAD_RATE
        next_part = partial(_next, receive)
    try:
        async with asyncio.timeout(seconds):
            while (message := await next_part())["type"] == "http.request":
                parts += message.get("body", b"")
                if not message.get("more_body"):
                    request.content = bytes(parts)
                    return 0
    except TimeoutError:
        return 408
    return 400  # the client went away


async def _next(receive: Receive) -> dict[str, Any]:
    """Return the next part of a body; no pause may be longer than `READ_SECONDS`."""
    async with asyncio.timeout(server.READ_SECONDS):
        return await receive()


async def _send(response: Response, request: _Request, send: Send) -> None:
    """Send a response; a header that HTTP does not allow is an error of ours."""
    headers, body = response.message(request.method)
    if _CONTROLS.search("".join([value for _, value in headers])):
        log.error("a response has a header that cannot be sent", endpoint=request.endpoint)
        response.status, headers, body = 500, [_CLOSE], b""
    pairs = [(_sent_name(name), value.encode("latin-1", "replace")) for name, value in headers]
    await send({"type": "http.response.start", "status": response.status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})


@lru_cache(maxsize=128)
def _sent_name(name: str) -> bytes:
    return name.lower().encode("latin-1")


async def _discard(receive: Receive) -> None:
    """Read what a client still sends after its response, for a moment."""
    with suppress(TimeoutError):
        async with asyncio.timeout(server.LINGER_SECONDS):
            while (message := await receive())["type"] == "http.request" and message.get("more_body"):
                pass
