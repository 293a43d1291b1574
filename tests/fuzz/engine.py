"""Sends right requests and bent ones, and says what no answer may be: a fault, a trace, a hang, a way to a stranger."""

import json
import random
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from flask import Flask, request, request_finished
from werkzeug.test import TestResponse

from tests.fuzz.people import PEOPLE
from tests.fuzz.protocol import PROTOCOL
from tests.fuzz.shots import BENDS, Shot
from tests.fuzz.world import World

HANG_SECONDS = 30
"""Far beyond what any request takes on a loaded machine: a request that comes here would never end."""
KINDS = {**PROTOCOL, **PEOPLE}
"""How right requests of each route are made."""
_JSON = ("/token", "/par", "/revoke", "/introspect", "/userinfo", "/charter", "/charter/acceptance", "/register")
"""Addresses of programs: their errors are JSON."""


class UnsoundError(AssertionError):
    """An answer that no request may get."""


class HungError(UnsoundError):
    """A request had no answer."""


@dataclass
class Seen:
    """How often each route gave each status, and which took a right request.

    A route is called by its method and its rule; `answers` has what the application matched, whatever was meant.
    Whatever was sent before, right requests stay right: one that is refused is an unsound answer too.
    """

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)


def routes(app: Flask) -> set[str]:
    """Return the method and the rule of all that the application answers."""
    return {
        f"{method} {rule.rule}"
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }


def run(world: World, shots: int, seed: int) -> Seen:
    """Send `shots` requests drawn from `seed`: first a right one to each route, then any, bent or not.

    An error has the seed, the number and the request among its notes.

    Raises:
        UnsoundError: at the first answer that may not be.
    """
    missing = routes(world.app) ^ set(KINDS)
    if missing:
        raise UnsoundError(f"no right request is known for these, or they are gone: {', '.join(sorted(missing))}")
    names = sorted(KINDS)
    often = [*names, *PROTOCOL, *PROTOCOL]  # what holds without any form token is worth more tries
    seen = Seen()
    for number in range(shots):
        draw = random.Random(f"{seed}:{number}")
        first = number < len(names)
        name, shot = names[number] if first else draw.choice(often), None
        try:
            shot = (KINDS[name][0] if first else draw.choice(KINDS[name]))(world, draw)
            for _ in range(0 if first else draw.choice([0, 1, 1, 1, 2, 3])):
                draw.choice(BENDS)(draw, shot)
                shot.right = None
            _shoot(world, shot, draw, seen.answers)
        except Exception as fault:
            fault.add_note(f"seed {seed}, request {number}, {name}: {shot!r}")
            raise
        if shot.right:
            seen.right[name] += 1
    return seen


def _shoot(world: World, shot: Shot, draw: random.Random, answers: Counter[tuple[str, int]]) -> None:
    with _time_limit(), _noted(world.app, answers):
        answer = send(world, shot, draw)
    check(world, shot, answer)
    if shot.right:
        _check_right(shot.right, answer)


def send(world: World, shot: Shot, draw: random.Random) -> TestResponse:
    """Send one request, from an address of its own: no brake closes on the whole run."""
    query, body, kind = shot.encoded()
    browser = shot.browser if shot.browser and shot.cookies else world.app.test_client()
    headers = {name: value for name, value in shot.headers.items() if name != "Content-Type"}
    return browser.open(
        shot.path,
        method=shot.method,
        query_string=query.decode(),
        data=body,
        headers=headers,
        content_type=kind or None,
        buffered=True,
        environ_overrides={"REMOTE_ADDR": f"198.51.{draw.randrange(256)}.{draw.randrange(256)}"},
    )


def check(world: World, shot: Shot, answer: TestResponse) -> None:
    """Raise when the answer is one that may not be."""
    text = answer.get_data()
    if answer.status_code >= 500:
        raise UnsoundError(f"{answer.status_code} {text[:300]!r}")
    if b"Traceback" in text or b"sqlalchemy" in text.lower():
        raise UnsoundError("a trace is shown")
    location = answer.headers.get("Location")
    if location is not None and not world.may_lead_to(location):
        raise UnsoundError(f"leads to {location[:200]!r}")
    speaks_json = shot.path in _JSON or shot.path.startswith("/register/")
    if speaks_json and answer.status_code >= 400 and shot.method != "HEAD":
        _check_error(answer, text)


def _check_error(answer: TestResponse, text: bytes) -> None:
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    # who shows no token is told no code (RFC 6750 3.1)
    name = "error_description" if answer.status_code == 401 and "WWW-Authenticate" in answer.headers else "error"
    if answer.mimetype != "application/json" or not isinstance(body, dict) or not isinstance(body.get(name), str):
        raise UnsoundError(f"no error in JSON: {answer.status_code} {text[:200]!r}")


def _check_right(right: tuple[int, str], answer: TestResponse) -> None:
    got = (answer.status_code, answer.headers.get("Location", ""))
    if got[0] != right[0] or not got[1].startswith(right[1]):
        raise UnsoundError(f"a right request got {got} and not {right}: {answer.get_data()[:2000]!r}")


@contextmanager
def _noted(app: Flask, answers: Counter[tuple[str, int]]) -> Iterator[None]:
    """Count each answer of the application by the route that it matched."""

    def note(_app: Flask, response: Any, **_more: Any) -> None:
        rule = request.url_rule.rule if request.url_rule else "nothing"
        answers[f"{request.method} {rule}", response.status_code] += 1

    with request_finished.connected_to(note, app):
        yield


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
