"""Send valid and invalid requests and check every response."""

import random
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from flask import Flask
from werkzeug.exceptions import HTTPException
from werkzeug.test import TestResponse
from werkzeug.wrappers import Request

from tests.fuzz.bends import Bend
from tests.fuzz.checks import UnsoundError, check, check_right
from tests.fuzz.passkeys import PASSKEYS
from tests.fuzz.people import PEOPLE
from tests.fuzz.protocol import PROTOCOL
from tests.fuzz.shots import Shot
from tests.fuzz.world import World

HANG_SECONDS = 30
"""No request takes so long on a loaded machine: a request that does has hung."""
MAKERS = {**PROTOCOL, **PEOPLE, **PASSKEYS}
"""The functions that create a valid request, by route."""


class HungError(UnsoundError):
    """A request got no response."""


@dataclass
class Sender:
    """Sends requests to the application of `world`, and counts responses by route and status.

    A route is named by its method and its rule; `answers` has the route that the application matched.
    """

    world: World
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    _sent: int = 0

    def shoot(self, name: str, number: int, seed: int, bends: Sequence[tuple[Bend, int]]) -> None:
        """Create the valid request `number` of a route, change it, send it, and check the response.

        `seed` determines the content of the request; each bend has its own seed.

        Raises:
            UnsoundError: the response is never allowed, or a valid request was refused. The notes contain the request.
        """
        makers, shot = MAKERS[name], None
        try:
            shot = makers[number % len(makers)](self.world, random.Random(seed))
            for bend, own_seed in bends:
                bend(random.Random(own_seed), shot)
                shot.right = None
            answer = self._send(shot)
            check(self.world, shot, answer)
            check_right(shot, answer)
            location = answer.headers.get("Location", "")
            if bends and shot.method == "GET" and location.startswith("/"):
                self._follow(shot, location)
        except Exception as fault:
            fault.add_note(f"{name}: {shot!r}"[:2000])
            raise

    def _follow(self, shot: Shot, location: str) -> None:
        """Check the page to which an invalid request redirects, too."""
        onward = Shot("GET", location, browser=shot.browser, right=None, cookies=shot.cookies)
        check(self.world, onward, self._send(onward))

    def _send(self, shot: Shot) -> TestResponse:
        """Send one request from the next IP, so that no rate limit stops the run."""
        query, body, kind = shot.encoded()
        browser = shot.browser if shot.browser and shot.cookies else self.world.app.test_client()
        headers = {name: value for name, value in shot.headers.items() if name != "Content-Type"}
        self._sent += 1
        with _time_limit():
            response = browser.open(
                shot.path,
                method=shot.method,
                query_string=query.decode() or None,
                data=body,
                headers=headers,
                content_type=kind or None,
                buffered=True,
                environ_overrides={"REMOTE_ADDR": f"198.51.{self._sent // 256 % 256}.{self._sent % 256}"},
            )
        self.answers[f"{response.request.method} {self._rule(response.request)}", response.status_code] += 1
        return response

    def _rule(self, request: Request) -> str:
        adapter = self.world.app.url_map.bind("localhost")
        try:
            rule, _ = adapter.match(request.path, request.method, return_rule=True)
        except HTTPException:  # no route, or none for this method
            return "nothing"
        return str(rule.rule)


def routes(app: Flask) -> set[str]:
    return {
        f"{method} {rule.rule}"
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }


def check_routes(app: Flask) -> None:
    """Check that every route has a function for valid requests.

    Raises:
        UnsoundError: a route has no function, or a function has no route.
    """
    if missing := routes(app) ^ set(MAKERS):
        raise UnsoundError(f"no right request is known for these, or they are gone: {', '.join(sorted(missing))}")


@contextmanager
def _time_limit() -> Iterator[None]:
    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise HungError(f"no answer in {HANG_SECONDS} seconds")

    former = signal.signal(signal.SIGALRM, stop)
    signal.alarm(HANG_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, former)
