"""Granian with the socket of `idp.serving.listening`, and an orderly stop.

After SIGTERM, `/readyz` fails and each answer closes its connection, so that proxies and load balancers turn to other
servers; all requests are still answered. After a delay that is longer than a proxy keeps an idle connection, the server
accepts nothing any more, answers the requests that it has, and ends.
"""

import asyncio
import multiprocessing
import os
import signal
import threading
import time
from typing import Any

import structlog
from granian import Granian
from granian._granian import SocketHolder

from idp.serving.listening import BACKLOG, Listener
from idp.stopping import stopping

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
        stopping.share()
        self._held, self._parent_end = os.pipe()
        self._loading, self._is_loaded, self._serves = threading.Lock(), False, threading.Event()

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
        stopping.announce()
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
