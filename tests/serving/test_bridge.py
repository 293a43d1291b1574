"""The bridge between granian and the door, where no client can make it fail."""

import asyncio
import math
import threading
from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.exceptions import RequestEntityTooLarge

from idp.serving import bridge as serving_bridge
from idp.serving import limits
from idp.serving.bridge import Bridge
from idp.serving.queue import Queue
from idp.web.door import forwarded
from idp.web.door.door import GROUP_SHARE
from idp.web.http import Request, Response
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

    def group(self, _request: Request) -> str:
        return ""

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
    """Return a request as the server describes it."""
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


def upload(bridge: Bridge, parts: list[bytes], *, path: bytes = b"/fichiers", pause: float = 0) -> list[dict[str, Any]]:
    """Return the messages for a form with files, whose body comes in parts with pauses."""
    length = str(sum(map(len, parts))).encode()
    scope = scope_of("POST", path, (b"content-type", b"multipart/form-data; boundary=b"), (b"content-length", length))
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
    monkeypatch.setattr(limits, "READ_SECONDS", 0.5)
    monkeypatch.setattr(limits, "UPLOAD_RATE", 20_000)
    monkeypatch.setattr(limits, "LINGER_SECONDS", 0.1)
    door: Any = UploadDoor()
    parts = [b"x" * 8_000] * 25
    assert upload(Bridge(door, 1), parts, pause=0.03)[0]["status"] == 200, "0.75 s of 10.5 s"
    assert upload(Bridge(door, 1), LONG, pause=5)[0]["status"] == 408, "a pause"
    monkeypatch.setattr(limits, "UPLOAD_RATE", 2_000_000)
    assert upload(Bridge(door, 1), parts, pause=0.1)[0]["status"] == 408, "2.5 s of 0.6 s"


def test_few_uploads_are_in_memory_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_UPLOADS", 1)
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
    """Return the messages that the server gets for one request."""
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

    Each path that begins with « group » is a group of its own.
    """

    def __init__(self, *, can_shed: bool = True) -> None:
        super().__init__(self._hold)
        self.is_held, self.may_end, self.can_shed = threading.Event(), threading.Event(), can_shed

    def answer(self, request: Request) -> Response:
        return Response("ready") if self.is_probe(request) else super().answer(request)

    def _hold(self) -> Response:
        self.is_held.set()
        self.may_end.wait(60)
        return Response("ok")

    def patience(self, request: Request) -> float:
        return math.inf if request.path == "/patient" else 2.0

    def group(self, request: Request) -> str:
        return request.path if request.path.startswith("/group") else ""

    def shed(self, _request: Request) -> Response | None:
        return Response(status=503) if self.can_shed else None


class Clock:
    """The seconds of a bridge."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


async def status(bridge: Bridge, path: bytes = b"/") -> int:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await bridge(scope_of("GET", path, (b"host", b"x")), receive, send)
    return int(sent[0]["status"])


async def until_waiting(bridge: Bridge, count: int) -> None:
    """Wait until so many requests wait for the thread."""
    while bridge._queue.waiting < count:  # noqa: ASYNC110 - the queue has no event
        await asyncio.sleep(0)


async def held(bridge: Bridge, door: BusyDoor) -> "asyncio.Task[int]":
    """Return a request that has the only thread."""
    first = asyncio.create_task(status(bridge, b"/patient"))
    await asyncio.to_thread(door.is_held.wait, 60)
    return first


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
    assert asyncio.run(statuses(BusyDoor(can_shed=False), 2.1)) == [200, 200, 200], "in its turn"


def test_a_request_is_shed_at_its_arrival_when_the_queue_is_too_long_for_it() -> None:
    async def statuses() -> list[int]:
        door, clock = BusyDoor(), Clock()
        bridge = Bridge(door, 1, clock)  # type: ignore[arg-type]
        first = await held(bridge, door)
        bridge._queue._mean = 1.5
        waiting = [asyncio.create_task(status(bridge, b"/patient")) for _ in range(2)]
        await until_waiting(bridge, 2)
        at_once = await status(bridge), bridge._queue.waiting
        bridge._queue._mean = 0.9
        last = asyncio.create_task(status(bridge))
        await until_waiting(bridge, 3)
        door.may_end.set()
        return [*at_once, *await asyncio.wait_for(asyncio.gather(first, *waiting, last), 60)]

    assert asyncio.run(statuses()) == [503, 2, 200, 200, 200, 200]


def test_a_group_fills_a_part_of_the_queue_and_leaves_the_rest_to_others() -> None:
    async def statuses() -> list[int]:
        door, clock = BusyDoor(), Clock()
        bridge = Bridge(door, 1, clock)  # type: ignore[arg-type]
        first = await held(bridge, door)
        bridge._queue._mean = 0.33 * GROUP_SHARE  # of a wait of 1.32 shares, four of the five open requests cause 1.06
        grouped = [asyncio.create_task(status(bridge, b"/group")) for _ in range(4)]
        await until_waiting(bridge, 4)
        at_once = await status(bridge, b"/group")
        other = asyncio.create_task(status(bridge, b"/group2"))
        await until_waiting(bridge, 5)
        door.may_end.set()
        answered = await asyncio.wait_for(asyncio.gather(first, *grouped, other), 60)
        assert bridge._queue._open == {}, "groups without works take no memory"
        return [at_once, *answered]

    assert asyncio.run(statuses()) == [503, 200, 200, 200, 200, 200, 200]


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


def test_the_wait_for_the_event_loop_counts_while_it_is_known() -> None:
    clock = Clock()
    queue = Queue(1, clock)

    async def work() -> None:
        def end() -> str:
            clock.now += 10
            return "done"

        assert await queue.run(end) == "done"

    asyncio.run(work())
    assert queue.expected_wait == 0, "nothing waits"
    queue._round = 0.6
    assert queue.expected_wait == pytest.approx(2.4)
    clock.now += 1
    assert queue.expected_wait == 0, "the loop may be idle since"


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
    forwarded.read(request, 1)
    assert request.remote_ip == "198.51.100.7"
    assert request.environ["HTTP_X_FORWARDED_FOR"] == "\xe9, 198.51.100.7"
