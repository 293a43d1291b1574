"""A try is counted in several limits by one statement: in all of them or in none, whatever happens meanwhile."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest
from flask import Flask
from sqlalchemy import select

from idp.clock import now
from idp.db import db
from idp.throttle import guard, limits
from idp.throttle.counters import ThrottleCounter
from idp.throttle.guard import Granted, Wait
from tests.databases import LOCK_WAITS

pytestmark = [
    pytest.mark.usefixtures("app"),
]

PATIENCE = 30
IP = "192.0.2.7"
DEMANDS = ((limits.SIGN_IN_ACCOUNT, "n.leroy4821"), (limits.SIGN_IN_IP, IP), (limits.SIGN_IN_REQUESTS, IP))


def counts() -> dict[str, int]:
    rows = db.session.execute(select(ThrottleCounter.limit, ThrottleCounter.count))
    return {limit.partition(":")[0]: count for limit, count in rows}


def try_meanwhile(app: Flask, database_url: str, closing: str, change: str) -> Wait | Granted:
    def take() -> Wait | Granted:
        with app.app_context():
            return guard.take_all(*DEMANDS)

    with psycopg.connect(database_url) as other, ThreadPoolExecutor(1) as thread:
        other.execute(f"UPDATE throttle SET {change} WHERE \"limit\" LIKE '{closing}%'")  # noqa: S608
        waiting = thread.submit(take)
        wait_for_lock(database_url, waiting)
        other.commit()
        return waiting.result(PATIENCE)


def wait_for_lock(database_url: str, waiting: "Future[Wait | Granted]") -> None:
    until = time.monotonic() + PATIENCE
    with psycopg.connect(database_url, autocommit=True) as watcher:
        while watcher.execute(LOCK_WAITS).fetchone() == (0,):
            assert not waiting.done(), waiting.result()
            assert time.monotonic() < until, "the try waits for no lock"
            time.sleep(0.02)


@pytest.mark.parametrize("closing", ["sign_in_account", "sign_in_ip", "sign_in_requests"])
def test_try_that_meets_a_counter_closed_meanwhile_counts_nowhere(app: Flask, database_url: str, closing: str) -> None:
    guard.take_all(*DEMANDS)
    end = now() + timedelta(minutes=7)
    refusal = try_meanwhile(app, database_url, closing, f"open_at = '{end.isoformat()}'")
    assert isinstance(refusal, Wait)
    assert refusal.limit.name == closing
    assert 410 < refusal.seconds <= 420
    assert counts() == {"sign_in_account": 1, "sign_in_ip": 1, "sign_in_requests": 1}


def test_try_that_waited_for_a_counter_sees_its_new_count(app: Flask, database_url: str) -> None:
    guard.take_all(*DEMANDS)
    granted = try_meanwhile(app, database_url, "sign_in_account", "count = 3")
    assert granted == Granted(4)
    assert counts() == {"sign_in_account": 4, "sign_in_ip": 2, "sign_in_requests": 2}


@pytest.mark.parametrize("closing", [limits.SIGN_IN_ACCOUNT, limits.SIGN_IN_REQUESTS], ids=lambda limit: limit.name)
def test_refused_try_writes_nothing(closing: limits.Limit, database_url: str) -> None:
    subject = IP if closing.by_network else "n.leroy4821"
    repeat_until(lambda: guard.take(closing, subject))
    before = counts()
    assert isinstance(guard.take_all(*DEMANDS), Wait)
    assert counts() == before
    with psycopg.connect(database_url) as connection:
        [(written,)] = connection.execute("SELECT max(xmin::text::bigint) FROM throttle").fetchall()
        guard.take_all(*DEMANDS)
        assert connection.execute("SELECT max(xmin::text::bigint) FROM throttle").fetchall() == [(written,)]


def repeat_until(take: Callable[[], Wait | Granted]) -> None:
    while isinstance(take(), Granted):
        pass
