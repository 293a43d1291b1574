"""Transports of the scenarios: HTTP/1.1 over one kept connection to loopback, or calls into the application.

The client is minimal, since the driver shares its core with the database, and its cost is taken from both.
"""

import asyncio
import random
from dataclasses import dataclass
from typing import Protocol, Self
from urllib.parse import urlencode

from flask import Flask
from werkzeug.test import Client

HOST = "127.0.0.1"
_PATIENCE = 20.0
_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Answer:
    """A response; header names in lower case, `cookies` as the response sets them (an empty value deletes one)."""

    status: int
    headers: dict[str, str]
    cookies: dict[str, str]
    body: bytes


class Transport(Protocol):
    """A way to send requests to the service."""

    async def send(self, method: str, target: str, headers: dict[str, str], form: dict[str, str] | None) -> Answer:
        """Send one request (`form` is its body) and return the response; redirects are not followed."""


class Connection:
    """A kept connection, opened at the first use and again after it broke."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, method: str, target: str, headers: dict[str, str], form: dict[str, str] | None) -> Answer:
        """See `Transport`."""
        body = urlencode(form).encode() if form is not None else b""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {HOST}:{self._port}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if form is not None:
            lines += [f"Content-Type: {_FORM}", f"Content-Length: {len(body)}"]
        try:
            async with asyncio.timeout(_PATIENCE):
                if self._streams is None:
                    self._streams = await asyncio.open_connection(HOST, self._port)
                reader, writer = self._streams
                writer.write("\r\n".join([*lines, "\r\n"]).encode() + body)
                return await self._receive(reader)
        except BaseException:
            self.close()
            raise

    async def _receive(self, reader: asyncio.StreamReader) -> Answer:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers: dict[str, str] = {}
        cookies: dict[str, str] = {}
        for line in head[1:-2]:
            name, _, value = line.partition(": ")
            name = name.lower()
            headers[name] = value
            if name == "set-cookie":
                cookies |= _cookie(value)
        if "content-length" not in headers:
            raise ConnectionError(f"an answer without Content-Length: {head[0]}")
        body = await reader.readexactly(int(headers["content-length"]))
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Answer(int(head[0].split(" ", 2)[1]), headers, cookies, body)

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._streams:
            self._streams[1].close()
            self._streams = None


class InProcess:
    """Calls into the application of this process, to count what a request does."""

    def __init__(self, app: Flask) -> None:
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
        self.cookies |= answer.cookies
        return answer

    def forget(self) -> Self:
        """Delete the cookies, like a new browser."""
        self.cookies.clear()
        return self


def _cookie(header: str) -> dict[str, str]:
    name, _, rest = header.partition("=")
    return {name: rest.partition(";")[0]}
