import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest
from flask import Flask
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError, StatementError
from sqlalchemy.orm import Session

from idp.accounts.models import Child
from idp.clients.models import Client
from idp.clock import now
from idp.db import db
from idp.throttle.counters import ThrottleCounter
from tests import forked
from tests.builders import Build

PROCESSES, TIMES = 4, 100


def store_and_read(moment: datetime) -> datetime:
    """Store `moment`; return the value read back."""
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


def test_instants_compare_as_instants(app: Flask) -> None:
    moment = datetime(2026, 9, 1, 0, 30, tzinfo=timezone(timedelta(hours=2)))  # 31 August in UTC
    store_and_read(moment)
    for other, later in ((timedelta(microseconds=-1), 1), (timedelta(), 0), (timedelta(microseconds=1), 0)):
        query = select(ThrottleCounter).where(ThrottleCounter.expires_at > (moment + other).astimezone(UTC))
        assert len(db.session.scalars(query).all()) == later


def test_a_connection_is_set_up_for_a_service(app: Flask) -> None:
    expected = {"statement_timeout": "5s", "lock_timeout": "2s", "timezone": "UTC"}
    with db.engine.connect() as connection:
        assert {name: connection.scalar(text(f"SHOW {name}")) for name in expected} == expected


def test_a_row_that_refers_to_nothing_is_refused(app: Flask) -> None:
    orphan = Child(school_id=uuid.uuid4(), student_id="1", given_name="Malo", family_name="LEROY", class_name="6e 1")
    db.session.add(orphan)
    with pytest.raises(IntegrityError):
        db.session.commit()
    db.session.rollback()


def test_concurrent_read_and_write_loses_no_update(app: Flask, build: Build, database_url: str) -> None:
    build.ent()
    before = db.session.scalars(select(Client.version)).one()
    db.session.commit()
    done = forked.run("tests.database.counting", database_url, str(PROCESSES), str(TIMES), timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    with Session(db.engine) as session:
        assert session.scalars(select(Client.version)).one() == before + PROCESSES * TIMES
