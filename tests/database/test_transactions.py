"""Reads stand alone, and writes are units of work (`idp.db`)."""

import contextvars
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, text, update
from sqlalchemy.exc import OperationalError, StatementError
from sqlalchemy.orm import Session

from idp.clients.models import Client
from idp.clock import now
from idp.db import db, release_connection, retry_unit_of_work, unit_of_work
from idp.throttle.counters import ThrottleCounter
from tests import forked
from tests.builders import Build
from tests.rows import each_row
from tests.waiting import wait_for


@contextmanager
def another_process(database_url: str, way: str, folder: Path) -> Iterator[None]:
    """Run the block while another process (`tests.database.holding`) holds what it used: to wait for that fails."""
    file = folder / "enough"
    with forked.Program("tests.database.holding", database_url, way, str(file)) as program:
        wait_for(lambda: "ready" in program.stdout, program, lambda: program.stderr)
        yield
        file.touch()
        assert program.wait() == 0, program.stderr


@pytest.fixture
def version(app: Flask, build: Build) -> int:
    build.ent()
    return read_version()


def read_version() -> int:
    db.session.rollback()
    return db.session.scalars(select(Client.version)).one()


def raise_version() -> None:
    db.session.execute(update(Client).values(version=Client.version + 1))


def test_reader_is_not_blocked_by_a_writer(version: int, database_url: str, tmp_path: Path) -> None:
    with another_process(database_url, "writes", tmp_path):
        assert read_version() == version
    assert read_version() == version + 1


def test_reader_does_not_block_a_writer(version: int, database_url: str, tmp_path: Path) -> None:
    with another_process(database_url, "reads", tmp_path), unit_of_work():
        raise_version()
    assert read_version() == version + 1


def test_unit_of_work_that_reads_first_sees_what_was_committed_since(
    version: int, database_url: str, tmp_path: Path
) -> None:
    assert read_version() == version  # a snapshot of this moment could not be written on
    with another_process(database_url, "writes", tmp_path):
        pass
    with unit_of_work():
        client = db.session.scalars(select(Client).with_for_update().execution_options(populate_existing=True)).one()
        assert client.version == version + 1
        client.version += 1
    assert read_version() == version + 2


def test_read_leaves_no_transaction_open(version: int) -> None:
    db.session.scalars(select(Client)).one()
    assert db.session().in_transaction()  # the session has its connection still
    idle = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'")
    with db.engine.connect() as other:
        assert other.scalar(idle) == 0
    with db.engine.begin() as other:
        other.execute(update(Client).values(version=version + 1))
    assert db.session.scalars(select(Client.version)).one() == version + 1


def test_unit_of_work_is_rolled_back_by_an_exception(version: int) -> None:
    @unit_of_work()
    def fail() -> None:
        raise_version()
        raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert read_version() == version


def test_units_of_work_are_not_nested(version: int) -> None:
    with pytest.raises(RuntimeError, match="unit of work"), unit_of_work(), unit_of_work():
        raise_version()
    assert read_version() == version


def test_connection_is_not_released_within_a_unit_of_work(version: int) -> None:
    @unit_of_work()
    def compute_a_hash() -> None:
        raise_version()
        release_connection()

    with pytest.raises(RuntimeError, match="unit of work"):
        compute_a_hash()
    assert read_version() == version


def test_change_outside_a_unit_of_work_is_refused(version: int) -> None:
    client = db.session.scalars(select(Client)).one()
    client.version += 1
    with pytest.raises(RuntimeError, match="changes wait"), unit_of_work():
        pass
    assert read_version() == version


def change_client() -> None:
    db.session.scalars(select(Client)).one().version += 1


def change_and_read() -> None:
    change_client()
    stored_by_product()


def stored_by_product() -> int:
    return db.session.scalars(select(Client.version)).one()


def lock_client() -> None:
    db.session.scalars(select(Client).with_for_update()).one()


def write_after_a_unit() -> None:
    with unit_of_work():
        raise_version()
    raise_version()


@each_row(
    ("write", "named"),
    [
        (raise_version, "UPDATE client SET version=.client.version . :version_1."),
        (change_and_read, "flush of Client"),
        (change_client, "changes of Client"),
        (lock_client, "SELECT client.* FOR UPDATE"),
        (db.session.connection, "connection"),
        (lambda: db.session.execute(text("DELETE FROM client")), "DELETE FROM client"),
        (write_after_a_unit, "UPDATE client"),
    ],
)
def test_write_outside_a_unit_of_work_is_refused_by_name(
    app: Flask, version: int, write: Callable[[], None], named: str
) -> None:
    def product() -> None:
        with app.app_context():
            write()

    with pytest.raises(RuntimeError, match=rf"outside unit_of_work\(\).*: {named}"):
        contextvars.Context().run(product)
    assert read_version() == version + (write is write_after_a_unit)


@pytest.mark.own_app
def test_change_that_a_view_leaves_unwritten_is_answered_as_a_fault(
    app: Flask, browser: FlaskClient, version: int
) -> None:
    @app.get("/unwritten")
    def unwritten() -> str:
        change_client()
        return "done"

    response = browser.get("/unwritten")
    assert response.status_code == 500
    assert "Référence" in response.text or "référence" in response.text
    assert read_version() == version


def test_released_connection_leaves_what_was_read(version: int) -> None:
    client = db.session.scalars(select(Client)).one()
    busy = db.engine.pool.checkedout()  # type: ignore[attr-defined]
    release_connection()
    assert db.engine.pool.checkedout() == busy - 1  # type: ignore[attr-defined]
    assert client.version == version


def test_unit_of_work_is_retried_when_the_database_is_busy(version: int) -> None:
    tries: list[int] = []

    def step() -> int:
        tries.append(1)
        raise_version()
        if len(tries) == 1:
            raise OperationalError(None, None, Exception("database is locked"))
        return len(tries)

    assert retry_unit_of_work(step) == 2
    assert read_version() == version + 1


PROCESSES, TIMES = 4, 100


def store_and_read(moment: datetime) -> datetime:
    with Session(db.engine) as session:
        session.add(ThrottleCounter(limit="x", key=b"k", count=1, since=now(), open_at=now(), expires_at=moment))
        session.commit()
    with Session(db.engine) as session:
        return session.scalars(select(ThrottleCounter.expires_at)).one()


def test_an_instant_is_read_back_in_utc(app: Flask) -> None:
    moment = datetime(2026, 9, 1, 8, 30, 0, 123456, timezone(timedelta(hours=5, minutes=30)))
    back = store_and_read(moment)
    assert back == moment
    assert back.tzinfo is UTC
    assert (back.hour, back.microsecond) == (3, 123456)


def test_a_time_without_zone_is_refused(app: Flask) -> None:
    with pytest.raises(StatementError, match="a time without zone cannot be stored"):
        store_and_read(datetime(2026, 9, 1, 8, 30))  # noqa: DTZ001 - refused by the type


def test_a_connection_is_set_up_for_a_service(app: Flask) -> None:
    expected = {"statement_timeout": "5s", "lock_timeout": "2s", "timezone": "UTC"}
    with db.engine.connect() as connection:
        assert {name: connection.scalar(text(f"SHOW {name}")) for name in expected} == expected


def test_concurrent_read_and_write_loses_no_update(app: Flask, build: Build, database_url: str) -> None:
    build.ent()
    before = db.session.scalars(select(Client.version)).one()
    db.session.commit()
    done = forked.run("tests.database.counting", database_url, str(PROCESSES), str(TIMES), timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    with Session(db.engine) as session:
        assert session.scalars(select(Client.version)).one() == before + PROCESSES * TIMES
