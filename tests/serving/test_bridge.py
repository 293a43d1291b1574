"""The bridge between granian and the door, where no client can make it fail."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.exceptions import RequestEntityTooLarge

from idp.serving import bridge as serving_bridge
from idp.serving import limits
from idp.serving.bridge import Bridge
from idp.web.door import forwarded
from idp.web.http import Request, Response
from tests.rows import each_row


class AnsweringDoor:
    """A door that answers each request by a function, in a thread."""

    def __init__(self, function: Callable[[], Response]) -> None:
        self.function = function
        self.asked: list[Request] = []

    def answer_at_once(self, _request: Request) -> None:
        return None

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


def upload(bridge: Bridge, parts: list[bytes], *, path: bytes = b"/fichiers", pause: float = 0) -> list[dict[str, Any]]:
    """Return the messages for a form with files, whose body comes in parts with pauses."""
    scope = {
        "type": "http",
        "method": "POST",
        "raw_path": path,
        "query_string": b"",
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "scheme": "http",
        "http_version": "1.1",
        "headers": [
            (b"content-type", b"multipart/form-data; boundary=b"),
            (b"content-length", str(sum(map(len, parts))).encode()),
        ],
    }
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
    monkeypatch.setattr(limits, "READ_SECONDS", 0.2)
    monkeypatch.setattr(limits, "UPLOAD_RATE", 200_000)
    monkeypatch.setattr(limits, "LINGER_SECONDS", 0.1)
    door: Any = UploadDoor()
    assert upload(Bridge(door, 1), LONG, pause=0.15)[0]["status"] == 200, "0.6 s of 1.2 s"
    assert upload(Bridge(door, 1), LONG, pause=0.4)[0]["status"] == 408, "a pause"
    assert upload(Bridge(door, 1), [b"x" * 8_000] * 25, pause=0.1)[0]["status"] == 408, "2.5 s of 1.2 s"


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
    scope = {
        "type": "http",
        "method": "GET",
        "raw_path": b"/",
        "query_string": b"",
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "scheme": "http",
        "http_version": "1.1",
        "headers": [(b"host", b"x"), *headers],
    }
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(asyncio.wait_for(bridge(scope, receive, send), 60))
    return sent


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
