"""Connections with one deadline for name resolution, connection, TLS, request and response.

The timeout of a socket starts again at each byte: a server that sends one byte a second would hold a worker for hours.
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

Ip = IPv4Address | IPv6Address


class Deadline:
    """The instant by which a request must be complete."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds until the deadline.

        Raises:
            TimeoutError: the deadline has passed.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


class ResponseTooLargeError(OSError):
    """The response is larger than the caller reads."""

    def __init__(self, longest: int) -> None:
        super().__init__(None, f"response larger than {longest // 1024} KiB")


@dataclass(frozen=True)
class Endpoint:
    """An IP of a host, with what a socket needs to connect to it."""

    ip: Ip
    family: socket.AddressFamily
    socket_address: Any


class DeadlineSocket:
    """A connected socket for `http.client`, with one deadline, which reads at most `longest` bytes."""

    def __init__(self, connected: socket.socket, deadline: Deadline, longest: int) -> None:
        self._socket = connected
        self._deadline = deadline
        self._longest = longest

    def sendall(self, data: bytes) -> None:
        """Send all of `data` before the deadline."""
        self._socket.settimeout(self._deadline.left())
        self._socket.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return a reader of the response."""
        return io.BufferedReader(_Reader(self._socket, self._deadline, self._longest))

    def close(self) -> None:
        """Do nothing: `http.client` closes before it reads the body. The caller closes the socket."""


class _Reader(io.RawIOBase):
    """Reads a socket until the deadline, and at most `longest` bytes, whatever the library above expects."""

    def __init__(self, connected: socket.socket, deadline: Deadline, longest: int) -> None:
        super().__init__()
        self._socket = connected
        self._deadline = deadline
        self._longest = self._left = longest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Read the bytes that have arrived, or wait for some.

        Raises:
            ResponseTooLargeError: the limit is reached.
            TimeoutError: the deadline has passed.
        """
        if not self._left:
            raise ResponseTooLargeError(self._longest)
        self._socket.settimeout(self._deadline.left())
        count = self._socket.recv_into(buffer, min(len(buffer), self._left))
        self._left -= count
        return count


def resolve(host: str, port: int, deadline: Deadline) -> list[Endpoint]:
    """Resolve a host by the system's resolver, in a thread, because its timeout may be ten times the deadline.

    Raises:
        OSError: the host has no IP.
        UnicodeError: the text is no name of a host.
        TimeoutError: the deadline has passed.
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
    return [Endpoint(ip_address(name[0]), family, name) for family, _, _, _, name in answer]


def connect(endpoints: Sequence[Endpoint], deadline: Deadline) -> socket.socket:
    """Connect to the first endpoint that accepts; each one gets an equal share of the remaining time.

    Raises:
        OSError: no endpoint accepts; the error is that of the last one.
    """
    failure = OSError("no IP")
    for index, endpoint in enumerate(endpoints):
        connected = socket.socket(endpoint.family, socket.SOCK_STREAM)
        try:
            connected.settimeout(deadline.left() / (len(endpoints) - index))
            connected.connect(endpoint.socket_address)
        except OSError as error:
            connected.close()
            failure = error
        else:
            return connected
    raise failure


@lru_cache(maxsize=4)
def tls_context(authorities: Path | None) -> ssl.SSLContext:
    """Return the TLS context that trusts the system's authorities, and those of a PEM file if one is given.

    Loading the system’s authorities takes 20 ms, so each process does it once, for its first request.
    """
    context = ssl.create_default_context()
    if authorities:
        context.load_verify_locations(authorities)
    context.set_alpn_protocols(["http/1.1"])
    return context


def secure(connected: socket.socket, host: str, deadline: Deadline, context: ssl.SSLContext) -> ssl.SSLSocket:
    """Return the connection under TLS; the certificate must be valid for the name, not for the IP."""
    connected.settimeout(deadline.left())
    return context.wrap_socket(connected, server_hostname=host)
