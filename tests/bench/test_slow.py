"""Slow connections send a request's beginning, then one byte after another, and notice that the server closes them."""

import asyncio
from typing import Any

from bench.driver import slow
from bench.driver.relying_party import Party
from bench.driver.transport import HOST, InProcess, runner
from tests.bench.fake_provider import FakeProvider, provider
from tests.rows import each_row

_COUNT = 60


@each_row(("kind", "beginning"), [("headers", b"GET /keys HTTP/1.1\r\n"), ("bodies", b"POST /token HTTP/1.1\r\n")])
def test_slow_connections_never_end_their_requests(kind: str, beginning: bytes) -> None:
    received: dict[int, bytes] = {}
    tasks: list[asyncio.Task[Any] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.current_task())
        number = len(received)
        received[number] = b""
        while number % 2 and (data := await reader.read(1000)):
            received[number] += data
        writer.close()  # every second one at once

    async def run() -> int:
        party = await Party.discover(provider(), InProcess(FakeProvider()))
        server = await asyncio.start_server(serve, HOST, 0)
        port = server.sockets[0].getsockname()[1]
        async with slow._slow_connections(port, party, kind, _COUNT) as trickles:
            await asyncio.sleep(2.2)
            closed = sum(trickle.is_closed for trickle in trickles)
        server.close()
        await asyncio.gather(*filter(None, tasks), return_exceptions=True)
        return closed

    with runner() as loop:
        assert loop.run(run()) == _COUNT / 2
    assert len(received) == _COUNT
    for number in range(1, _COUNT, 2):
        head, _, body = received[number].partition(b"\r\n\r\n")
        assert head.startswith(beginning)
        slowly = body.removeprefix(b"code=") if kind == "bodies" else head.rpartition(b"X-Slow: ")[2]
        assert 1 <= len(slowly) <= 4
        assert set(slowly) == set(b"a")
