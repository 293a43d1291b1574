"""The socket on which all workers accept connections, and how it is closed without a lost connection.

The kernel completes connections before a worker accepts them, and resets those that still wait when the socket is
closed. So a server first refuses new connections, then its workers accept those that wait, and only then the socket is
closed. The parent process opens the socket and all workers share it: the connections of a killed worker wait for the
others.
"""

import ctypes
import os
import select
import socket
import struct
import time
from contextlib import suppress
from pathlib import Path

import click

UNIX = "unix:"
BACKLOG = 2048
_ANYBODY = 0o666
"""The mode of a socket file: the proxy is another user. The folder decides who reaches it."""
_EMPTY_SECONDS = 0.3
"""How long no connection may wait before the socket is closed: a handshake that has begun ends meanwhile."""
_MOST_SECONDS = 5.0
"""The longest wait for workers that accept nothing any more."""
_POLL_SECONDS = 0.01
_SO_ATTACH_FILTER = 26
_DROP_SYN = (
    (0x30, 0, 0, 13),  # load the byte of the TCP header that has the flags
    (0x45, 0, 1, 0x02),  # with SYN, continue; else skip one
    (0x06, 0, 0, 0),  # drop the packet
    (0x06, 0, 0, 0xFFFFFFFF),  # take all of it
)
"""A program of the kernel's packet filter (Documentation/networking/filter.rst)."""


class Listener:
    """A listening socket.

    Attributes:
        socket: the socket, which is not blocking.
        is_file: whether it is a socket file.
    """

    def __init__(self, bind: str) -> None:
        """Listen on `bind`: HOST:PORT, or unix:PATH.

        Raises:
            ClickException: that is not possible.
        """
        self.is_file = bind.startswith(UNIX)
        self._path = Path(bind.removeprefix(UNIX))
        try:
            self.socket = _open_file(self._path) if self.is_file else _open_port(bind)
        except OSError as fault:
            raise click.ClickException(f"cannot listen on {bind} ({fault.strerror or fault})") from fault
        self.socket.listen(BACKLOG)
        self.socket.setblocking(False)

    @property
    def url(self) -> str:
        """Where the socket listens."""
        if self.is_file:
            return f"{UNIX}{self._path}"
        host, port = self.socket.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def empty(self) -> None:
        """Refuse new connections, and wait until the workers have accepted all that came before.

        The first packet of a new connection is dropped. Its client repeats that packet after a second, and is refused
        if the socket is closed by then.
        """
        if self.is_file:
            self._path.unlink(missing_ok=True)
        else:
            with suppress(OSError):  # a kernel without packet filters
                self._drop_first_packets()
        self._wait_until_empty()

    def leave(self) -> None:
        """Close the socket in this process, in which granian has descriptors of it too, and would keep them.

        Each becomes a descriptor of /dev/null, which granian may close later. The kernel closes the socket after the
        last process has left it.
        """
        left = os.fstat(self.socket.fileno())
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for path in Path("/proc/self/fd").iterdir():
            with suppress(OSError):  # the descriptor of the folder
                if os.path.samestat(os.fstat(int(path.name)), left):
                    os.dup2(nothing, int(path.name), inheritable=False)
        os.close(nothing)

    def _drop_first_packets(self) -> None:
        program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in _DROP_SYN))
        described = struct.pack("HP", len(_DROP_SYN), ctypes.addressof(program))
        self.socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, described)

    def _wait_until_empty(self) -> None:
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        given_up_at = time.monotonic() + _MOST_SECONDS
        empty_at = time.monotonic() + _EMPTY_SECONDS
        while (moment := time.monotonic()) < min(empty_at, given_up_at):
            if poll.poll(0):
                empty_at = moment + _EMPTY_SECONDS
            time.sleep(_POLL_SECONDS)


def _open_port(bind: str) -> socket.socket:
    """Return a socket on a port; a second server would get an error, and not a part of the connections."""
    host, _, port = bind.rpartition(":")
    [(family, kind, _, _, sockaddr), *_] = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    opened = socket.socket(family, kind)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(sockaddr)
    except OSError:
        opened.close()
        raise
    return opened


def _open_file(path: Path) -> socket.socket:
    _remove_abandoned(path)
    opened = socket.socket(socket.AF_UNIX)
    try:
        opened.bind(str(path))
        path.chmod(_ANYBODY)
    except OSError:
        opened.close()
        raise
    return opened


def _remove_abandoned(path: Path) -> None:
    """Remove the socket file of a server that was killed.

    Raises:
        ClickException: a server listens on it.
    """
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise click.ClickException(f"cannot listen on {UNIX}{path} (Address already in use)")
