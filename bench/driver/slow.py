"""A thousand slow connections: each sends one byte a second, of its headers or of its body, while others are served."""

import asyncio
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from bench.driver.closed_loop import ClosedLoop, Errors, Flows
from bench.driver.provider import Provider
from bench.driver.relying_party import Party
from bench.driver.scenarios import SingleSignOn
from bench.driver.transport import HOST, Connection, runner
from bench.driver.window import WARM_UP, with_sessions

CONNECTIONS = 1000
KINDS = ("headers", "bodies")
_CLIENTS = 8
_OPENED_AT_ONCE = 50
_PARTS = 20
"""In how many parts a second is divided, so that the bytes are not sent all at once."""
_SPARE_FILES = 100


@dataclass(frozen=True)
class Slowed:
    """The flows of a window with slow connections, and how many of these the server had closed by its end."""

    kind: str
    flows: Flows
    closed: int


class _Trickle(asyncio.Protocol):
    """A slow connection."""

    def __init__(self, opening: bytes, byte: bytes) -> None:
        self._opening = opening
        self._byte = byte
        self._transport: Any = None  # uvloop's class, which is no asyncio.Transport
        self.is_closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the beginning of the request (called by the event loop)."""
        self._transport = transport
        self._transport.write(self._opening)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Note that the server closed the connection (called by the event loop)."""
        self.is_closed = True

    def send(self) -> None:
        """Send the next byte."""
        if not self.is_closed:
            self._transport.write(self._byte)

    def close(self) -> None:
        """Close the connection."""
        self._transport.abort()


def run(provider: Provider, seconds: float, count: int = CONNECTIONS) -> tuple[Flows, list[Slowed], Errors]:
    """Measure sign-ons alone and then beside slow connections of each kind, for `seconds` each."""
    allow_files(count + _SPARE_FILES)
    with runner() as loop:
        return loop.run(_run(provider, seconds, count))


async def _run(provider: Provider, seconds: float, count: int) -> tuple[Flows, list[Slowed], Errors]:
    connections = [Connection(provider.port) for _ in range(_CLIENTS)]
    errors = Errors()
    party = await Party.discover(provider, connections[0])
    people = cycle(await with_sessions(party))
    slowed = []
    async with ClosedLoop([SingleSignOn(party, each, people) for each in connections], errors) as loop:
        await loop.window(WARM_UP)
        usual = await loop.window(seconds)
        for kind in KINDS:
            async with _slow_connections(provider.port, party, kind, count) as trickles:
                await loop.window(WARM_UP)
                flows = await loop.window(seconds)
                slowed.append(Slowed(kind, flows, sum(each.is_closed for each in trickles)))
    for connection in connections:
        connection.close()
    return usual, slowed, errors


@asynccontextmanager
async def _slow_connections(port: int, party: Party, kind: str, count: int) -> AsyncIterator[list[_Trickle]]:
    """Hold slow connections during the block."""
    loop = asyncio.get_running_loop()
    opening, byte = _request(party, kind)
    trickles: list[_Trickle] = []
    while len(trickles) < count:
        opened = (
            loop.create_connection(lambda: _Trickle(opening, byte), HOST, port)
            for _ in range(min(_OPENED_AT_ONCE, count - len(trickles)))
        )
        trickles += [trickle for _, trickle in await asyncio.gather(*opened)]
    sending = asyncio.create_task(_send_for_ever(trickles))
    try:
        yield trickles
    finally:
        sending.cancel()
        for trickle in trickles:
            trickle.close()


async def _send_for_ever(trickles: list[_Trickle]) -> None:
    while True:
        for part in range(_PARTS):
            for trickle in trickles[part::_PARTS]:
                trickle.send()
            await asyncio.sleep(1 / _PARTS)


def _request(party: Party, kind: str) -> tuple[bytes, bytes]:
    """Return the beginning of a request, and the byte that continues it for ever."""
    if kind == "headers":
        return f"GET {party.jwks} HTTP/1.1\r\nHost: {HOST}\r\nX-Slow: ".encode(), b"a"
    form = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 8000"
    return f"POST {party.token} HTTP/1.1\r\nHost: {HOST}\r\n{form}\r\n\r\ncode=".encode(), b"a"


def allow_files(count: int) -> None:
    """Raise the limit of open files of this process, as far as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard) if hard > 0 else count, hard))
