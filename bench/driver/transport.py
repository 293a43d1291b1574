"""Transports of the scenarios: HTTP/1.1 over one kept connection to loopback, or calls into a WSGI application.

The driver shares its core with the database, so that its own cost must be small: uvloop runs the sockets, and httptools
parses the responses. No transport can reach another machine, because it is given a port and no host.
"""

import asyncio
import random
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlencode

import httptools
import uvloop
from werkzeug.test import Client

HOST = "127.0.0.1"
PATIENCE = 20.0
"""Seconds to wait for a response."""
_FORM = "application/x-www-form-urlencoded"


class CutConnectionError(ConnectionError):
    """The connection ended, or was reset, before the response was complete."""


@dataclass(slots=True)
class Answer:
    """A response; header names in lower case, `cookies` as the response sets them (an empty value deletes one)."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class Transport(Protocol):
    """A way to send requests to a provider."""

    async def send(self, method: str, target: str, headers: dict[str, str], form: dict[str, str] | None) -> Answer:
        """Send one request (`form` is its body) and return the response; redirects are not followed."""


def runner() -> asyncio.Runner:
    """Return a runner for coroutines of the driver, on uvloop."""
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


class Connection(asyncio.Protocol):
    """A kept connection, opened at the first use and again after it broke. It carries one request at a time."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._transport: asyncio.Transport | None = None
        self._parser: Any = None
        self._answer = Answer()
        self._waiter: asyncio.Future[Answer] | None = None

    async def send(self, method: str, target: str, headers: dict[str, str], form: dict[str, str] | None) -> Answer:
        """See `Transport`.

        Raises:
            CutConnectionError: the connection ended before the response did.
            OSError: no connection, a malformed response, or none within `PATIENCE`.
        """
        loop = asyncio.get_running_loop()
        if self._transport is None or self._transport.is_closing():
            self._parser = httptools.HttpResponseParser(self)
            self._transport, _ = await loop.create_connection(lambda: self, HOST, self._port)
        lines = [f"{method} {target} HTTP/1.1", f"Host: {HOST}:{self._port}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        body = b""
        if form is not None:
            body = urlencode(form).encode()
            lines += [f"Content-Type: {_FORM}", f"Content-Length: {len(body)}"]
        self._waiter = loop.create_future()
        self._transport.write("\r\n".join([*lines, "\r\n"]).encode("latin-1") + body)
        deadline = loop.call_later(PATIENCE, self._time_out, method, target)
        try:
            return await self._waiter
        except BaseException:
            self.close()
            raise
        finally:
            deadline.cancel()

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._transport:
            self._transport.close()
            self._transport = None

    def data_received(self, data: bytes) -> None:
        """Parse a part of a response (called by the event loop)."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(ConnectionError(f"malformed response: {error}"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the request in progress (called by the event loop)."""
        self._transport = None
        self._fail(CutConnectionError(f"connection closed before the response ended: {exc or 'by the server'}"))

    def on_message_begin(self) -> None:
        """Start a response (called by the parser)."""
        self._answer = Answer()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header (called by the parser)."""
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        self._answer.headers[key] = text
        if key == "set-cookie":
            self._answer.cookies |= _cookie(text)

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body (called by the parser)."""
        self._answer.body += body

    def on_message_complete(self) -> None:
        """Hand the response over (called by the parser)."""
        answer = self._answer
        answer.status = self._parser.get_status_code()
        if not self._parser.should_keep_alive():
            self.close()
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(answer)

    def _time_out(self, method: str, target: str) -> None:
        self._fail(ConnectionError(f"no response to {method} {path_of(target)}"))

    def _fail(self, error: ConnectionError) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_exception(error)


class InProcess:
    """Calls into a WSGI application of this process, to count what a request does."""

    def __init__(self, app: Any) -> None:
        self._client = Client(app, use_cookies=False)

    async def send(self, method: str, target: str, headers: dict[str, str], form: dict[str, str] | None) -> Answer:
        """See `Transport`."""
        response = self._client.open(target, method=method, headers=headers, data=form)
        cookies: dict[str, str] = {}
        for value in response.headers.getlist("Set-Cookie"):
            cookies |= _cookie(value)
        plain = {name.lower(): value for name, value in response.headers}
        return Answer(response.status_code, plain, cookies, response.get_data())


class Browser:
    """Cookies, a transport, and an IP as a proxy would report it: each browser is another person's."""

    def __init__(self, transport: Transport, cookies: dict[str, str] | None = None) -> None:
        self._transport = transport
        self._ip = f"10.{random.randrange(256)}.{random.randrange(256)}.{random.randrange(256)}"
        self.cookies = dict(cookies or {})

    async def get(self, target: str) -> Answer:
        """Ask for a page."""
        return await self._send("GET", target, None)

    async def post(self, target: str, form: dict[str, str]) -> Answer:
        """Send a form."""
        return await self._send("POST", target, form)

    async def _send(self, method: str, target: str, form: dict[str, str] | None) -> Answer:
        headers = {"X-Forwarded-For": self._ip}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{n}={v}" for n, v in self.cookies.items())
        answer = await self._transport.send(method, target, headers, form)
        for name, value in answer.cookies.items():
            if value:
                self.cookies[name] = value
            else:
                self.cookies.pop(name, None)
        return answer


def path_of(target: str) -> str:
    """Return a request's target without its query, for messages."""
    return target.partition("?")[0]


def _cookie(header: str) -> dict[str, str]:
    name, _, rest = header.partition("=")
    return {name: rest.partition(";")[0]}
