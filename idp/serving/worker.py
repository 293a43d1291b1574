"""A gunicorn worker whose threads get complete requests only, so that a slow client has a socket but no thread.

Gunicorn's own worker gives a connection to a thread at its first byte, without a read timeout: as many slow clients as
threads stop the service. Here, the event loop collects each request until a deadline; a request is smaller than 200 kB.
A buffering proxy does the same, and TLS.

A request whose end is not known gets no thread either, and its connection is closed: 411 for `Transfer-Encoding` (see
`idp.serving.arrivals`), 400 for an invalid or repeated `Content-Length`.
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
"""Seconds until a request must be complete."""
LINGER_SECONDS = 2.0
"""Seconds in which received bytes are discarded after the last response, so that it is not lost (RFC 9112 9.6)."""
_SWEEP_SECONDS = 0.5
_STALL_SECONDS = 10
_SEND_BUFFER = 208 * 1024  # larger than any response, so that no thread waits for a slow reader
_BLOCK = 64 * 1024
_LINE = b"\r\n"
_CLOSE_HEADERS = b"\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_REFUSALS = {
    progress: b"HTTP/1.1 %s%s" % (status, _CLOSE_HEADERS)
    for progress, status in (
        (Progress.TOO_LONG, b"431 Request Header Fields Too Large"),
        (Progress.LENGTHLESS, b"411 Length Required"),
        (Progress.MALFORMED, b"400 Bad Request"),
    )
}
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_NO_CONNECTION = frozenset({errno.EAGAIN, errno.ECONNABORTED})


class _StatusOnlySocket:
    """A socket that sends only the status line of a response."""

    def __init__(self, client: socket.socket) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def sendall(self, answer: bytes) -> None:
        """Send the first line of `answer`, and headers that close the connection."""
        status, _, _ = answer.partition(_LINE)
        self._client.sendall(status + _CLOSE_HEADERS)


class BufferingWorker(ThreadWorker):  # type: ignore[misc] # gunicorn publishes no types
    """Gunicorn's threaded worker, with buffered requests. The public methods are hooks of gunicorn's loop."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._waiting: set[Arrival] = set()
        self._next_sweep = 0.0

    def accept(self, listener: socket.socket) -> None:
        """Accept a connection and start to receive its request."""
        try:
            client, peer = listener.accept()
        except OSError as fault:
            if fault.errno not in _NO_CONNECTION:
                raise
            return
        self.nr_conns += 1
        conn = Arrival(self.cfg, client, peer, listener.getsockname())
        with suppress(OSError):
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
            for direction in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):  # in case a thread waits all the same
                client.setsockopt(socket.SOL_SOCKET, direction, struct.pack("ll", _STALL_SECONDS, 0))
        self._expect(conn)

    def on_client_socket_readable(self, conn: Arrival, client: socket.socket) -> None:
        """Start to receive the next request of a kept connection, with a new deadline."""
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        self._expect(conn)

    def handle(self, conn: Arrival) -> Any:
        """Handle a complete request, in a thread."""
        conn.init()
        conn.parser.unreader.unread(bytes(conn.received))
        conn.received.clear()
        return super().handle(conn)

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:
        """Refuse an invalid request without gunicorn's page, which lacks the security headers."""
        super().handle_error(req, _StatusOnlySocket(client), addr, exc)

    def finish_request(self, conn: Arrival, future: "Future[Any]") -> None:
        """Keep or end the connection after its request."""
        try:
            kept = not future.cancelled() and bool(future.result())
        except Exception:  # noqa: BLE001 - already logged
            kept = False
        if not kept:
            self._end(conn)
        elif left := conn.parser.unreader.take_buffered():  # the next request was received with this one
            conn.sock.setblocking(False)
            self._expect(conn, left)
        else:
            super().finish_request(conn, future)

    def murder_pending(self) -> None:
        """Close the connections whose deadline is over."""
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
        """Start to receive a request, which begins with `received`. Most requests are complete at once."""
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
        """Read the received bytes; return whether to wait for more."""
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
        """Add received bytes; return whether the request is complete or refused."""
        progress = conn.add(part)
        if progress is Progress.PARTIAL:
            if conn.expects:
                conn.expects = False
                self._send(conn, _CONTINUE)
            return False
        self._unwatch(conn)
        if refusal := _REFUSALS.get(progress):
            self.log.warning("request refused before it was read: %s", progress.name)
            self._send(conn, refusal)
            self._end(conn)
        else:
            conn.data_ready = True
            self.enqueue_req(conn)
        return True

    def _send(self, conn: Arrival, answer: bytes) -> None:
        with suppress(OSError):
            conn.sock.send(answer)

    def _end(self, conn: Arrival) -> None:
        """Shut the sending side down, and discard received bytes for a moment."""
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
