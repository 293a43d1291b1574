"""Starts a server on a core of its own, waits until it answers, and stops it."""

import http.client
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import machine
from bench.driver.transport import HOST

_PATIENCE = 60.0
_GRACE = 20.0
_TAIL = 3000
_BETWEEN_TRIES = 0.01


class StartError(Exception):
    """The server ended or did not answer; the message holds its last lines."""


@dataclass(frozen=True)
class Command:
    """A command that starts a server.

    Attributes:
        arguments: the program and its arguments.
        environment: the whole environment.
        ready: the path that answers 200 when the server is ready.
        folder: the working directory; by default that of the log.
    """

    arguments: Sequence[str]
    environment: Mapping[str, str]
    ready: str
    folder: Path | None = None


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        pid: of its first process.
        cold_start: seconds from its start to its first answer.
    """

    port: int
    pid: int
    cold_start: float


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def is_listening(port: int) -> bool:
    """Return whether a server accepts connections at a port."""
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


@contextmanager
def running(command: Command, port: int, core: int | None, log: Path) -> Iterator[Server]:
    """Run a server during the block, pinned to `core`, with its output in `log`.

    Raises:
        StartError: it does not answer within a minute.
    """
    began = time.monotonic()
    with log.open("wb") as output, machine.pinned(core):
        process = subprocess.Popen(
            command.arguments,
            env=command.environment,
            stdout=output,
            stderr=output,
            cwd=command.folder or log.parent,
        )
    try:
        _wait(process, port, command.ready, log)
        yield Server(port, process.pid, time.monotonic() - began)
    finally:
        process.terminate()
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, ready: str, log: Path) -> None:
    until = time.monotonic() + _PATIENCE
    while not _answers(port, ready):
        if process.poll() is not None or time.monotonic() > until:
            program = Path(str(process.args[0] if isinstance(process.args, list | tuple) else process.args)).name
            raise StartError(f"{program} does not answer:\n{log.read_text(errors='replace')[-_TAIL:]}")
        time.sleep(_BETWEEN_TRIES)


def _answers(port: int, ready: str) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=2)
    try:
        connection.request("GET", ready)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
