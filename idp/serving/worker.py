"""A gunicorn worker whose threads get whole requests only: who sends slowly holds a socket, and no thread.

Gunicorn's own gives a connection a thread as soon as its first byte is there, and reads the rest in it without any
time limit: as many slow clients as threads stop the service. Here the loop that watches all sockets collects each
request, for so many seconds; the longest one is smaller than 200 kB. A proxy that buffers does the same, and TLS.

What the loop cannot tell the end of gets no thread either, and its connection ends: 411 for any `Transfer-Encoding`
(see `idp.serving.arrivals`), 400 for lengths that are none or several.
"""

import errno
import selectors
import socket
import struct
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from gunicorn.workers.gthread import ThreadWorker

from idp.serving.arrivals import Arrival, Progress

if TYPE_CHECKING:
    from concurrent.futures import Future

READ_SECONDS = 10.0
"""How long a request may take to arrive, from its first moment to its last byte."""
LINGER_SECONDS = 2.0
"""How long what a client still sends is read after the last answer, so that it is not cut (RFC 9112 9.6)."""
_SWEEP_SECONDS = 0.5
_STALL_SECONDS = 10
_SEND_BUFFER = 208 * 1024  # any answer fits: no thread waits for a client that reads slowly
_BLOCK = 64 * 1024
_LINE = b"\r\n"
_NOTHING_FOLLOWS = b"\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_REFUSALS = {
    progress: b"HTTP/1.1 %s%s" % (status, _NOTHING_FOLLOWS)
    for progress, status in (
        (Progress.TOO_LONG, b"431 Request Header Fields Too Large"),
        (Progress.LENGTHLESS, b"411 Length Required"),
        (Progress.MALFORMED, b"400 Bad Request"),
    )
}
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_NOBODY_CAME = frozenset({errno.EAGAIN, errno.ECONNABORTED})


class _StatusAlone:
    """A socket that sends the status of an answer and no more of it."""

    def __init__(self, client: socket.socket) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def sendall(self, answer: bytes) -> None:
        """Send the first line of `answer`, and headers that say that nothing follows."""
        status, _, _ = answer.partition(_LINE)
        self._client.sendall(status + _NOTHING_FOLLOWS)


class BufferingWorker(ThreadWorker):  # type: ignore[misc] # gunicorn publishes no types
    """Gunicorn's threaded worker. The methods without a docstring of their own are its hooks, called by its loop."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._waiting: set[Arrival] = set()
        self._next_sweep = 0.0

    def accept(self, listener: socket.socket) -> None:
        """Take a new connection in; its thread comes when its request is there."""
        try:
            client, address = listener.accept()
        except OSError as fault:
            if fault.errno not in _NOBODY_CAME:
                raise
            return
        self.nr_conns += 1
        conn = Arrival(self.cfg, client, address, listener.getsockname())
        with suppress(OSError):
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
            for direction in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):  # should a thread wait all the same
                client.setsockopt(socket.SOL_SOCKET, direction, struct.pack("ll", _STALL_SECONDS, 0))
        self._expect(conn)

    def on_client_socket_readable(self, conn: Arrival, client: socket.socket) -> None:
        """A kept connection speaks again: a new request, with a new time limit."""
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        self._expect(conn)

    def handle(self, conn: Arrival) -> Any:
        """In a thread: give the parser what was received."""
        conn.init()
        conn.parser.unreader.unread(bytes(conn.received))
        conn.received.clear()
        return super().handle(conn)

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:
        """Refuse what is no request, without the page of gunicorn's own: it has none of our headers."""
        super().handle_error(req, _StatusAlone(client), addr, exc)

    def finish_request(self, conn: Arrival, future: "Future[Any]") -> None:
        """The thread is done: keep the connection, or end it without making everybody wait for its last bytes."""
        try:
            kept = not future.cancelled() and bool(future.result())
        except Exception:  # noqa: BLE001 - logged where it happened
            kept = False
        if not kept:
            self._end(conn)
        elif left := conn.parser.unreader.take_buffered():  # the next request came with the last
            conn.sock.setblocking(False)
            self._expect(conn, left)
        else:
            super().finish_request(conn, future)

    def murder_pending(self) -> None:
        """Close what is overdue."""
        moment = time.monotonic()
        if moment < self._next_sweep:
            return
        self._next_sweep = moment + _SWEEP_SECONDS
        for conn in [conn for conn in self._waiting if conn.deadline <= moment]:
            self._drop(conn)

    def _cap_keepalive(self, deadline: float) -> None:
        """At a stop: connections that never said anything do not hold it up either."""
        super()._cap_keepalive(deadline)
        for conn in self._waiting:
            if not conn.received:
                conn.deadline = min(conn.deadline, deadline)

    def _keepalive_after(self, conn: Arrival, keepalive: bool) -> bool:  # noqa: FBT001 - gunicorn's signature
        return bool(super()._keepalive_after(conn, keepalive and not conn.oversized))

    def _expect(self, conn: Arrival, received: bytes = b"") -> None:
        """Begin to collect a request, of which `received` is there already. Most are whole now, and never watched."""
        conn.begin()
        conn.deadline = time.monotonic() + READ_SECONDS
        if received and self._settled(conn, received):
            return
        if self._read(conn):
            self._watch(conn)

    def _watch(self, conn: Arrival) -> None:
        self._waiting.add(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._on_readable, conn))

    def _unwatch(self, conn: Arrival) -> None:
        if conn in self._waiting:
            self._waiting.remove(conn)
            with suppress(OSError, KeyError, ValueError):
                self.poller.unregister(conn.sock)

    def _on_readable(self, conn: Arrival, _client: socket.socket) -> None:
        self._read(conn)

    def _read(self, conn: Arrival) -> bool:
        """Read what has come; say whether more is awaited."""
        try:
            part = conn.sock.recv(_BLOCK)
        except BlockingIOError:
            return True
        except OSError:
            part = b""
        if not part:
            self._drop(conn)
            return False
        return conn.ending or not self._settled(conn, part)

    def _settled(self, conn: Arrival, part: bytes) -> bool:
        """Take `part` in; say whether nothing more is awaited: the request is whole, or refused."""
        progress = conn.add(part)
        if progress is Progress.PARTIAL:
            if conn.expects:
                conn.expects = False
                self._say(conn, _CONTINUE)
            return False
        self._unwatch(conn)
        if refusal := _REFUSALS.get(progress):
            self.log.warning("a request was refused unread: %s", progress.name)
            self._say(conn, refusal)
            self._end(conn)
        else:
            conn.data_ready = True
            self.enqueue_req(conn)
        return True

    def _say(self, conn: Arrival, answer: bytes) -> None:
        with suppress(OSError):
            conn.sock.send(answer)

    def _end(self, conn: Arrival) -> None:
        """Say that no more is coming, and read for a moment what still comes from there."""
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(conn)
            return
        conn.ending, conn.deadline = True, time.monotonic() + LINGER_SECONDS
        self._watch(conn)

    def _drop(self, conn: Arrival) -> None:
        self._unwatch(conn)
        self.nr_conns -= 1
        conn.close()
