"""The driver's HTTP client: framing, kept connections, cookies, and broken servers."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bench.driver import transport
from bench.driver.transport import HOST, Answer, Browser, Connection, CutConnectionError, runner
from tests.rows import each_row

_PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\n\r\nok"
_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n"


class _Server:
    """Answers each request with the next of some answers, in two parts; counts connections and keeps requests."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = list(answers)
        self.connections = 0
        self.requests: list[bytes] = []
        self.tasks: list[asyncio.Task[Any] | None] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.tasks.append(asyncio.current_task())
        while self._answers:
            try:
                self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            except asyncio.IncompleteReadError:
                break
            answer = self._answers.pop(0)
            writer.write(answer[:7])
            await writer.drain()
            await asyncio.sleep(0.01)
            writer.write(answer[7:])
        writer.close()
        await writer.wait_closed()


def _with(server: _Server, work: Callable[[Connection], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        listening = await asyncio.start_server(server.serve, HOST, 0)
        connection = Connection(listening.sockets[0].getsockname()[1])
        try:
            return await work(connection)
        finally:
            connection.close()
            listening.close()
            await asyncio.gather(*filter(None, server.tasks), return_exceptions=True)

    with runner() as loop:
        return loop.run(run())


async def _get(connection: Connection) -> Answer:
    return await connection.send("GET", "/page?q=1", {"X-A": "b"}, None)


@each_row("answer", [_PLAIN, _CHUNKED])
def test_an_answer_is_read_whole(answer: bytes) -> None:
    got = _with(_Server(answer), _get)
    assert (got.status, got.body) == (200, b"ok")


def test_a_connection_is_kept() -> None:
    async def twice(connection: Connection) -> None:
        await _get(connection)
        await _get(connection)

    server = _Server(_PLAIN, _PLAIN)
    _with(server, twice)
    assert server.connections == 1
    assert server.requests[0].startswith(b"GET /page?q=1 HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nX-A: b\r\n" in server.requests[0]


def test_a_connection_that_the_server_closes_is_opened_again() -> None:
    async def twice(connection: Connection) -> Answer:
        await _get(connection)
        return await _get(connection)

    server = _Server(_PLAIN.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), _PLAIN)
    assert _with(server, twice).body == b"ok"
    assert server.connections == 2


@each_row("answer", [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", b""])
def test_a_connection_that_ends_before_the_answer_does_is_cut(answer: bytes) -> None:
    with pytest.raises(CutConnectionError):
        _with(_Server(answer), _get)


def test_an_answer_of_another_protocol_is_an_error_and_no_cut_connection() -> None:
    with pytest.raises(ConnectionError, match="malformed response") as raised:
        _with(_Server(b"SMTP ready\r\n\r\n"), _get)
    assert not isinstance(raised.value, CutConnectionError)


def test_a_server_that_does_not_answer_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "PATIENCE", 0.1)
    with pytest.raises(ConnectionError, match=r"no response to GET /page$") as raised:
        _with(_Server(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", b""), _get)
    assert not isinstance(raised.value, CutConnectionError)


def test_a_browser_keeps_and_deletes_cookies() -> None:
    async def thrice(connection: Connection) -> dict[str, str]:
        browser = Browser(connection)
        for _ in range(3):
            await browser.get("/")
        return browser.cookies

    deleted = _PLAIN.replace(b"a=1", b"a=")
    server = _Server(_PLAIN, deleted, _PLAIN.replace(b"Set-Cookie", b"X"))
    assert _with(server, thrice) == {"b": "2"}
    assert b"\r\nCookie: a=1; b=2\r\n" in server.requests[1]
    assert b"\r\nCookie: b=2\r\n" in server.requests[2]
