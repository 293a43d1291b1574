"""The bridge between granian and the door, where no client can make it fail."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

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
