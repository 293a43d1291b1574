"""The bridge between granian and the door, where no client can make it fail."""

import asyncio
import math
import threading
from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.exceptions import RequestEntityTooLarge

from idp.serving import bridge as serving_bridge, server
from idp.serving.bridge import Bridge
from idp.serving.queue import Heartbeat
from idp.web.http import Request, Response
from idp.web.request_context import read_forwarded
from tests.rows import each_row


class AnsweringDoor:
    """A door that answers each request by a function, in a thread."""

    def __init__(self, function: Callable[[], Response]) -> None:
        self.function = function
        self.asked: list[Request] = []

    def answer_at_once(self, _request: Request) -> None:
        return None

    def patience(self, _request: Request) -> float:
        return math.inf

    def shares(self, _request: Request) -> dict[str, int]:
        return {}

    def is_probe(self, request: Request) -> bool:
        return request.path == "/readyz"

    def answer(self, request: Request) -> Response:
        self.asked.append(request)
        return self.function()


class UploadDoor(AnsweringDoor):
    """A door that takes files at `/fichiers`, and admits long ones if `is_admitted`."""

    def __init__(self, *, is_admitted: bool = True) -> None:
        super().__init__(lambda: Response("ok"))
        self.is_admitted = is_admitted

    def takes_files(self, request: Request) -> bool:
        request.takes_files = request.path == "/fichiers"
        return request.has_files

    def may_upload(self, _request: Request) -> bool:
        return self.is_admitted


def scope_of(method: str, path: bytes, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {
        "type": "http",
        "method": method,
        "raw_path": path,
        "query_string": b"",
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "scheme": "http",
        "http_version": "1.1",
        "headers": list(headers),
    }


MULTIPART = ((b"content-type", b"multipart/form-data; boundary=b"),)


def upload(bridge: Bridge, parts: list[bytes], *, path: bytes = b"/fichiers", pause: float = 0) -> list[dict[str, Any]]:
    """Return the messages for a form with files, whose body comes in parts with pauses."""
    length = str(sum(map(len, parts))).encode()
    scope = scope_of("POST", path, (b"host", b"x"), *MULTIPART, (b"content-length", length))
    left, sent = list(parts), []

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(pause)
        body = left.pop(0) if left else b""
        return {"type": "http.request", "body": body, "more_body": bool(left)}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(asyncio.wait_for(bridge(scope, receive, send), 60))
    return sent


LONG = [b"x" * 50_000] * 4


def test_the_long_body_of_an_admitted_upload_is_received() -> None:
    door: Any = UploadDoor()
    assert upload(Bridge(door, 1), LONG)[0]["status"] == 200
    assert door.asked[0].body == b"".join(LONG)


def test_the_long_body_of_another_path_or_of_a_stranger_is_not_received() -> None:
    for door, path in ((UploadDoor(), b"/connexion"), (UploadDoor(is_admitted=False), b"/fichiers")):
        bridge = Bridge(door, 1)  # type: ignore[arg-type]
        upload(bridge, LONG, path=path)
        [request] = door.asked
        assert (request.oversized, request.content) == (True, b"")  # type: ignore[attr-defined]
        with pytest.raises(RequestEntityTooLarge):
            assert request.body


def test_a_body_above_the_limit_of_uploads_is_not_received(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving_bridge, "MAX_UPLOAD", 150_000)
    door: Any = UploadDoor()
    upload(Bridge(door, 1), LONG)
    assert door.asked[0].oversized


def test_an_upload_has_time_for_its_length_but_no_long_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "READ_SECONDS", 0.5)
    monkeypatch.setattr(server, "UPLOAD_RATE", 20_000)
    monkeypatch.setattr(server, "LINGER_SECONDS", 0.1)
    door: Any = UploadDoor()
    parts = [b"x" * 8_000] * 25
    assert upload(Bridge(door, 1), parts, pause=0.03)[0]["status"] == 200, "0.75 s of 10.5 s"
    assert upload(Bridge(door, 1), LONG, pause=5)[0]["status"] == 408, "a pause"
    monkeypatch.setattr(server, "UPLOAD_RATE", 2_000_000)
    assert upload(Bridge(door, 1), parts, pause=0.1)[0]["status"] == 408, "2.5 s of 0.6 s"


def test_few_uploads_are_in_memory_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_UPLOADS", 1)
    door: Any = UploadDoor()
    bridge, held, most = Bridge(door, 2), 0, 0

    async def respond(*_: object) -> None:
        nonlocal held, most
        held += 1
        most = max(most, held)
        await asyncio.sleep(0.05)
        held -= 1

    monkeypatch.setattr(bridge, "_respond", respond)
    scope = {
        "type": "http", "method": "POST", "raw_path": b"/fichiers", "query_string": b"", "client": None,
        "scheme": "http", "http_version": "1.1",
        "headers": [(b"content-type", b"multipart/form-data; boundary=b"), (b"content-length", b"200000")],
    }  # fmt: skip

    async def both() -> None:
        nothing: Any = None
        await asyncio.gather(*(bridge(scope, nothing, nothing) for _ in range(3)))

    asyncio.run(both())
    assert most == 1


def ask(bridge: Bridge, *headers: tuple[bytes, bytes]) -> list[dict[str, Any]]:
    scope = scope_of("GET", b"/", (b"host", b"x"), *headers)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(asyncio.wait_for(bridge(scope, receive, send), 60))
    return sent


class BusyDoor(AnsweringDoor):
    """A door with one request that holds the only thread; `/patient` waits for it, other paths two seconds.

    Each path that begins with « group » is a group of its own, of which four may wait.
    """

    def __init__(self) -> None:
        super().__init__(self._hold)
        self.is_held, self.may_end = threading.Event(), threading.Event()

    def answer(self, request: Request) -> Response:
        return Response("ready") if self.is_probe(request) else super().answer(request)

    def _hold(self) -> Response:
        self.is_held.set()
        self.may_end.wait(60)
        return Response("ok")

    def patience(self, request: Request) -> float:
        return math.inf if request.path == "/patient" else 2.0

    def shares(self, request: Request) -> dict[str, int]:
        return {"all": 6} | ({request.path: 4} if request.path.startswith("/group") else {})

    def shed(self, _request: Request) -> Response:
        return Response(status=503)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def status(bridge: Bridge, path: bytes = b"/") -> int:
    return await status_of(bridge, scope_of("GET", path, (b"host", b"x")))


async def status_of(bridge: Bridge, scope: dict[str, Any]) -> int:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await bridge(scope, receive, send)
    return int(sent[0]["status"])


async def until_waiting(bridge: Bridge, count: int) -> None:
    while bridge._queue.waiting < count:  # noqa: ASYNC110 - the queue has no event
        await asyncio.sleep(0)


async def held(bridge: Bridge, door: BusyDoor) -> "asyncio.Task[int]":
    first = asyncio.create_task(status(bridge, b"/patient"))
    await asyncio.to_thread(door.is_held.wait, 60)
    return first


@pytest.mark.row("W-12")
def test_a_request_that_waited_too_long_for_a_thread_is_shed_when_one_takes_it() -> None:
    async def statuses(door: BusyDoor, waited: float) -> list[int]:
        clock = Clock()
        bridge = Bridge(door, 1, clock)  # type: ignore[arg-type]
        first = await held(bridge, door)
        others = [asyncio.create_task(status(bridge, path)) for path in (b"/", b"/patient")]
        await until_waiting(bridge, 2)
        clock.now = waited
        door.may_end.set()
        return await asyncio.wait_for(asyncio.gather(first, *others), 60)

    assert asyncio.run(statuses(BusyDoor(), 2.1)) == [200, 503, 200]
    assert asyncio.run(statuses(BusyDoor(), 1.9)) == [200, 200, 200]


@pytest.mark.row("W-12")
def test_a_group_fills_a_part_of_the_queue_and_leaves_the_rest_to_others() -> None:
    async def statuses() -> list[int]:
        door = BusyDoor()
        bridge = Bridge(door, 1, Clock())  # type: ignore[arg-type]
        first = await held(bridge, door)
        waiting = [asyncio.create_task(status(bridge, b"/group")) for _ in range(4)]
        await until_waiting(bridge, 4)
        of_full_group = await status(bridge, b"/group")
        waiting += [asyncio.create_task(status(bridge, b"/group2")) for _ in range(2)]
        await until_waiting(bridge, 6)
        of_full_queue = await status(bridge, b"/group3")
        door.may_end.set()
        answered = await asyncio.wait_for(asyncio.gather(first, *waiting), 60)
        assert bridge._queue._waiting == {}, "groups without works take no memory"
        return [of_full_group, of_full_queue, *answered]

    assert asyncio.run(statuses()) == [503, 503, *[200] * 7]


class Loop:
    """An event loop that runs what is due, as late as it is told."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.due: Callable[[], None] = lambda: None

    def call_later(self, seconds: float, function: Callable[..., None], *given: object) -> None:
        at = self.clock.now + seconds

        def run() -> None:
            self.clock.now = max(self.clock.now, at)
            function(*given)

        self.due = run

    def run_late(self, seconds: float) -> None:
        self.clock.now += 0.1 + seconds
        self.due()


def test_the_lag_of_the_loop_is_what_its_last_beat_was_late_or_its_next_one_is_already() -> None:
    clock = Clock()
    heart, loop = Heartbeat(clock), Loop(clock)
    clock.now = 50.0
    assert heart.lag == 0, "it did not begin"
    heart.start(loop)  # type: ignore[arg-type]
    loop.run_late(0)
    assert heart.lag == pytest.approx(0)
    loop.run_late(4)
    assert heart.lag == pytest.approx(4)
    clock.now += 7.1
    assert heart.lag == pytest.approx(7), "before it beats"
    loop.run_late(0)
    assert heart.lag == pytest.approx(7.1)
    loop.run_late(0)
    assert heart.lag == pytest.approx(0), "at the first beat in time"


@pytest.mark.row("W-12")
def test_after_a_flood_everybody_is_served_at_once() -> None:
    # A late loop sheds only while something waits; nothing is remembered of the flood.

    async def flood_and_then(people: int) -> tuple[set[int], list[int]]:
        door, clock = BusyDoor(), Clock()
        loop, bridge = Loop(clock), Bridge(door, 1, clock)  # type: ignore[arg-type]
        bridge.heartbeat.start(loop)  # type: ignore[arg-type]
        first = await held(bridge, door)
        waiting = asyncio.create_task(status(bridge, b"/patient"))
        await until_waiting(bridge, 1)
        shed = set()
        for _ in range(4):
            loop.run_late(1.2)  # and as late again for the answer: more than the patience of 2 s
            shed |= {await status(bridge) for _ in range(1000)}
        door.may_end.set()
        await asyncio.wait_for(asyncio.gather(first, waiting), 60)
        assert bridge.heartbeat.lag > 1, "it does not know yet"
        return shed, [await status(bridge) for _ in range(people)]

    assert asyncio.run(flood_and_then(100)) == ({503}, [200] * 100)


def test_a_probe_is_answered_while_all_threads_are_taken() -> None:
    async def statuses() -> list[int]:
        door = BusyDoor()
        bridge = Bridge(door, 1)  # type: ignore[arg-type]
        first = await held(bridge, door)
        waiting = asyncio.create_task(status(bridge, b"/patient"))
        await until_waiting(bridge, 1)
        probe = await asyncio.wait_for(status(bridge, b"/readyz"), 60)
        door.may_end.set()
        return [probe, *await asyncio.wait_for(asyncio.gather(first, waiting), 60)]

    assert asyncio.run(statuses()) == [200, 200, 200]


@pytest.mark.row("B-08")
@each_row(
    ("method", "hosts", "expected"),
    [("GET", 1, 200), ("BREW", 1, 200), ("GET", 0, 400), ("GET", 2, 400), ("get", 1, 400), ("Get", 1, 400)],
)
def test_a_request_has_one_host_and_a_method_in_upper_case(method: str, hosts: int, expected: int) -> None:
    door: Any = AnsweringDoor(lambda: Response("ok"))
    scope = scope_of(method, b"/", *[(b"host", b"x")] * hosts)
    assert asyncio.run(asyncio.wait_for(status_of(Bridge(door, 1), scope), 60)) == expected
    assert len(door.asked) == (expected == 200)


def test_whatever_an_answer_raises_costs_no_thread() -> None:
    def end() -> Response:
        raise SystemExit

    door: Any = AnsweringDoor(end)
    bridge = Bridge(door, 1)
    assert [message.get("status") for message in ask(bridge)] == [500, None]
    door.function = lambda: Response("ok")
    assert [message.get("status") for message in ask(bridge)] == [200, None]


@each_row(
    ("value", "status"), [("a\nb", 500), ("a\r\nSet-Cookie: x=y", 500), ("\x00", 500), ("a\tb", 200), ("/é", 200)]
)
def test_a_header_that_http_does_not_allow_is_an_error_and_never_dropped(value: str, status: int) -> None:
    door: Any = AnsweringDoor(lambda: Response("ok", headers=[("Location", value)]))
    start, body = ask(Bridge(door, 1))
    assert start["status"] == status
    assert ((b"location", value.encode("latin-1")) in start["headers"]) == (status == 200)
    assert body["body"] == (b"ok" if status == 200 else b"")


@pytest.mark.row("B-08")
def test_no_byte_in_a_header_of_the_proxy_makes_another_header_count() -> None:
    door: Any = AnsweringDoor(lambda: Response("ok"))
    added = (b"x-forwarded-for", b"\xe9, 198.51.100.7")
    ask(Bridge(door, 1), added, (b"forwarded", b"for=203.0.113.99"), (b"x_forwarded_for", b"203.0.113.98"))
    [request] = door.asked
    read_forwarded(request, 1)
    assert request.remote_ip == "198.51.100.7"
    assert request.environ["HTTP_X_FORWARDED_FOR"] == "\xe9, 198.51.100.7"
