"""The pool of the application: a lost connection is replaced before its use, and a used one costs no message."""

import time
from pathlib import Path

import psycopg
import pytest
from flask import Flask
from sqlalchemy import func, select, text
from sqlalchemy.exc import OperationalError

from idp import pool
from idp.db import db, patient_unit_of_work, unit_of_work
from tests.applications import disconnect
from tests.database.messages import traced

pytestmark = [
    pytest.mark.own_app,
]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace the pool's clock by the one value of a list."""
    moment = [time.monotonic()]
    monkeypatch.setattr("idp.pool.time.monotonic", lambda: moment[0])
    return moment


def backend() -> int:
    """Return the number of the server's process that answers, over the pool."""
    with db.engine.connect() as connection:
        return int(connection.scalar(text("SELECT pg_backend_pid()")) or 0)


def end_backends(database_url: str) -> None:
    """Have the server end all connections, as a restart does."""
    others = "pid <> pg_backend_pid() AND datname = current_database()"
    with psycopg.connect(database_url, autocommit=True) as other:
        other.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")  # noqa: S608
        while other.execute(f"SELECT count(*) FROM pg_stat_activity WHERE {others}").fetchone() != (0,):  # noqa: S608
            time.sleep(0.01)


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


def test_connection_that_the_server_ended_is_replaced_at_once(app: Flask, database_url: str) -> None:
    for _ in range(3):
        first = backend()
        with db.engine.connect(), db.engine.connect():
            pass  # three connections are idle
        end_backends(database_url)
        assert backend() != first
        with db.engine.connect() as second, db.engine.connect() as third, db.engine.connect() as fourth:
            assert [connection.scalar(text("SELECT 1")) for connection in (second, third, fourth)] == [1, 1, 1]


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


def test_server_that_stands_still_breaks_the_connection_in_time(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server would have answered after two seconds."""
    first = backend()
    with monkeypatch.context() as impatient:
        impatient.setattr("idp.pool.PatientConnection.patience", 0.1)
        for block in (unit_of_work, db.engine.connect):
            with pytest.raises(OperationalError), block():
                db.session.execute(select(func.pg_sleep(2)))
    assert backend() != first


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


def test_statement_that_may_take_long_has_a_longer_limit(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("idp.pool.ANSWER_SECONDS", 0.1)
    with patient_unit_of_work(1):
        db.session.execute(select(func.pg_sleep(0.3)))
    assert backend()
