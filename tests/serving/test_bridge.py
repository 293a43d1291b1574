"""The bridge between granian and the door, where no client can make it fail: granian refuses a response of ours."""

import asyncio
import os
from types import SimpleNamespace
from typing import Any

from idp.serving.bridge import Bridge
from idp.web.http import Request, Response


class PanicException(BaseException):
    """As granian raises it for a header that HTTP does not allow."""


class Refusing:
    """A protocol that refuses responses with a body."""

    def __init__(self) -> None:
        self.sent: list[int] = []

    def response_bytes(self, status: int, headers: list[tuple[str, str]], _body: bytes) -> None:
        if ("location", "a\nb") in headers:
            raise PanicException
        self.sent.append(status)

    def response_empty(self, status: int, _headers: list[tuple[str, str]]) -> None:
        self.sent.append(status)


class Answering:
    """A door that answers each request with one header."""

    def __init__(self, header: tuple[str, str]) -> None:
        self.header = header

    def answer_at_once(self, _request: Request) -> None:
        return None

    def answer(self, _request: Request) -> Response:
        return Response("ok", headers=[self.header])


def scope() -> Any:
    headers = SimpleNamespace(items=lambda: [("host", "x")])
    return SimpleNamespace(
        method="GET",
        path="/",
        query_string="",
        client="127.0.0.1:1",
        server="127.0.0.1:2",
        scheme="http",
        http_version="1.1",
        headers=headers,
    )


def test_a_response_that_granian_refuses_costs_no_thread() -> None:
    door: Any = Answering(("location", "a\nb"))

    async def ask() -> list[list[int]]:
        bridge = Bridge(door, 1, os.getppid())
        bridge.__rsgi_init__(asyncio.get_running_loop())
        protocols: list[Any] = [Refusing() for _ in range(3)]
        for protocol in protocols:
            await asyncio.wait_for(bridge.__rsgi__(scope(), protocol), 60)
            door.header = ("location", "/")
        return [protocol.sent for protocol in protocols]

    assert asyncio.run(ask()) == [[500], [200], [200]]
