"""Granian with a socket that all workers accept connections on, replaced workers, and an orderly stop.

After SIGTERM, `/readyz` fails and each answer closes its connection, so that proxies and load balancers turn to other
servers; all requests are still answered. After a delay that is longer than a proxy keeps an idle connection, the server
accepts nothing any more, answers the requests that it has, and ends.

The kernel completes connections before a worker accepts them, and resets those that still wait when the socket is
closed. So a server first refuses new connections, then its workers accept those that wait, and only then the socket is
closed. The parent process opens the socket and all workers share it: the connections of a killed worker wait for the
others.
"""

import asyncio
import ctypes
import multiprocessing
import os
import select
import signal
import socket
import struct
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import click
import structlog
from granian import Granian
from granian._granian import SocketHolder

from idp.metrics import instruments
from idp.metrics.catalogue import WORKERS_FAILED
from idp.node import node

READ_SECONDS = 10.0
"""Seconds until the body of a request must be complete, and the longest pause before its head and within an upload."""
UPLOAD_RATE = 64 * 1024
"""Bytes per second. A form with files has so much more time as it takes at this rate, about that of a slow line."""
MAX_UPLOADS = 4  # forms with files that a worker receives and answers at once: each is in memory
MAX_HEAD = 64 * 1024
"""Bytes of the request line and the headers that may wait for their end; what arrives at once may be twice as long."""
LINGER_SECONDS = 2.0
"""Seconds in which a body that was not awaited is discarded, so that the client reads the response (RFC 9112 9.6)."""
UNIX = "unix:"
BACKLOG = 2048
_ANYBODY = 0o666  # the mode of a socket file: the proxy is another user. The folder decides who reaches it.
# How long no connection may wait before the socket is closed: a handshake that has begun ends meanwhile.
_EMPTY_SECONDS = 0.3
_MOST_SECONDS = 5.0  # the longest wait for workers that accept nothing any more
_CLOSING_POLL_SECONDS = 0.01
_SO_ATTACH_FILTER = 26
# A program of the kernel's packet filter (Documentation/networking/filter.rst).
_DROP_SYN = (
    (0x30, 0, 0, 13),  # load the byte of the TCP header that has the flags
    (0x45, 0, 1, 0x02),  # with SYN, continue; else skip one
    (0x06, 0, 0, 0),  # drop the packet
    (0x06, 0, 0, 0xFFFFFFFF),  # take all of it
)


class Listener:
    """A listening socket, which is not blocking; `is_file` says that it is a socket file."""

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
            time.sleep(_CLOSING_POLL_SECONDS)


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


SETTLED_SECONDS = 60.0
"""The age at which a worker has settled. If none has for so long, and none runs, the server ends with an error."""
FIRST_PAUSE, MOST_PAUSE, MOST_PAUSE_OF_ALL = 1.0, 30.0, 2.0
"""Seconds until a dead worker is replaced that had not settled. They double with each failure in a row, up to the
second number while other workers run, and up to the third while none does."""
_POLL_SECONDS = 0.05
_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})

log = structlog.get_logger()


class Server(Granian):  # type: ignore[misc, valid-type] # one of two classes, chosen when granian is imported
    """A server on `listener`, whose workers stop `drain_seconds` after SIGTERM."""

    def __init__(self, listener: Listener, drain_seconds: float, **options: Any) -> None:
        # granian takes the default, which is another one since Python 3.14: the parent has loaded the application once
        multiprocessing.set_start_method("fork", force=True)
        super().__init__("idp", backlog=BACKLOG, **options)
        self._listener, self._drain_seconds = listener, drain_seconds
        self._is_hurried = False
        node.share()
        self._held, self._parent_end = os.pipe()
        self._loading, self._is_loaded, self._serves = threading.Lock(), False, threading.Event()
        self._settled_at, self._pauses = time.monotonic(), [0.0] * self.workers
        self._failed_at: dict[int, float] = {}  # when each worker failed that is not replaced yet

    def begin_worker(self) -> None:
        """Prepare a forked worker: only the parent process stops it, on purpose or by its own end.

        systemd sends SIGTERM to all processes of a service at once, and Ctrl-C reaches all processes of a terminal. The
        signals stay blocked here, in all threads that begin later too, until the parent's end of the pipe is closed.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.close(self._parent_end)
        threading.Thread(target=self._end_with_parent, name="parent", daemon=True).start()

    def finish_loading(self) -> None:
        """Note that the worker has loaded its application, and in its event loop, that it serves."""
        with self._loading:
            self._is_loaded = True
        asyncio.get_event_loop().call_soon(self._serves.set)

    def _end_with_parent(self) -> None:
        os.read(self._held, 1)  # nobody writes: this returns when the other end is closed
        self._listener.leave()
        with self._loading:
            if not self._is_loaded:
                _take_one_sigterm()  # the default handler ends the process
        self._serves.wait()  # granian's handler would lose a signal before the first step of its event loop
        _take_one_sigterm()

    def _spawn_worker(self, idx: int, target: Any, callback_loader: Any) -> Any:
        return super()._spawn_worker(idx, target, partial(callback_loader, idx))

    def _serve_loop(self, spawn_target: Any, target_loader: Any) -> None:
        """Replace workers that fail, until a signal stops the server, or none runs and none has settled for long.

        Granian's own loop ends when one worker fails twice within seconds, whatever the others do. Since this one does
        not reload, SIGHUP has no effect.
        """
        pause = None
        while not self.interrupt_signal:
            self.main_loop_interrupt.wait(pause)
            self.main_loop_interrupt.clear()
            self.interrupt_children.clear()
            moment, dead = time.monotonic(), [worker for worker in self.wrks if not worker.is_alive()]
            for worker in dead:
                if worker.idx not in self._failed_at:
                    self._note_failure(worker, moment)
            none_runs = len(dead) == len(self.wrks)
            if none_runs and moment - self._settled_at > SETTLED_SECONDS:
                log.critical("server.gave_up", seconds=SETTLED_SECONDS)
                self.shutdown(exit_code=1)
            most = MOST_PAUSE_OF_ALL if none_runs else MOST_PAUSE
            due = {worker: self._failed_at[worker.idx] + min(self._pauses[worker.idx], most) for worker in dead}
            for worker in dead:
                if due[worker] <= moment:
                    self._replace(worker, spawn_target, target_loader)
            pause = min((at - moment for at in due.values() if at > moment), default=None)

    def _note_failure(self, worker: Any, moment: float) -> None:
        idx, lifetime, pause = worker.idx, moment - worker.birth, 0.0
        if lifetime >= SETTLED_SECONDS:
            self._settled_at = moment
        else:
            pause = min(max(FIRST_PAUSE, 2 * self._pauses[idx]), MOST_PAUSE)
        self._failed_at[idx], self._pauses[idx] = moment, pause
        seconds, exit_code = round(lifetime, 1), worker.inner.exitcode
        log.error("server.worker_failed", worker=idx + 1, exit_code=exit_code, seconds=seconds, pause=pause)
        node.note_failure()
        WORKERS_FAILED.count()
        instruments.forget_gauges(str(idx))

    def _replace(self, dead: Any, spawn_target: Any, target_loader: Any) -> None:
        del self._failed_at[dead.idx]
        replacement = self._spawn_worker(dead.idx, spawn_target, target_loader)
        try:
            replacement.start()
        except OSError:  # no memory for a process: the same as a worker that fails at once
            log.exception("server.cannot_fork")
            dead.birth = time.monotonic()
            self.main_loop_interrupt.set()
        else:
            self.wrks[dead.idx] = replacement

    def signal_handler_interrupt(self, *args: Any, **kwargs: Any) -> None:
        """Stop; without the delay after Ctrl-C, or at a second signal."""
        self._is_hurried = self.interrupt_signal or args[0] == signal.SIGINT
        super().signal_handler_interrupt(*args, **kwargs)

    def shutdown(self, exit_code: int = 0) -> None:
        """Drain the server, and end it."""
        if self.interrupt_signal:
            self._drain()
            self._listener.empty()
        self._listener.leave()
        for worker in self.wrks:
            worker.interrupt_by_parent = True
        os.close(self._parent_end)
        super().shutdown(exit_code)

    def _drain(self) -> None:
        node.announce_stop()
        log.info("server.draining", seconds=0 if self._is_hurried else self._drain_seconds)
        until = time.monotonic() + self._drain_seconds
        while not self._is_hurried and time.monotonic() < until:
            time.sleep(_POLL_SECONDS)

    def _init_shared_socket(self) -> None:
        """Let the workers accept on the socket of `listener`, where each would have one of its own."""
        descriptor = self._listener.socket.fileno()
        self._ssp, self._sso = None, self._listener.socket
        self._sfd, self._shd = descriptor, SocketHolder(descriptor, self._listener.is_file, BACKLOG)  # type: ignore[call-arg] # its stub has no arguments

    def _drop_shared_socket(self) -> None:
        """Do nothing: `shutdown` has left the socket."""


def _take_one_sigterm() -> None:
    """Send this process SIGTERM, as one with those that are pending: granian does not end well after a second one."""
    os.kill(os.getpid(), signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # the signal is handled before this returns
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
