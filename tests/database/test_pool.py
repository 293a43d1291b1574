"""The pool of the application: a lost connection is replaced before its use, and an outage is one wait."""

import os
import signal
import socket
import threading
import time
from collections.abc import Collection, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from flask import Flask
from sqlalchemy import Engine, NullPool, create_engine, func, make_url, select, text
from sqlalchemy.exc import OperationalError

from idp import pool
from idp.db import db, patient_unit_of_work, unit_of_work
from tests.applications import disconnect
from tests.database.messages import traced


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    moment = [time.monotonic()]
    monkeypatch.setattr("idp.pool.time.monotonic", lambda: moment[0])
    return moment


def backend() -> int:
    with db.engine.connect() as connection:
        return int(connection.scalar(text("SELECT pg_backend_pid()")) or 0)


def end_backends(database_url: str) -> None:
    """Have the server end all connections, as a restart does."""
    others = "pid <> pg_backend_pid() AND datname = current_database()"
    with psycopg.connect(database_url, autocommit=True) as other:
        other.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")  # noqa: S608
        while other.execute(f"SELECT count(*) FROM pg_stat_activity WHERE {others}").fetchone() != (0,):  # noqa: S608
            time.sleep(0.01)


@pytest.mark.own_app
def test_connection_that_was_just_used_gets_no_ping(app: Flask, tmp_path: Path, clock: list[float]) -> None:
    with traced(app, tmp_path) as messages:
        first = backend()
        messages.restart()
        assert backend() == first
        assert len(messages.statements()) == 3, "BEGIN, the statement, ROLLBACK"
        clock[0] += pool._TRUSTED_SECONDS + 1
        messages.restart()
        assert backend() == first
        assert len(messages.statements()) == 4, "an idle connection is asked for a sign of life"


@pytest.mark.own_app
def test_connection_that_the_server_ended_is_replaced_at_once(app: Flask, database_url: str) -> None:
    for _ in range(3):
        first = backend()
        with db.engine.connect(), db.engine.connect():
            pass  # three connections are idle
        end_backends(database_url)
        assert backend() != first
        with db.engine.connect() as second, db.engine.connect() as third, db.engine.connect() as fourth:
            assert [connection.scalar(text("SELECT 1")) for connection in (second, third, fourth)] == [1, 1, 1]


@pytest.mark.own_app
def test_notice_of_the_server_does_not_cost_the_connection(app: Flask, database_url: str) -> None:
    """A readable socket is a reason to ask, and not yet a lost connection."""
    with db.engine.connect() as connection:
        connection.exec_driver_sql("LISTEN news")
        connection.commit()
        first = connection.scalar(text("SELECT pg_backend_pid()"))
    with psycopg.connect(database_url, autocommit=True) as other:
        other.execute("NOTIFY news")
    time.sleep(0.1)
    assert backend() == first
    disconnect(database_url)


@pytest.mark.own_app
def test_vanished_server_is_noticed_after_a_time_without_use(
    app: Flask, monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    """The socket of a machine that lost its power stays silent."""
    first = backend()

    def lost(_connection: object) -> None:
        raise psycopg.OperationalError("the connection is lost")

    monkeypatch.setattr(pool, "_ping", lost)
    assert backend() == first
    clock[0] += pool._TRUSTED_SECONDS + 1
    assert backend() != first


@pytest.mark.own_app
def test_server_that_stands_still_breaks_the_connection_in_time(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    first = backend()
    with monkeypatch.context() as impatient:
        impatient.setattr("idp.pool.PatientConnection.patience", 0.1)
        for block in (unit_of_work, db.engine.connect):
            with pytest.raises(OperationalError), block():
                db.session.execute(select(func.pg_sleep(2)))
    assert backend() != first


@pytest.mark.own_app
def test_transaction_that_the_server_ended_for_being_idle_is_no_fault_of_ours(app: Flask) -> None:
    @app.get("/idle")
    def idle() -> str:
        with unit_of_work():
            db.session.execute(text("SET LOCAL idle_in_transaction_session_timeout = '50ms'"))
            time.sleep(0.3)
            db.session.execute(text("SELECT 1"))
        return ""

    response = app.test_client().get("/idle")
    assert response.status_code == 503
    assert "Retry-After" in response.headers
    assert backend()


@pytest.mark.own_app
def test_statement_that_may_take_long_has_a_longer_limit(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("idp.pool.ANSWER_SECONDS", 0.1)
    with patient_unit_of_work(60):
        db.session.execute(select(func.pg_sleep(0.3)))
    assert backend()


def test_one_thread_tries_to_connect_while_the_server_stands_still() -> None:
    outage, is_trying, may_end = pool.Outage(), threading.Event(), threading.Event()
    connection = object.__new__(pool.PatientConnection)

    def slow() -> pool.PatientConnection:
        is_trying.set()
        assert may_end.wait(5)
        return connection

    outage.note()
    with ThreadPoolExecutor(1) as thread:
        tried = thread.submit(outage.connect, slow)
        assert is_trying.wait(5)
        with pytest.raises(psycopg.OperationalError, match="did not answer"):
            outage.connect(lambda: connection)
        may_end.set()
        assert tried.result(5) is connection
    assert outage.connect(lambda: outage.connect(lambda: connection)) is connection, "the outage has ended"


def test_server_that_accepts_no_connection_in_time_stands_still() -> None:
    outage = pool.Outage()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]

        def connect() -> pool.PatientConnection:
            return pool.PatientConnection.connect(f"host=127.0.0.1 port={port} user=x connect_timeout=2")

        with ThreadPoolExecutor(2) as threads:
            outage.note()
            calls = {threads.submit(outage.connect, connect) for _ in range(2)}
            first, second = wait(calls, return_when=FIRST_COMPLETED)
    assert [type(call.exception()) for call in first] == [psycopg.OperationalError], "at once"
    assert [type(call.exception()) for call in second] == [psycopg.errors.ConnectionTimeout]


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch) -> pool.Hosts:
    hosts = pool.Hosts()
    monkeypatch.setattr(pool, "hosts", hosts)
    return hosts


def place_of(database_url: str) -> tuple[str, str]:
    url = make_url(database_url)
    return str(url.query.get("host") or url.host), str(url.query.get("port") or url.port or 5432)


@contextmanager
def engine_on(database_url: str, *places: tuple[str, str], connections: int = 0) -> Iterator[Engine]:
    """Yield an engine for a database that is at one of several places, with a pool of so many connections or none."""
    url = make_url(database_url).set(drivername="postgresql+psycopg", host=None, port=None)
    names, ports = (",".join(values) for values in zip(*places, strict=True))
    engine = create_engine(
        url.set(query={"host": names, "port": ports, "target_session_attrs": "read-write"}),
        connect_args=pool.connect_args(pooler=False),
        pool_events=pool.listeners("test", connections),
        **({"pool_size": connections} if connections else {"poolclass": NullPool}),
    )
    yield engine
    engine.dispose()


@contextmanager
def stopped(pids: Collection[int]) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def backends_of(engine: Engine, count: int) -> set[int]:
    barrier = threading.Barrier(count)

    def backend(_number: int) -> int:
        with engine.connect() as connection:
            barrier.wait(30)
            return int(connection.scalar(text("SELECT pg_backend_pid()")) or 0)

    with ThreadPoolExecutor(count) as threads:
        return set(threads.map(backend, range(count)))


@pytest.mark.usefixtures("hosts")
def test_host_that_stands_still_delays_one_connection_and_not_each(database_url: str) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        engine_on(database_url, ("127.0.0.1", str(silent.getsockname()[1])), place_of(database_url)) as engine,
    ):
        seconds = []
        for _ in range(2):
            began = time.monotonic()
            engine.connect().close()
            seconds.append(time.monotonic() - began)
    assert seconds[0] >= pool._SECONDS_FOR_EACH_HOST > seconds[1]


def test_host_that_falls_silent_is_tried_last_until_it_answers(
    database_url: str, hosts: pool.Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, port = place_of(database_url)
    two = {"host": f"{name},127.0.0.1", "port": f"{port},1"}
    with engine_on(database_url, (name, port), ("127.0.0.1", "1")) as engine:
        with monkeypatch.context() as impatient, engine.connect() as connection:
            impatient.setattr("idp.pool.PatientConnection.patience", 0.1)
            with pytest.raises(OperationalError):
                connection.execute(text("SELECT pg_sleep(1)"))
        assert hosts.sort(two) == {"host": f"127.0.0.1,{name}", "port": f"1,{port}"}
        engine.connect().close()
    assert hosts.sort(two) == two


@pytest.mark.usefixtures("hosts")
def test_idle_connection_to_a_host_that_stands_still_is_replaced_in_two_seconds(database_url: str) -> None:
    with engine_on(database_url, place_of(database_url), ("127.0.0.1", "1"), connections=1) as engine:
        with engine.connect() as connection:
            first = connection.scalar(text("SELECT pg_backend_pid()"))
        with stopped([first]):
            time.sleep(pool._TRUSTED_SECONDS_WITH_STANDBY)
            began = time.monotonic()
            with engine.connect() as connection:
                assert connection.scalar(text("SELECT pg_backend_pid()")) != first
            assert time.monotonic() - began < pool.ANSWER_SECONDS - 1


@pytest.mark.usefixtures("hosts")
def test_each_thread_replaces_its_idle_connection_after_a_stall(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A late ping is no outage: another host may answer. Here, it does not, and each new connection takes 2 s."""
    monkeypatch.setattr(pool, "outage", pool.Outage())
    monkeypatch.setattr(pool, "_SIGN_OF_LIFE_SECONDS", 0.3)
    monkeypatch.setattr(pool, "_TRUSTED_SECONDS_WITH_STANDBY", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        places = (place_of(database_url), ("127.0.0.1", str(silent.getsockname()[1])))
        with engine_on(database_url, *places, connections=4) as engine:
            first = backends_of(engine, 4)
            with stopped(first):
                assert not backends_of(engine, 4) & first


@pytest.mark.usefixtures("hosts")
def test_late_ping_of_the_only_host_is_an_outage(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "outage", pool.Outage())
    monkeypatch.setattr(pool, "ANSWER_SECONDS", 0.3)
    monkeypatch.setattr(pool, "_TRUSTED_SECONDS", 0.0)
    began = time.monotonic()
    with engine_on(database_url, place_of(database_url), connections=1) as engine:
        first = backends_of(engine, 1)
        with stopped(first):
            assert not backends_of(engine, 1) & first
    assert pool.outage.is_after(began)


@pytest.mark.parametrize("port", [{}, {"port": "5433"}])
def test_one_port_is_that_of_all_hosts(hosts: pool.Hosts, port: dict[str, str]) -> None:
    hosts._silent = frozenset({("first", port.get("port", "5432"))})
    assert hosts.sort({"host": "first,second", **port}) == {"host": "second,first", **port}
