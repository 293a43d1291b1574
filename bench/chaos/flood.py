"""A flood of requests that everybody can send, more than the service answers, and the people who come after it."""

import asyncio
import itertools
import time
from contextlib import suppress
from http import HTTPStatus

from bench.driver.slow import allow_files
from bench.driver.transport import Browser, Connection, runner

PEOPLE = 100
_RATE, _CONNECTIONS = 3000, 4000
"""Requests a second, and how many may be open at once: as many as a proxy lets ten networks have."""
_TARGETS = ("/mot-de-passe-oublie", "/rien/{}", "/authorize?client_id=inconnu{}", "/activation?x={}", "/connexion?x={}")
_PAGE = "/mot-de-passe-oublie"
"""A page that a thread makes."""
_AT_ONCE = 4


def flood(port: int, seconds: float) -> None:
    """Send requests to this machine for so many seconds, and leave what is not answered by then."""
    allow_files(_CONNECTIONS)
    with runner() as loop:
        loop.run(_flood(port, seconds))


def people_served(port: int) -> int:
    """Return how many of `PEOPLE` people get their page at the first try."""
    with runner() as loop:
        return loop.run(_serve(port))


async def _flood(port: int, seconds: float) -> None:
    tickets, began = iter(range(int(_RATE * seconds))), time.monotonic()

    async def send() -> None:
        connection = Connection(port)
        try:
            for ticket in tickets:
                await asyncio.sleep(began + ticket / _RATE - time.monotonic())
                with suppress(OSError):
                    await Browser(connection).get(_TARGETS[ticket % len(_TARGETS)].format(ticket))
        finally:
            connection.close()

    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.gather(*itertools.starmap(send, itertools.repeat((), _CONNECTIONS)))


async def _serve(port: int) -> int:
    left = iter(range(PEOPLE))

    async def come() -> int:
        connection = Connection(port)
        served = [(await Browser(connection).get(_PAGE)).status == HTTPStatus.OK for _ in left]
        connection.close()
        return sum(served)

    return sum(await asyncio.gather(*(come() for _ in range(_AT_ONCE))))
