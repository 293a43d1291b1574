"""Rate limits. Ids are those of docs/security.md."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
import time_machine
from flask import Flask
from hypothesis import HealthCheck, example, given, settings as hypothesis_settings, strategies as st
from sqlalchemy import func, select

from idp import config
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.throttle import guard, limits
from idp.throttle.counters import ThrottleCounter
from idp.throttle.guard import Granted, Wait
from tests import forked
from tests.databases import LOCK_WAITS
from tests.rows import each_row
from tests.services import changed_services
from tests.waiting import wait_for

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


def granted(limit: limits.Limit, subject: str) -> bool:
    return isinstance(guard.take(limit, subject), Granted)


def seconds(limit: limits.Limit, subject: str) -> int:
    verdict = guard.take(limit, subject)
    assert isinstance(verdict, Wait)
    assert verdict.limit is limit
    return verdict.seconds


def rows() -> int:
    number = db.session.scalar(select(func.count()).select_from(ThrottleCounter))
    db.session.rollback()
    return number or 0


def rush(settings: Settings, database_url: str, limit: limits.Limit, processes: int, tries: int) -> int:
    """Request `tries` slots from each of `processes` at once; return the number of granted slots."""
    order = {
        "database": database_url,
        "secret": settings.secrets[0].decode(),
        "limit": limit.name,
        "subject": "n.leroy4821",
        "processes": processes,
        "tries": tries,
    }
    done = forked.run("tests.throttle.rush", json.dumps(order))
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.usefixtures("app")
@pytest.mark.row("I-04")
def test_five_tries_are_free_then_the_pause_grows_and_never_becomes_a_lock(clock: time_machine.Traveller) -> None:
    for count in range(1, 6):
        assert guard.take(limits.SIGN_IN_ACCOUNT, "n.leroy4821") == Granted(count)
    for count, pause in enumerate((5, 15, 60, 300, 600, 600, 600), start=6):
        assert seconds(limits.SIGN_IN_ACCOUNT, "n.leroy4821") == pause
        clock.shift(pause - 0.5)
        assert seconds(limits.SIGN_IN_ACCOUNT, "n.leroy4821") == 1
        clock.shift(0.5)
        assert guard.take(limits.SIGN_IN_ACCOUNT, "n.leroy4821") == Granted(count)


@pytest.mark.usefixtures("app")
def test_a_month_of_quiet_or_a_success_resets_the_failures(clock: time_machine.Traveller) -> None:
    for _ in range(5):
        guard.take(limits.SIGN_IN_ACCOUNT, "n.leroy4821")
    clock.shift(timedelta(days=29, hours=23, minutes=59))
    assert guard.take(limits.SIGN_IN_ACCOUNT, "n.leroy4821") == Granted(6)
    clock.shift(timedelta(days=30))
    assert guard.take(limits.SIGN_IN_ACCOUNT, "n.leroy4821") == Granted(1)
    guard.clear(limits.SIGN_IN_ACCOUNT, "n.leroy4821")
    assert guard.take(limits.SIGN_IN_ACCOUNT, "n.leroy4821") == Granted(1)


@pytest.mark.usefixtures("app")
def test_a_clock_that_goes_back_neither_opens_nor_breaks_a_counter(clock: time_machine.Traveller) -> None:
    for _ in range(5):
        guard.take(limits.SIGN_IN_ACCOUNT, "n.leroy4821")
    clock.shift(timedelta(hours=-1))
    assert seconds(limits.SIGN_IN_ACCOUNT, "n.leroy4821") == 3605


@pytest.mark.usefixtures("app")
def test_budgets_of_subjects_and_limits_are_separate(clock: time_machine.Traveller) -> None:
    for _ in range(5):
        guard.take(limits.SIGN_IN_ACCOUNT, "n.leroy4821")
    assert not granted(limits.SIGN_IN_ACCOUNT, "n.leroy4821")
    assert granted(limits.SIGN_IN_ACCOUNT, "n.leroy4822")
    assert granted(limits.RESEND_LINK_ACCOUNT, "n.leroy4821")


@pytest.mark.usefixtures("app")
@pytest.mark.row("I-06", "E-10")
def test_sixteen_processes_at_once_get_no_more_than_the_limit(settings: Settings, database_url: str) -> None:
    for limit, most in ((limits.SIGN_IN_ACCOUNT, 5), (limits.RESEND_LINK_ACCOUNT, 1)):
        assert rush(settings, database_url, limit, processes=16, tries=13) == most


@pytest.mark.usefixtures("app")
@pytest.mark.row("I-10")
def test_a_network_address_is_one_subscriber(clock: time_machine.Traveller) -> None:
    for number in range(30):
        assert granted(limits.BAD_LINK_IP, f"2001:db8:1:2::{number:x}")
    assert not granted(limits.BAD_LINK_IP, "2001:DB8:1:2:ffff::1")
    assert granted(limits.BAD_LINK_IP, "2001:db8:1:3::1")
    for spelling in ("192.0.2.7", "::ffff:192.0.2.7", " 192.0.2.7") * 10:
        assert granted(limits.BAD_LINK_IP, spelling)
    assert not granted(limits.BAD_LINK_IP, "192.0.2.7")
    assert granted(limits.BAD_LINK_IP, "192.0.2.8")


@pytest.mark.usefixtures("app")
@pytest.mark.row("I-10")
@hypothesis_settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=40,
    deadline=None,
    database=None,
)
@example("")
@example("garbage, 1.2.3.4")
@example("\ud800\0’")
@example("fe80::1%eth0")
@example("x" * 70_000)
@given(st.text(st.characters()))
def test_any_subject_is_counted_without_error(subject: str) -> None:
    for limit in (limits.BAD_LINK_IP, limits.SIGN_IN_ACCOUNT):
        guard.clear(limit, subject)
        assert guard.take(limit, subject) == Granted(1)


@pytest.mark.usefixtures("app")
@pytest.mark.row("I-11")
def test_spraying_from_one_address_stops_at_a_hundred(clock: time_machine.Traveller) -> None:
    for number in range(100):
        demands = (limits.SIGN_IN_ACCOUNT, f"parent{number}"), (limits.SIGN_IN_IP, "192.0.2.7")
        assert isinstance(guard.take_all(*demands), Granted)
    verdict = guard.take_all((limits.SIGN_IN_ACCOUNT, "parent100"), (limits.SIGN_IN_IP, "192.0.2.7"))
    assert verdict == Wait(3600, limits.SIGN_IN_IP)


@pytest.mark.usefixtures("app")
def test_three_hundred_parents_of_one_network_ask_for_the_mail_again_in_an_hour(clock: time_machine.Traveller) -> None:
    assert all(granted(limits.RESEND_LINK_IP, "192.0.2.7") for _ in range(300))
    assert guard.take(limits.RESEND_LINK_IP, "192.0.2.7") == Wait(3600, limits.RESEND_LINK_IP)


@pytest.mark.usefixtures("app")
def test_a_success_refunds_its_own_try_only(clock: time_machine.Traveller) -> None:
    for _ in range(100):
        guard.take(limits.SIGN_IN_IP, "192.0.2.7")
    guard.uncount(limits.SIGN_IN_IP, "192.0.2.7")
    assert guard.take(limits.SIGN_IN_IP, "192.0.2.7") == Granted(100)
    assert not granted(limits.SIGN_IN_IP, "192.0.2.7")


@pytest.mark.usefixtures("app")
def test_a_refund_without_a_try_gains_nothing(clock: time_machine.Traveller) -> None:
    guard.uncount(limits.BAD_LINK_IP, "192.0.2.7")
    guard.take(limits.BAD_LINK_IP, "192.0.2.7")
    for _ in range(5):
        guard.uncount(limits.BAD_LINK_IP, "192.0.2.7")
    assert guard.take(limits.BAD_LINK_IP, "192.0.2.7") == Granted(1)


@pytest.mark.usefixtures("app")
@pytest.mark.row("E-10")
def test_mails_are_limited_by_minute_hour_and_day(clock: time_machine.Traveller) -> None:
    assert granted(limits.RESEND_LINK_ACCOUNT, "one")
    assert seconds(limits.RESEND_LINK_ACCOUNT, "one") == 60
    for _ in range(4):
        clock.shift(60)
        assert granted(limits.RESEND_LINK_ACCOUNT, "one")
    clock.shift(60)
    assert seconds(limits.RESEND_LINK_ACCOUNT, "one") == 3600 - 5 * 60
    for _ in range(20):  # refused attempts are not counted
        assert not granted(limits.RESEND_LINK_ACCOUNT, "one")
    clock.shift(3600 - 5 * 60)
    for _ in range(5):
        assert granted(limits.RESEND_LINK_ACCOUNT, "one")
        clock.shift(60)
    assert seconds(limits.RESEND_LINK_ACCOUNT, "one") == 86400 - 3600 - 5 * 60
    clock.shift(86400 - 3600 - 5 * 60)
    assert granted(limits.RESEND_LINK_ACCOUNT, "one")


@pytest.mark.usefixtures("app")
def test_look_returns_the_wait_and_counts_no_try(clock: time_machine.Traveller) -> None:
    assert guard.remaining_wait(limits.RESEND_LINK_ACCOUNT, "one") == 0
    db.session.rollback()
    guard.take(limits.RESEND_LINK_ACCOUNT, "one")
    assert guard.remaining_wait(limits.RESEND_LINK_ACCOUNT, "one") == 60
    clock.shift(59.2)
    assert guard.remaining_wait(limits.RESEND_LINK_ACCOUNT, "one") == 1
    clock.shift(0.8)
    assert guard.remaining_wait(limits.RESEND_LINK_ACCOUNT, "one") == 0
    db.session.rollback()
    assert granted(limits.RESEND_LINK_ACCOUNT, "one")


@pytest.mark.usefixtures("app")
def test_a_try_stays_counted_after_the_caller_rolls_back(clock: time_machine.Traveller) -> None:
    guard.take(limits.SIGN_IN_ACCOUNT, "n.leroy4821")
    db.session.add(ThrottleCounter(limit="x", key=b"x", count=1, since=NOON, open_at=NOON, expires_at=NOON))
    db.session.flush()
    db.session.rollback()
    assert rows() == 1
    assert guard.take(limits.SIGN_IN_ACCOUNT, "n.leroy4821") == Granted(2)


@pytest.mark.usefixtures("app")
def test_a_transaction_left_open_by_the_caller_is_an_error_of_the_program(clock: time_machine.Traveller) -> None:
    with unit_of_work():
        with pytest.raises(RuntimeError, match="a unit of work is open"):
            guard.take(limits.SIGN_IN_ACCOUNT, "n.leroy4821")
        with pytest.raises(RuntimeError, match="a unit of work is open"):
            guard.uncount(limits.SIGN_IN_ACCOUNT, "n.leroy4821")
    assert rows() == 0


@pytest.mark.usefixtures("app")
def test_purge_deletes_expired_counters_alone_in_batches(
    clock: time_machine.Traveller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "_PURGE_BATCH", 3)
    for number in range(7):
        guard.take(limits.BAD_LINK_IP, f"192.0.2.{number}")
    guard.take(limits.SIGN_IN_ACCOUNT, "n.leroy4821")
    assert guard.purge_expired() == 0
    clock.shift(timedelta(hours=1))
    assert guard.purge_expired() == 7
    assert rows() == 1
    assert guard.take(limits.SIGN_IN_ACCOUNT, "n.leroy4821") == Granted(2)


@pytest.mark.usefixtures("app")
def test_the_table_holds_no_identifiers(app: Flask, settings: Settings, clock: time_machine.Traveller) -> None:
    guard.take(limits.RESEND_LINK_MAILBOX, "n@exemple.fr")
    counters = db.session.execute(select(ThrottleCounter.limit, ThrottleCounter.key)).all()
    db.session.rollback()
    assert {limit for limit, _key in counters} == {f"resend_link_mailbox:{span}" for span in (60, 3600, 86400)}
    assert all(len(key) == 32 and b"exemple" not in key for _limit, key in counters)
    other = config.load(
        env="development", issuer="http://127.0.0.1:8000", secret_key="another secret key, of 32 bytes or more"
    )
    with changed_services(app, settings=other):
        guard.take(limits.RESEND_LINK_MAILBOX, "n@exemple.fr")
    assert rows() == 6


@each_row("limit", limits.TABLE)
def test_the_table_of_limits_keeps_its_own_rules(limit: limits.Limit) -> None:
    assert len(limit.name) <= 30
    assert sum(other.name == limit.name for other in limits.TABLE) == 1
    if isinstance(limit, limits.Backoff):
        assert limit.quiet > max(limit.steps)
        assert list(limit.steps) == sorted(limit.steps)
    else:
        spans = [window.span for window in limit.windows]
        assert spans == sorted(spans)
        assert all(window.tries > 0 for window in limit.windows)


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
    with psycopg.connect(database_url, autocommit=True) as watcher:
        wait_for(lambda: waiting.done() or watcher.execute(LOCK_WAITS).fetchone() != (0,))
    assert not waiting.done(), waiting.result()


@pytest.mark.usefixtures("app")
@pytest.mark.parametrize("closing", ["sign_in_account", "sign_in_ip", "sign_in_requests"])
def test_try_that_meets_a_counter_closed_meanwhile_counts_nowhere(app: Flask, database_url: str, closing: str) -> None:
    guard.take_all(*DEMANDS)
    end = now() + timedelta(minutes=7)
    refusal = try_meanwhile(app, database_url, closing, f"open_at = '{end.isoformat()}'")
    assert isinstance(refusal, Wait)
    assert refusal.limit.name == closing
    assert 410 < refusal.seconds <= 420
    assert counts() == {"sign_in_account": 1, "sign_in_ip": 1, "sign_in_requests": 1}


@pytest.mark.usefixtures("app")
def test_try_that_waited_for_a_counter_sees_its_new_count(app: Flask, database_url: str) -> None:
    guard.take_all(*DEMANDS)
    assert try_meanwhile(app, database_url, "sign_in_account", "count = 3") == Granted(4)
    assert counts() == {"sign_in_account": 4, "sign_in_ip": 2, "sign_in_requests": 2}


@pytest.mark.usefixtures("app")
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
