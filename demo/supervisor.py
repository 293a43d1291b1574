"""Starts the processes of a demonstration and watches them: all of them run, or none does.

Each has its own process group, so that Ctrl-C reaches only the supervisor, which stops them in order. Each ends with
the supervisor, even if that is killed (`demo.parent_death`). The output of each goes to its own log.
"""

import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from demo import parent_death

HOST = "127.0.0.1"
PATIENCE = 60.0
"""The most seconds until every process must answer: ten are usual, a busy machine takes longer."""
GRACE = 10.0
"""Seconds between SIGTERM and SIGKILL."""
_TAIL_LINES = 20
_BEAT = 0.1


@dataclass(frozen=True)
class Child:
    """A process to run: its name for people, its command, its environment, and a check that it answers.

    Attributes:
        ends_last: whether the others need it until they have ended.
    """

    name: str
    label: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    answers: Callable[[], bool] = lambda: True
    ends_last: bool = False


@dataclass(frozen=True)
class Failure:
    """The reason why a demonstration ended: the process, the end of the sentence, and its last lines of output."""

    label: str
    reason: str
    tail: str

    def __str__(self) -> str:
        log = f"\nIts last lines:\n{self.tail}" if self.tail else "\nIts log is empty."
        return f"{self.label} {self.reason}.{log}"


class StopRequest:
    """Ctrl-C, SIGTERM or a closed terminal, recorded instead of interrupting the `with` block."""

    def __init__(self) -> None:
        self._asked = False
        self._interrupts = 0
        self._former: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # ignored by nohup: the terminal may close
            numbers.append(signal.SIGHUP)
        self._former = {number: signal.signal(number, self._take) for number in numbers}
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def __bool__(self) -> bool:
        return self._asked

    @property
    def hurried(self) -> bool:
        """Whether Ctrl-C was pressed again, so that the wait must end."""
        return self._interrupts > 1

    def _take(self, number: int, _frame: FrameType | None) -> None:
        self._asked = True
        self._interrupts += number == signal.SIGINT


def first_taken(ports: Iterable[int]) -> int | None:
    """Return the first of `ports` that cannot be bound at 127.0.0.1, or None.

    Raises:
        OSError: a port cannot be bound for another reason.
    """
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: a recently closed port is free
            try:
                probe.bind((HOST, port))
                probe.listen(1)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                return port
    return None


class Supervisor:
    """Runs processes during its `with` block, with logs in `logs` and the working folder `folder`.

    They inherit the environment `inherited`. All are ended when the block ends, for any reason.
    """

    def __init__(self, stop: StopRequest, *, logs: Path, folder: Path, inherited: Mapping[str, str]) -> None:
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._stop = stop
        self._logs = logs
        self._folder = folder
        self._inherited = dict(inherited)
        self._running: list[tuple[Child, subprocess.Popen[bytes]]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._end()

    def start(self, children: Iterable[Child]) -> None:
        """Start `children` all at once, without waiting for their answers."""
        for child in children:
            self._running.append((child, self._start(child)))

    def run(self, ready: Callable[[], None], *, patience: float = PATIENCE) -> Failure | None:
        """Wait until all processes answer, call `ready`, and watch them.

        Returns:
            None after a request to stop; otherwise the failure.
        """
        failure = self.wait_for_answers(patience)
        if failure or self._stop:
            return failure
        ready()
        while not self._stop:
            failure = self._find_ended()
            if failure:
                return failure
            time.sleep(_BEAT)
        return None

    def _start(self, child: Child) -> subprocess.Popen[bytes]:
        with self._log(child).open("wb") as log:
            return subprocess.Popen(  # noqa: S603 - our own commands, without a shell
                [sys.executable, "-I", "-S", parent_death.__file__, str(os.getpid()), *child.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                env={**self._inherited, "PYTHONUNBUFFERED": "1", **child.environment},
                start_new_session=True,
            )

    def wait_for_answers(self, patience: float = PATIENCE) -> Failure | None:
        """Wait until all processes that were started answer, or a request to stop; return the failure if one ends."""
        waiting = [child for child, _ in self._running]
        deadline = time.monotonic() + patience
        while waiting and not self._stop:
            failure = self._find_ended()
            if failure:
                return failure
            waiting = [child for child in waiting if not child.answers()]
            if waiting and time.monotonic() > deadline:
                return Failure(
                    waiting[0].label, f"does not answer after {patience:.0f} seconds", self._tail(waiting[0])
                )
            time.sleep(_BEAT)
        return None if self._stop else self._find_ended()

    def _find_ended(self) -> Failure | None:
        for child, process in self._running:
            code = process.poll()
            if code is not None:
                return Failure(child.label, _reason(code), self._tail(child))
        return None

    def _end(self) -> None:
        for last in (False, True):
            self._end_all([process for child, process in self._running if child.ends_last is last])
        self._running.clear()

    def _end_all(self, processes: Sequence["subprocess.Popen[bytes]"]) -> None:
        for process in processes:
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + GRACE
        while any(process.poll() is None for process in processes):
            if time.monotonic() > deadline or self._stop.hurried:
                break
            time.sleep(_BEAT)
        for process in processes:
            _kill_group(process)
            process.wait()

    def _log(self, child: Child) -> Path:
        return self._logs / f"{child.name}.log"

    def _tail(self, child: Child) -> str:
        try:
            lines = self._log(child).read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join(f"  {line}" for line in lines[-_TAIL_LINES:])


def _reason(code: int) -> str:
    if code < 0:
        name = next((known.name for known in signal.Signals if known == -code), str(-code))
        return f"ended (signal {name})"
    return f"ended (exit code {code})"


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and those that it started: a server's workers outlive a killed master."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
