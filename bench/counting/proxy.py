"""A proxy before PostgreSQL that counts the statements of its clients, whatever driver and pool they use.

It reads the messages of the frontend (PostgreSQL's manual, "Message Formats") and changes none. A statement is a Query,
or an Execute of the extended protocol, whose text the Parse before it brought. Commits are the server's transaction
numbers, since only a transaction that writes gets one, and only the commit of such a transaction waits for the disk.
"""

import asyncio
import struct
import threading
from collections import Counter as Multiset
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Self

import psycopg
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import make_url

from bench.counting.cost import Cost, kind_of
from bench.driver.transport import HOST

_HEADER = 5
_LENGTH = struct.Struct("!I")
_ENCRYPTION_REQUESTS = frozenset({80877103, 80877104})
_CHUNK = 65536


class Frontend:
    """Reads what one client sends, and counts statements by kind (a field of `Cost`)."""

    def __init__(self, counts: Multiset[str]) -> None:
        self._counts = counts
        self._pending = b""
        self._is_started = False
        self._texts: dict[bytes, str] = {}
        """Prepared statements by name."""
        self._portals: dict[bytes, bytes] = {}

    def feed(self, data: bytes) -> None:
        """Read the next part of the stream."""
        self._pending += data
        while message := self._next():
            self._read(*message)

    def _next(self) -> tuple[bytes, bytes] | None:
        """Return the type and the content of the next whole message; the first has no type."""
        skipped = 1 if self._is_started else 0
        if len(self._pending) < skipped + _LENGTH.size:
            return None
        end = skipped + _LENGTH.unpack_from(self._pending, skipped)[0]
        if len(self._pending) < end:
            return None
        kind, content = self._pending[:skipped], self._pending[skipped + _LENGTH.size : end]
        self._pending = self._pending[end:]
        if not self._is_started:
            self._is_started = _LENGTH.unpack_from(content)[0] not in _ENCRYPTION_REQUESTS
        return kind, content

    def _read(self, kind: bytes, content: bytes) -> None:
        if kind == b"Q":
            self._counts[kind_of(_text(content))] += 1
        elif kind == b"P":
            name, _, rest = content.partition(b"\0")
            self._texts[name] = _text(rest)
        elif kind == b"B":
            portal, statement, *_ = content.split(b"\0", 2)
            self._portals[portal] = statement
        elif kind == b"E":
            statement = self._portals.get(content.partition(b"\0")[0], b"")
            self._counts[kind_of(self._texts.get(statement, "?"))] += 1


class CountingProxy:
    """Listens on loopback during a `with` block, in a thread of its own, and forwards to a database's server."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._counts: Multiset[str] = Multiset()
        self._block = ExitStack()

    def __enter__(self) -> Self:
        """Start to listen.

        Raises:
            psycopg.OperationalError: the server does not answer.
        """
        with ExitStack() as stack:
            self._watcher = stack.enter_context(psycopg.connect(self._database_url, autocommit=True))
            loop = stack.enter_context(_loop_in_thread())
            self._server = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._serve, HOST, 0), loop).result()
            stack.callback(loop.call_soon_threadsafe, self._server.close)
            self._block = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; connections are closed."""
        self._block.close()

    @property
    def url(self) -> str:
        """The database's URL through the proxy, without encryption, which would hide the messages."""
        port = self._server.sockets[0].getsockname()[1]
        plain = make_url(self._database_url).difference_update_query(["host", "port"])
        proxied = plain.set(host=HOST, port=port).update_query_dict({"sslmode": "disable", "gssencmode": "disable"})
        return proxied.render_as_string(hide_password=False)

    def so_far(self) -> Cost:
        """Return the count since the start."""
        row = self._watcher.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint").fetchone()
        counts = {name: self._counts[name] for name in ("statements", "control", "pings")}
        return Cost(commits=row[0] if row else 0, **counts)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one client's connection in both directions until one side closes it."""
        upstream_reader, upstream_writer = await self._connect()
        frontend = Frontend(self._counts)
        try:
            await asyncio.wait(
                [
                    asyncio.create_task(_pump(reader, upstream_writer, frontend)),
                    asyncio.create_task(_pump(upstream_reader, writer, None)),
                ],
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            writer.close()
            upstream_writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        parameters = conninfo_to_dict(self._database_url)
        host, port = str(parameters.get("host") or HOST), int(parameters.get("port") or 5432)
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, port)


@contextmanager
def _loop_in_thread() -> Iterator[asyncio.AbstractEventLoop]:
    """Run an event loop in a thread during the block, and cancel its tasks at the end."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="counting proxy", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        asyncio.run_coroutine_threadsafe(_cancel_all(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _cancel_all() -> None:
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, frontend: Frontend | None) -> None:
    try:
        while data := await reader.read(_CHUNK):
            if frontend:
                frontend.feed(data)
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        return


def _text(content: bytes) -> str:
    return content.partition(b"\0")[0].decode("utf-8", "replace")
