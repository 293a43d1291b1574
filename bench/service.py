"""The service as in production: `idp serve`, one worker with eight threads, on a core of its own."""

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import machine
from bench.transport import HOST
from idp.config import PREFIX, Settings

IDP = str(Path(sys.executable).with_name("idp"))
THREADS = 8
_PATIENCE = 60.0
_GRACE = 20.0
_TAIL = 3000


class StartError(Exception):
    """The server ended or did not answer; the message holds its last lines."""


@dataclass(frozen=True)
class Service:
    """A running server."""

    port: int
    pid: int

    def cpu_seconds(self) -> float | None:
        """Return the processor time of all its processes so far; None if unknown."""
        return machine.tree_seconds(self.pid)


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def settings_for(database_url: str, port: int) -> Settings:
    """Return the settings of the service at `port`; development only allows plain http on loopback."""
    values = {
        "env": "development",
        "issuer": f"http://{HOST}:{port}",
        "database_url": database_url,
        "database_pool": THREADS,
        "academy": "Académie des Deux-Rives",
        "trusted_proxies": 1,  # the driver acts as the proxy: each parent has an IP of their own
    }
    return Settings(**values)  # type: ignore[arg-type]


def environment(settings: Settings) -> dict[str, str]:
    """Return the environment for a process with `settings`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return inherited | {f"{PREFIX}{name.upper()}": str(getattr(settings, name)) for name in settings.model_fields_set}


@contextmanager
def running(settings: Settings, port: int, core: int | None, log: Path) -> Iterator[Service]:
    """Run `idp serve` during the block, pinned to `core`, with its output in `log`.

    Raises:
        StartError: it does not answer within a minute.
    """
    command = [IDP, "serve", "--bind", f"{HOST}:{port}", "--workers", "1", "--threads", str(THREADS)]
    mine = machine.cores()
    with log.open("wb") as output:
        machine.pin(core)  # inherited, so that all of it runs there
        try:
            process = subprocess.Popen(command, env=environment(settings), stdout=output, stderr=output, cwd=log.parent)
        finally:
            if core is not None:
                os.sched_setaffinity(0, mine)
    try:
        _wait(process, port, log)
        yield Service(port, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + _PATIENCE
    while not _answers(port):
        if process.poll() is not None or time.monotonic() > until:
            raise StartError(f"idp serve does not answer:\n{log.read_text(errors='replace')[-_TAIL:]}")
        time.sleep(0.1)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
