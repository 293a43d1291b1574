import threading
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import text
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from idp.clock import now
from idp.db import db, unit_of_work
from idp.outbox import leases
from idp.outbox.queue import OutboxMessage, enqueue
from idp.outbox.worker import (
    MAX_AGE,
    MAX_ATTEMPTS,
    Handler,
    Outcome,
    PermanentDeliveryError,
    RelayDownError,
    TemporaryDeliveryError,
    UncertainDeliveryError,
    Worker,
    back_off,
)
from tests.outbox.expired import end_leases

SECRET = "https://connexion.exemple.fr/adresse/lien/Jx7v2mQ9sT4kW8bN"


def queued(kind: str = "mail", payload: dict[str, Any] | None = None) -> uuid.UUID:
    with unit_of_work():
        message = enqueue(kind, {"to": "noemie@exemple.test"} if payload is None else payload)
    return message.id


def read_message(message_id: uuid.UUID) -> OutboxMessage:
    with Session(db.engine, expire_on_commit=False) as session, session.begin():
        return session.get_one(OutboxMessage, message_id)


def failing(error: Exception) -> Handler:
    def handler(message: OutboxMessage) -> Outcome:
        raise error

    return handler


def done(message: OutboxMessage) -> Outcome:
    return Outcome.DONE


@pytest.mark.parametrize(("outcome", "word"), [(Outcome.DONE, "sent"), (Outcome.DROPPED, "dropped")])
def test_delivered_or_dropped_message_is_emptied_and_never_claimed_again(
    queue_app: Flask, outcome: Outcome, word: str
) -> None:
    message_id = queued()
    worker = Worker({"mail": lambda _message: outcome})
    assert worker.run_once() == 1
    message = read_message(message_id)
    assert (message.outcome, message.payload, message.last_error, message.lease) == (word, {}, "", None)
    assert message.finished_at is not None
    assert worker.run_once() == 0


def test_a_permanent_failure_is_dead_at_once_visible_and_keeps_its_payload(queue_app: Flask) -> None:
    message_id = queued()
    with capture_logs() as logs:
        Worker({"mail": failing(PermanentDeliveryError("550 no such mailbox"))}).run_once()
    message = read_message(message_id)
    assert (message.outcome, message.last_error) == ("dead", "550 no such mailbox")
    assert message.payload == {"to": "noemie@exemple.test"}
    assert [entry["log_level"] for entry in logs] == ["error"]


def test_a_temporary_failure_backs_off_until_the_message_is_sent(queue_app: Flask) -> None:
    message_id = queued()
    worker = Worker({"mail": failing(TemporaryDeliveryError("451 greylisted\r\n"))})
    with time_machine.travel(now(), tick=False) as clock:
        for attempt, seconds in ((1, 30), (2, 60), (3, 120)):
            assert [worker.run_once(), worker.run_once()] == [1, 0], "not before its time"
            message = read_message(message_id)
            assert (message.attempts, message.outcome, message.last_error) == (attempt, "waiting", "451 greylisted  ")
            assert (message.available_at - now()).total_seconds() == pytest.approx(seconds, rel=0.2)
            clock.move_to(message.available_at)
        assert Worker({"mail": done}).run_once() == 1
    assert read_message(message_id).outcome == "sent"


def test_requested_retry_delay_is_honoured_up_to_a_maximum() -> None:
    assert back_off(1, timedelta(minutes=10)) == timedelta(minutes=10)
    assert back_off(1, timedelta(days=400)) == timedelta(days=1)
    assert back_off(5, timedelta(seconds=1)) > timedelta(minutes=6)
    assert back_off(10_000) <= timedelta(hours=1.2)


def test_back_off_is_randomised() -> None:
    assert len({back_off(3) for _ in range(50)}) > 10


def test_after_three_days_of_failures_the_message_is_given_up(queue_app: Flask) -> None:
    message_id = queued()
    worker = Worker({"mail": failing(TemporaryDeliveryError("no delivery: connection refused"))})
    with time_machine.travel(now(), tick=False) as clock:
        begun = now()
        while (message := read_message(message_id)).finished_at is None:
            clock.move_to(message.available_at)
            assert worker.run_once() == 1
        assert timedelta(days=2.7) < now() - begun < timedelta(days=3.3)
    assert (message.outcome, message.attempts) == ("dead", MAX_ATTEMPTS)


@pytest.mark.row("S-04")
def test_a_response_lost_twice_ends_the_message_without_a_third_copy(queue_app: Flask) -> None:
    message_id = queued()
    lost = Worker({"mail": failing(UncertainDeliveryError("no answer after the whole mail"))})
    busy = Worker({"mail": failing(TemporaryDeliveryError("451 later"))})
    with time_machine.travel(now(), tick=False) as clock:
        for worker, outcome in ((busy, "waiting"), (lost, "uncertain"), (busy, "uncertain"), (lost, "dead")):
            assert worker.run_once() == 1
            assert read_message(message_id).outcome == outcome
            clock.shift(timedelta(hours=2))


def test_a_fault_in_a_handler_delays_no_other_message_and_logs_no_secret(queue_app: Flask) -> None:
    broken, fine = queued("broken"), queued("mail")
    with capture_logs() as logs:
        assert Worker({"broken": failing(KeyError(SECRET)), "mail": done}).run_once() == 2
    assert read_message(fine).outcome == "sent"
    message = read_message(broken)
    assert (message.outcome, message.last_error[:27]) == ("waiting", "KeyError at test_worker.py:")
    assert SECRET not in str(logs)


def test_delivery_logs_one_line_without_address_or_payload(queue_app: Flask) -> None:
    message_id = queued(payload={"to": "noemie@exemple.test", "token": "t0k3n"})
    with capture_logs() as logs:
        Worker({"mail": done}).run_once()
    assert logs == [
        {
            "event": "outbox.handed_over",
            "log_level": "info",
            "kind": "mail",
            "id": str(message_id),
            "outcome": "sent",
            "attempt": 1,
            "error": "",
        }
    ]


def test_a_message_of_an_unknown_kind_is_kept_for_a_newer_worker(queue_app: Flask) -> None:
    message_id = queued("webhook")
    older = Worker({"mail": done})
    with capture_logs() as logs:
        assert older.run_once() == 0
        assert older.run_once() == 0
    assert [entry["event"] for entry in logs] == ["outbox.no_handler"], "told once"
    message = read_message(message_id)
    assert (message.outcome, message.attempts, message.finished_at) == ("waiting", 0, None)
    assert message.last_error == leases.NO_HANDLER
    assert Worker({"mail": done, "webhook": done}).run_once() == 1
    assert read_message(message_id).outcome == "sent"


def test_the_lease_is_renewed_while_a_handler_runs(queue_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    assert leases.LEASE.total_seconds() > 3 * leases.BEAT_SECONDS
    monkeypatch.setattr(leases, "BEAT_SECONDS", 0.02)
    queued()

    def slow(message: OutboxMessage) -> Outcome:
        claimed, until = message.leased_until, time.monotonic() + 10
        assert claimed is not None
        while (read_message(message.id).leased_until or now()) <= claimed:
            assert time.monotonic() < until
        assert not leases.lease_lost().is_set()
        return Outcome.DONE

    with capture_logs() as logs:
        Worker({"mail": slow}).run_once()
    assert logs[-1]["outcome"] == "sent"


def test_a_worker_whose_lease_expired_learns_it_and_changes_nothing(
    queue_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "BEAT_SECONDS", 0.02)
    message_id = queued()

    def slow(message: OutboxMessage) -> Outcome:
        with monkeypatch.context() as still:
            still.setattr(leases, "extend", lambda _message: True)  # the process stood still
            end_leases()
            assert leases.claim(["mail"]) is not None  # another worker has the lease now
        assert leases.lease_lost().wait(10)
        return Outcome.DONE

    with capture_logs() as logs:
        Worker({"mail": slow}, batch=1).run_once()
    assert logs[-1]["outcome"] == "lease_lost"
    message = read_message(message_id)
    assert (message.finished_at, message.attempts) == (None, 2)
    assert message.lease is not None


def test_mails_wait_for_the_server_uncounted_and_refused_ones_keep_their_back_off(queue_app: Flask) -> None:
    down, refused = queued("down"), queued("refused")
    answers = [False, True]
    handlers = {
        "down": failing(RelayDownError("no delivery: connection refused")),
        "refused": failing(TemporaryDeliveryError("450 mailbox busy")),
    }
    with time_machine.travel(now(), tick=False):
        assert Worker(handlers, probe=lambda: answers.pop(0)).run_once() == 2
        assert (read_message(down).outcome, read_message(down).attempts) == ("relay_down", 0)
        assert len(answers) == 2, "nothing has waited before"
        assert Worker({"down": done, "refused": done}, probe=lambda: answers.pop(0)).run_once() == 0
        worker = Worker({"down": done, "refused": done}, probe=lambda: answers.pop(0))
        assert worker.run_once() == 1
        assert worker.run_once() == 0
    assert [read_message(each).outcome for each in (down, refused)] == ["sent", "waiting"]


def test_a_mail_that_has_waited_for_the_server_for_three_days_is_given_up(queue_app: Flask) -> None:
    message_id = queued()
    with time_machine.travel(now() + MAX_AGE + timedelta(minutes=1)):
        Worker({"mail": failing(RelayDownError("no delivery: connection refused"))}).run_once()
    assert read_message(message_id).outcome == "dead"


def test_the_database_is_free_while_a_message_is_handed_over(queue_app: Flask) -> None:
    queued()
    errors: list[BaseException] = []
    written: list[bool] = []

    def write_elsewhere() -> None:
        try:
            with queue_app.app_context():
                queued("other")
        except Exception as error:  # noqa: BLE001 - reported by the assertion below
            errors.append(error)

    def handler(message: OutboxMessage) -> Outcome:
        thread = threading.Thread(target=write_elsewhere)
        thread.start()
        thread.join(60)
        written.append(not thread.is_alive())
        return Outcome.DONE

    with capture_logs() as logs:
        Worker({"mail": handler}).run_once()
    assert not errors
    assert written == [True], "while the message was delivered"
    assert logs[-1]["outcome"] == "sent"


def test_open_transaction_of_a_handler_is_rolled_back(queue_app: Flask) -> None:
    queued()

    def handler(message: OutboxMessage) -> Outcome:
        enqueue("other", {})
        db.session.flush()
        return Outcome.DONE

    assert Worker({"mail": handler}).run_once() == 1
    assert leases.claim(["other"]) is None


def test_a_stop_waits_for_the_current_message_only(queue_app: Flask) -> None:
    first, second = queued(), queued()
    stop = threading.Event()

    def handler(message: OutboxMessage) -> Outcome:
        stop.set()
        return Outcome.DONE

    Worker({"mail": handler}).run_forever(stop)
    assert sorted(read_message(each).outcome for each in (first, second)) == ["sent", "waiting"]
    assert {read_message(each).lease for each in (first, second)} == {None}


def hide_table() -> None:
    with db.engine.begin() as connection:
        connection.execute(text("ALTER TABLE outbox RENAME TO away"))


def show_table() -> None:
    with db.engine.begin() as connection:
        connection.execute(text("ALTER TABLE away RENAME TO outbox"))


def in_context(app: Flask, act: Callable[[], None]) -> Callable[[], None]:
    def run() -> None:
        with app.app_context():
            act()

    return run


class Pauses(threading.Event):
    """The event that ends a worker; the outage of the database ends after two pauses of the worker."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def wait(self, timeout: float | None = None) -> bool:
        self.count += 1
        if self.count == 2:
            show_table()
        return super().wait(timeout)


def test_the_worker_waits_for_an_unavailable_database(queue_app: Flask) -> None:
    message_id = queued()
    stop = Pauses()
    hide_table()

    def handler(message: OutboxMessage) -> Outcome:
        stop.set()
        return Outcome.DONE

    limit = threading.Timer(60, stop.set)
    limit.start()
    with capture_logs() as logs:
        Worker({"mail": handler}, poll=0.05).run_forever(stop)
    limit.cancel()
    limit.join()
    waits = [entry for entry in logs if entry["event"] == "outbox.database_unavailable"]
    assert {entry["cause"] for entry in waits} == {"run `idp db upgrade` to create its tables."}
    assert [entry["pause"] for entry in waits] == [0.05, 0.1]
    assert read_message(message_id).outcome == "sent"


@pytest.mark.row("S-06")
def test_a_sent_mail_is_marked_after_a_short_outage_of_the_database(queue_app: Flask) -> None:
    message_id = queued()
    back = threading.Timer(0.3, in_context(queue_app, show_table))
    calls = []

    def handler(message: OutboxMessage) -> Outcome:
        calls.append(message.id)
        hide_table()
        back.start()
        return Outcome.DONE

    worker = Worker({"mail": handler})
    assert worker.run_once() == 1
    back.join()
    assert worker.run_once() == 0
    assert calls == [message_id]
    assert read_message(message_id).outcome == "sent"
