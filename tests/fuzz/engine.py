"""Sends bent requests, and says what no answer may be: a fault, a trace, a hang, a redirect to a stranger."""

import json
import random
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from werkzeug.test import TestResponse

from tests.fuzz.shots import BENDS, Shot
from tests.fuzz.world import World

HANG_SECONDS = 30
"""Far beyond what any request takes on a loaded machine: a request that comes here would never end."""


class UnsoundError(AssertionError):
    """An answer that no request may get; the request is in the message."""


class HungError(UnsoundError):
    """A request had no answer."""


def run(world: World, shots: int, seed: int) -> Counter[tuple[str, int]]:
    """Send `shots` requests drawn from `seed`; return how often each kind was answered with each status.

    Raises:
        UnsoundError: at the first answer that may not be.
    """
    seen: Counter[tuple[str, int]] = Counter()
    kinds = world.kinds()
    for number in range(shots):
        draw = random.Random(f"{seed}:{number}")
        shot = kinds[draw.choice(list(kinds))](draw)
        for _ in range(draw.choice([0, 1, 1, 1, 2, 3])):
            draw.choice(BENDS)(draw, shot)
        try:
            with _time_limit():
                answer = send(world, shot, draw)
            check(world, shot, answer)
        except UnsoundError as fault:
            raise type(fault)(f"seed {seed}, request {number}: {fault}\n{shot!r}") from None
        seen[shot.name, answer.status_code] += 1
    return seen


def send(world: World, shot: Shot, draw: random.Random) -> TestResponse:
    """Send one request, from an address of its own: no brake closes on the whole run."""
    query, body, kind = shot.encoded()
    browser = world.sender(shot) if shot.cookies else world.app.test_client()
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
    if world.bodies_are_json(shot.path) and answer.status_code >= 400 and shot.method != "HEAD":
        _check_error(answer, text)


def _check_error(answer: TestResponse, text: bytes) -> None:
    try:
        error = json.loads(text).get("error")
    except (ValueError, AttributeError):
        error = None
    if answer.mimetype != "application/json" or not isinstance(error, str):
        raise UnsoundError(f"no error in JSON: {answer.status_code} {text[:200]!r}")


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
