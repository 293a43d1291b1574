"""Periodic jobs: each runs once per period, with any number of workers (security row Z-08)."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from idp.db import db
from idp.outbox import periodic
from idp.outbox.queue import OutboxMessage
from idp.outbox.worker import Handler, Outcome, TemporaryDeliveryError, Worker

HOUR = timedelta(hours=1)
START = datetime(2027, 3, 1, 10, 30, tzinfo=UTC)
WORKERS = 8


def worker(handler: Handler, **jobs: timedelta) -> Worker:
    return Worker(dict.fromkeys({"tidy", *jobs}, handler), jobs=jobs or {"tidy": HOUR})


def noting(done: list[datetime]) -> Handler:
    def handler(message: OutboxMessage) -> Outcome:
        done.append(message.created_at)
        return Outcome.DROPPED

    return handler


def rows() -> list[tuple[str, str]]:
    with Session(db.engine) as session:
        messages = session.execute(select(OutboxMessage.kind, OutboxMessage.outcome).order_by(OutboxMessage.created_at))
        return [(kind, outcome) for kind, outcome in messages]


def at(**time: float) -> time_machine.travel:
    return time_machine.travel(START + timedelta(**time), tick=False)


def test_a_job_is_done_once_in_each_period_and_after_a_pause_only_once(queue_app: Flask) -> None:
    done: list[datetime] = []
    crew = worker(noting(done))
    for minutes in (0, 1, 29, 30, 31, 89, 90, 5000, 5001):
        with at(minutes=minutes):
            crew.run_once()
    assert done == [START + timedelta(minutes=minutes) for minutes in (0, 30, 90, 5000)]


@pytest.mark.row("Z-08")
def test_a_restarted_worker_does_not_repeat_the_job(queue_app: Flask) -> None:
    done: list[datetime] = []
    for minutes in (0, 10, 20, 30):
        with at(minutes=minutes):
            assert worker(noting(done)).run_once() == (minutes in {0, 30})
    assert len(done) == 2


@pytest.mark.row("Z-08")
def test_concurrent_workers_do_a_job_once(queue_app: Flask) -> None:
    done: list[datetime] = []
    handler = noting(done)

    def work(barrier: threading.Barrier, crew: Worker) -> None:
        with queue_app.app_context():
            barrier.wait(60)
            crew.run_once()

    crews = [worker(handler) for _ in range(WORKERS)]
    for hour in range(10):
        barrier = threading.Barrier(WORKERS)
        with at(hours=hour), ThreadPoolExecutor(WORKERS) as pool:
            for future in [pool.submit(work, barrier, crew) for crew in crews]:
                future.result()
        assert len(done) == hour + 1
    assert rows() == [("tidy", "dropped")] * 10


@pytest.mark.row("Z-08")
def test_workers_whose_clocks_differ_do_a_job_once(queue_app: Flask) -> None:
    done: list[datetime] = []
    ahead, behind = worker(noting(done)), worker(noting(done))
    for minutes in range(0, 180, 3):
        with at(minutes=minutes + 5):
            ahead.run_once()
        with at(minutes=minutes):
            behind.run_once()
    assert len(done) == len({moment.hour for moment in done}) == 4


def test_a_failed_job_is_retried_and_delays_no_other_job(queue_app: Flask) -> None:
    tries: list[int] = []

    def failing(message: OutboxMessage) -> Outcome:
        tries.append(message.attempts)
        raise TemporaryDeliveryError("the secret is not here")

    for hour in range(6):
        with at(hours=hour):
            worker(failing).run_once()
    assert tries == [1, 2, 3, 4, 5, 6], "the same message each time"
    assert rows() == [("tidy", "waiting")]
    with at(hours=8):
        assert worker(lambda _message: Outcome.DONE).run_once() == 1
    with at(hours=9):
        worker(lambda _message: Outcome.DONE).run_once()
    assert rows() == [("tidy", "sent"), ("tidy", "sent")]


def test_jobs_do_not_wait_for_each_other(queue_app: Flask) -> None:
    done: list[str] = []

    def handler(message: OutboxMessage) -> Outcome:
        done.append(message.kind)
        if message.kind == "slow":
            raise TemporaryDeliveryError("not now")
        return Outcome.DONE

    crew = worker(handler, slow=HOUR, quick=timedelta(minutes=10))
    for minutes in (0, 5, 10):
        with at(minutes=minutes):
            crew.run_once()
    assert done.count("quick") == 2
    assert done.count("slow") >= 1


def test_a_period_is_counted_from_the_same_moment_everywhere() -> None:
    periods = HOUR, timedelta(days=1)
    with time_machine.travel(datetime(1970, 1, 1, 0, 59, 59, tzinfo=UTC), tick=False):
        assert [periodic.number_of(period) for period in periods] == [0, 0]
    with time_machine.travel(datetime(1970, 1, 2, 1, tzinfo=UTC), tick=False):
        assert [periodic.number_of(period) for period in periods] == [25, 1]
