"""No request gets a server error, a traceback, a redirect to an unknown site, or a response without security headers.

Hypothesis draws the requests to each route: a valid request with up to three changes. The short run draws the same
requests each time. The long run (`make test-long`) draws other requests each time, 200,000 in all. After a failure it
prints the smallest failing request and the line that repeats it (`@reproduce_failure`), and the next run starts with
that request (stored in `.hypothesis/`).
"""

import math
import os
from collections.abc import Callable
from zlib import crc32

import pytest
from flask import Flask
from hypothesis import HealthCheck, Phase, given
from hypothesis import seed as repeated
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.database import DirectoryBasedExampleDatabase
from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder, TestResponse

from idp.paths import CHECKOUT
from tests.builders import Build
from tests.canaries import Canaries
from tests.fuzz.bends import BENDS, Bend
from tests.fuzz.checks import MOST_BYTES, UnsoundError, check
from tests.fuzz.protocol import PROTOCOL
from tests.fuzz.sending import MAKERS, Sender, check_routes, routes
from tests.fuzz.shots import Shot
from tests.fuzz.world import World
from tests.web.tour import break_page

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
