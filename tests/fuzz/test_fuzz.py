"""No request gets a server error, a traceback, a redirect to an unknown site, or a response without security headers.

Hypothesis draws the requests to each route: a valid request with up to three changes. The short run draws the same
requests each time. The long run (`make test-long`) draws other requests each time, 200,000 in all. After a failure it
prints the smallest failing request and the line that repeats it (`@reproduce_failure`), and the next run starts with
that request (stored in `.hypothesis/`).
"""

import math
import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from zlib import crc32

import pytest
from flask import Flask
from hypothesis import HealthCheck, Phase, given, seed as repeated, settings as hypothesis_settings, strategies as st
from hypothesis.database import DirectoryBasedExampleDatabase
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException
from werkzeug.test import EnvironBuilder, TestResponse
from werkzeug.wrappers import Request

from idp.paths import CHECKOUT
from tests.builders import Build
from tests.canaries import Canaries
from tests.fuzz.bends import BENDS, Bend, Shot
from tests.fuzz.checks import MOST_BYTES, UnsoundError, check, check_right
from tests.fuzz.people import PEOPLE
from tests.fuzz.protocol import PASSKEYS, PROTOCOL
from tests.fuzz.world import World
from tests.web.tour import break_page

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


SHORT = 250
LONG = int(os.environ.get("FUZZ_REQUESTS", "200000")) // 2
"""The number of requests of the long run on each database."""
PASSES = 5
"""The number of passes over all routes in the long run."""
WEIGHTS = {name: 3 if name in PROTOCOL else 1 for name in sorted(MAKERS)}
"""Requests without a form token pass more checks, so they are drawn more often."""
# Hypothesis draws no choice within a request, because the number of choices depends on earlier requests.
SEEDS = st.integers(0, 2**32 - 1)
short = hypothesis_settings(
    database=None,
    deadline=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
long = hypothesis_settings(
    short,
    derandomize=False,
    database=DirectoryBasedExampleDatabase(CHECKOUT / ".hypothesis" / "examples"),
    phases=[Phase.reuse, Phase.generate, Phase.shrink],
    print_blob=True,
)


def drawn(sender: Sender, name: str, limits: hypothesis_settings, requests: int) -> Callable[[], None]:
    """Return a function that sends `requests` requests to the route `name`.

    Hypothesis does not draw the route, because it would draw a few routes most of the time.
    """

    @hypothesis_settings(limits, max_examples=requests)
    @given(
        name=st.just(name),
        number=st.integers(0, 5),
        seed=SEEDS,
        bends=st.lists(st.tuples(st.sampled_from(BENDS), SEEDS), max_size=3),
    )
    def send(name: str, number: int, seed: int, bends: list[tuple[Bend, int]]) -> None:
        sender.shoot(name, number, seed, bends)

    return send


def share(name: str, requests: int) -> int:
    return math.ceil(requests * WEIGHTS[name] / sum(WEIGHTS.values()))


def forget_typed(canaries: Canaries) -> None:
    """Do not use typed passwords as canaries: other requests contain the same texts."""
    canaries.secrets = {text: what for text, what in canaries.secrets.items() if "typed" not in what}


def test_right_request_to_each_route_is_accepted(app: Flask, build: Build, unhurried: None) -> None:
    check_routes(app)
    sender = Sender(World(app, build))
    for name, makers in MAKERS.items():
        for number in range(len(makers)):
            sender.shoot(name, number, 0, [])
    reached = {name for name, status in sender.answers if status < 400}
    assert routes(app) - reached == {"GET /.well-known/security.txt"}  # not configured


def test_bent_request_gets_no_server_error_no_trace_and_no_redirect_to_a_stranger(
    app: Flask, build: Build, unhurried: None, canaries: Canaries
) -> None:
    sender = Sender(World(app, build))
    for name in WEIGHTS:
        repeated(crc32(name.encode()))(drawn(sender, name, short, share(name, SHORT)))()
    reached = {status for _, status in sender.answers}
    assert {200, 201, 303, 400, 401, 404, 405, 413, 415} <= reached, "the bends reach many answers"
    assert routes(app) <= {name for name, _ in sender.answers}
    forget_typed(canaries)


@pytest.mark.long
def test_200_000_bent_requests_get_sound_responses(
    app: Flask, build: Build, unhurried: None, canaries: Canaries
) -> None:
    sender = Sender(World(app, build))
    for name in [*WEIGHTS] * PASSES:
        drawn(sender, name, long, share(name, LONG // PASSES))()
        forget_typed(canaries)
        assert canaries.places() == []
        canaries.forget()
    assert sum(sender.answers.values()) >= LONG
    reached = {status for _, status in sender.answers}
    assert {200, 201, 204, 303, 400, 401, 404, 405, 410, 413, 414, 415} <= reached
    assert routes(app) <= {name for name, _ in sender.answers}


@pytest.mark.own_app
def test_route_that_the_fuzzer_does_not_know_is_named(app: Flask) -> None:
    app.add_url_rule("/nouveau", "nouveau", lambda: "", methods=["GET", "DELETE"])
    with pytest.raises(UnsoundError, match="DELETE /nouveau, GET /nouveau"):
        check_routes(app)


def test_server_error_is_found_and_reported_with_its_smallest_request(app: Flask, build: Build) -> None:
    break_page(app, ZeroDivisionError())
    with pytest.raises(UnsoundError, match=r"^500 ") as raised:
        drawn(Sender(World(app, build)), "GET /mentions-legales", short, 20)()
    request, *rest = raised.value.__notes__
    assert request.startswith("GET /mentions-legales: Shot(method='GET', path='/mentions-legales'")
    assert "name='GET /mentions-legales',\n    number=0,\n    seed=0,\n    bends=[],\n" in "\n".join(rest)


def test_unsound_response_is_detected(app: Flask, build: Build) -> None:
    world = World(app, build)
    sound = {
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
        "Content-Type": "application/json",
    }

    def fault(status: int, body: bytes, path: str = "/connexion", **headers: str) -> str:
        lines = {**sound, **{name.replace("_", "-"): value for name, value in headers.items()}}
        answer = TestResponse([body], str(status), Headers(lines), EnvironBuilder(path).get_request())
        try:
            check(world, Shot("POST", path), answer)
        except UnsoundError as found:
            return str(found)
        return ""

    assert fault(400, b'{"error": "invalid_request"}', "/token") == ""
    assert fault(303, b"", Location="/connexion") == fault(303, b"", Location="https://secret.test/cb?code=x") == ""
    assert fault(503, b"{}").startswith("503 ")
    assert fault(200, b"Traceback (most recent call last)").startswith("a trace is shown")
    assert fault(200, b"a" * (MOST_BYTES + 1)) == f"the answer has {MOST_BYTES + 1} bytes"
    for stranger in ("https://evil.test/", "//evil.test", "/\\evil.test", "http://secret.test/cb", "javascript:x"):
        assert fault(303, b"", Location=stranger) == f"redirects to {stranger!r}"
    assert fault(200, b"{}", Referrer_Policy="origin") == "no header Referrer-Policy"
    assert fault(200, b"", Content_Type="text/html") == "no header Content-Security-Policy"
    assert fault(400, b"<html>", "/token").startswith("no error in JSON")
    assert fault(404, b'{"error": "x"}', "/token").startswith("POST /token has no answer 404")
    assert fault(200, b'{"password": "x"}', "/token").startswith("POST /token has unknown members")
