"""Connections with an end: whatever the other side does, name, connection, TLS, question and answer share one deadline.

A socket's own time limit begins anew at each byte; a server that answers one byte a second would hold a worker for
hours.
"""

import io
import queue
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

Address = IPv4Address | IPv6Address


class Deadline:
    """An instant by which all must be done."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds that are left.

        Raises:
            TimeoutError: none is.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


class AnswerTooLong(OSError):  # noqa: N818 - says what is so
    """The other side says more than it may."""

    def __init__(self) -> None:
        super().__init__(None, "it says too much")


@dataclass(frozen=True)
class Place:
    """One address that a name has: as it is judged, and as a socket takes it."""

    address: Address
    family: socket.AddressFamily
    endpoint: Any


class Wire:
    """A connected socket as `http.client` uses one: one deadline for all, and `longest` bytes to read."""

    def __init__(self, connected: socket.socket, deadline: Deadline, longest: int) -> None:
        self._socket = connected
        self._deadline = deadline
        self._longest = longest

    def sendall(self, data: bytes) -> None:
        """Send all of `data`."""
        self._socket.settimeout(self._deadline.left())
        self._socket.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return what reads the answer."""
        return io.BufferedReader(_Reads(self._socket, self._deadline, self._longest))

    def close(self) -> None:
        """Do nothing: `http.client` closes before the body is read, and whoever connected closes for good."""


class _Reads(io.RawIOBase):
    """The bytes of a socket, until the deadline, and no more than were said: no library's count is relied on."""

    def __init__(self, connected: socket.socket, deadline: Deadline, longest: int) -> None:
        super().__init__()
        self._socket = connected
        self._deadline = deadline
        self._left = longest

    def readable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what has come, or wait for it.

        Raises:
            AnswerTooLong: all that may be read has been.
        """
        if not self._left:
            raise AnswerTooLong
        self._socket.settimeout(self._deadline.left())
        count = self._socket.recv_into(buffer, min(len(buffer), self._left))
        self._left -= count
        return count


def resolve(host: str, port: int, deadline: Deadline) -> list[Place]:
    """Ask the system for the addresses of `host`, in a thread: the system's own patience may be ten times ours.

    Raises:
        OSError: it has none; `UnicodeError` when it is no name at all.
        TimeoutError: the answer did not come in time.
    """
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answers.put(error)

    threading.Thread(target=ask, name="resolver", daemon=True).start()
    try:
        answer = answers.get(timeout=deadline.left())
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(answer, Exception):
        raise answer
    return [Place(ip_address(endpoint[0]), family, endpoint) for family, _, _, _, endpoint in answer]


def connect(places: Sequence[Place], deadline: Deadline) -> socket.socket:
    """Connect to the first place that takes it; each has its share of the time, so that none uses up the others'.

    Raises:
        OSError: the failure of the last.
    """
    failure = OSError("no address")
    for index, place in enumerate(places):
        connected = socket.socket(place.family, socket.SOCK_STREAM)
        try:
            connected.settimeout(deadline.left() / (len(places) - index))
            connected.connect(place.endpoint)
        except OSError as error:
            connected.close()
            failure = error
        else:
            return connected
    raise failure


@lru_cache(maxsize=4)
def trust(authorities: Path | None) -> ssl.SSLContext:
    """Return how certificates are judged: by the system's authorities, and by those of a PEM file if one is given.

    Reading the system's authorities takes 20 ms: the context is made once for a process.
    """
    context = ssl.create_default_context()
    if authorities:
        context.load_verify_locations(authorities)
    context.set_alpn_protocols(["http/1.1"])
    return context


def secure(connected: socket.socket, host: str, deadline: Deadline, context: ssl.SSLContext) -> ssl.SSLSocket:
    """Return the connection under TLS, the certificate checked against the name, whatever address was connected to."""
    connected.settimeout(deadline.left())
    return context.wrap_socket(connected, server_hostname=host)
