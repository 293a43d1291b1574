"""Run `idp serve` and `idp worker` as processes that end with the test."""

import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING

from demo.processes import exported
from idp.config import PREFIX, Settings
from tests import forked

if TYPE_CHECKING:
    import subprocess

IDP = str(Path(sys.executable).with_name("idp"))
PATIENCE = 60.0


def environment(settings: Settings) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.upper().startswith(PREFIX)}
    return {**inherited, **exported(settings)}


@contextmanager
def running(settings: Settings, log: Path, *arguments: str) -> Iterator[forked.Program]:
    with log.open("ab") as file:
        process = forked.Program(forked.IDP, *arguments, env=environment(settings), output=file)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(PATIENCE)


_WORKERS = 8
NUMBER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
"""The number of this test process among those of its run."""
_ports = cycle(range(24_000 + NUMBER % _WORKERS, 32_000, _WORKERS))
"""Ports of this process, below those that the system gives to outgoing connections: no two tests meet at one."""


def free_port() -> int:
    for port in islice(_ports, len(range(24_000, 32_000, _WORKERS))):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port")


def connect(port: int, process: "forked.Program | subprocess.Popen[bytes]", log: Path) -> socket.socket:
    until = time.monotonic() + PATIENCE
    while True:
        assert process.poll() is None, log.read_text()
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        except ConnectionRefusedError:
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.05)


def read_all(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)
