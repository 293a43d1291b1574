"""The queue of messages: transactions, periodic jobs (Z-08), and leases on a machine whose clock is wrong."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from click.testing import CliRunner
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from idp.clock import now
from idp.db import db, unit_of_work
from idp.operations.outbox_commands import outbox
from idp.outbox import leases, queue
from idp.outbox.queue import OutboxMessage, enqueue
from idp.outbox.worker import Handler, Outcome, TemporaryDeliveryError, Worker


def test_a_message_is_committed_or_rolled_back_with_its_transaction(queue_app: Flask) -> None:
    assert enqueue("mail.confirmation", {"token": 7}).id
    db.session.rollback()
    assert leases.claim(["mail.confirmation"]) is None
    enqueue("mail.confirmation", {"token": 8})
    db.session.commit()
    claimed = leases.claim(["mail.confirmation"])
    assert claimed is not None
    assert claimed.payload == {"token": 8}


def test_the_payload_is_a_copy(queue_app: Flask) -> None:
    payload = {"token": 7}
    message = enqueue("mail.confirmation", payload)
    payload["token"] = 8
    db.session.commit()
    assert message.payload == {"token": 7}


def test_a_delayed_message_waits(queue_app: Flask) -> None:
    message = enqueue("mail.confirmation", {}, delay=timedelta(minutes=2))
    db.session.commit()
    assert message.available_at - message.created_at == timedelta(minutes=2)
    assert leases.claim(["mail.confirmation"]) is None


def test_an_unserialisable_payload_never_reaches_the_table(queue_app: Flask) -> None:
    enqueue("mail.confirmation", {"token": object()})
    with pytest.raises(Exception, match="not JSON serializable"):
        db.session.commit()
    db.session.rollback()
    assert db.session.query(OutboxMessage).count() == 0


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
        assert [queue.number_of(period) for period in periods] == [0, 0]
    with time_machine.travel(datetime(1970, 1, 2, 1, tzinfo=UTC), tick=False):
        assert [queue.number_of(period) for period in periods] == [25, 1]


@pytest.fixture
def message(queue_app: Flask) -> OutboxMessage:
    with unit_of_work():
        message = enqueue("mail", {})
        message.available_at = now() - timedelta(hours=1)
    return message


@pytest.fixture(params=[40, -40], ids=["fast", "slow"])
def wrong_clock(message: OutboxMessage, request: pytest.FixtureRequest) -> Iterator[None]:
    with time_machine.travel(now() + timedelta(seconds=request.param)):
        yield


def test_a_lease_is_measured_by_the_clock_of_the_server(message: OutboxMessage) -> None:
    assert leases.claim(["mail"]) is not None
    with time_machine.travel(now() + timedelta(minutes=1)):
        assert leases.claim(["mail"]) is None


@pytest.mark.usefixtures("wrong_clock")
def test_a_message_that_was_just_claimed_has_not_outlasted_its_lease() -> None:
    faults = []

    def handler(_message: OutboxMessage) -> Outcome:
        faults.append(claiming.fault())
        return Outcome.DONE

    claiming = Worker({"mail": handler})
    claiming.run_once()
    assert faults == [""]


@pytest.mark.usefixtures("wrong_clock")
def test_retry_leaves_a_message_that_a_worker_delivers(message: OutboxMessage) -> None:
    """A second delivery would be a second mail."""
    assert leases.claim(["mail"]) is not None
    result = CliRunner().invoke(outbox, ["retry", str(message.id)])
    assert result.exit_code == 1
    assert f"{message.id}: a worker is delivering it" in result.output
    assert leases.claim(["mail"]) is None
