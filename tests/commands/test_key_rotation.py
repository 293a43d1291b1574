"""Key rotation by the worker: once, atomically, and never of the first key (rows D-04, X-04, Z-08, Z-12)."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
import time_machine
from flask import Flask
from psycopg import sql
from sqlalchemy import make_url, select, text

from idp.clock import now
from idp.config import Settings
from idp.db import db
from idp.oidc.keys import ring, rotation
from idp.oidc.models import SigningKey
from idp.outbox.queue import OutboxMessage
from idp.outbox.worker import Worker
from idp.services import services_of
from tests import applications, forked, killing
from tests.commands.conftest import Events, Run, check_refusal, read_json
from tests.commands.killed_rotation import QUARTER
from tests.databases import settings_for
from tests.racing import Racer, race

ROUNDS = 4
ROTATIONS = {rotation.ROTATION: rotation.ROTATION_PERIOD}
"""The worker's job for key rotation."""


def after(**time: float) -> time_machine.travel:
    return time_machine.travel(now() + timedelta(**time))


def work(app: Flask) -> int:
    return Worker(services_of(app).outbox_handlers, jobs=ROTATIONS).run_once()


def live(alg: str = "RS256") -> list[SigningKey]:
    statement = select(SigningKey).where(SigningKey.retired_at.is_(None), SigningKey.alg == alg)
    rows = list(
        db.session.scalars(statement.order_by(SigningKey.active_from).execution_options(populate_existing=True))
    )
    db.session.commit()
    return rows


def job() -> OutboxMessage:
    statement = select(OutboxMessage).order_by(OutboxMessage.created_at.desc()).limit(1)
    row = db.session.scalars(statement.execution_options(populate_existing=True)).one()
    db.session.commit()
    return row


@pytest.mark.row("D-04")
def test_the_worker_rotates_keys_every_ninety_days(app: Flask, settings: Settings, events: Events) -> None:
    [first] = live()
    rotation.rotate(settings, "ES256")
    with after(days=88, hours=23):
        work(app)
        assert len(live()) == len(live("ES256")) == 1, "not yet"
    with after(days=89, hours=1):
        work(app)
        [_, second] = live()
        assert second.active_from - first.active_from == pytest.approx(timedelta(days=90), abs=timedelta(hours=2))
        assert second.active_from - second.created_at == timedelta(hours=24)
        assert (len(live("ES256")), job().outcome) == (2, "sent")
        assert live("PS256") == live("EdDSA") == [], "what nobody made is not made"
    with after(days=89, hours=3):
        work(app)
        assert (len(live()), job().outcome) == (2, "dropped"), "once"
    with after(days=119, hours=23):
        work(app)
        assert len(live()) == 2, "thirty days are not over"
    with after(days=120, hours=4):
        work(app)
        assert ([key.kid for key in live()], len(live("ES256"))) == ([second.kid], 1)
    changes = [event.details["change"] for event in events("key.changed")]
    assert changes.count("retired") == 2


@pytest.mark.row("D-04")
def test_a_setting_controls_the_rotation_interval(database_url: str) -> None:
    with applications.lent(settings_for(database_url, key_rotation_days=7)) as app:
        for time, count in (({"days": 5, "hours": 23}, 1), ({"days": 6, "hours": 1}, 2)):
            with after(**time):
                work(app)
                assert len(live()) == count


@pytest.mark.row("D-04")
def test_zero_days_disable_rotation_and_still_retire_old_keys(database_url: str) -> None:
    settings = settings_for(database_url, key_rotation_days=0)
    with applications.lent(settings) as app:
        with after(days=400):
            work(app)
            assert len(live()) == 1
            second = rotation.rotate(settings)
        with after(days=431, hours=1):
            work(app)
            assert [key.kid for key in live()] == [second.kid]


@pytest.mark.row("D-04")
def test_the_interval_starts_at_the_last_manual_rotation(app: Flask, settings: Settings) -> None:
    with after(days=60):
        rotation.rotate(settings)
    with after(days=100):
        work(app)
        assert len(live()) == 1, "the former is retired, no other is due"
    with after(days=151):
        work(app)
        assert len(live()) == 2


@pytest.mark.row("X-04")
def test_the_worker_creates_no_first_key(app: Flask) -> None:
    with db.engine.begin() as connection:
        connection.execute(text("DELETE FROM signing_key"))
    for days in (0, 90, 400):
        with after(days=days):
            work(app)
            assert live() == []
            assert job().outcome == "dropped"


@pytest.mark.row("X-04")
def test_a_worker_with_another_secret_key_creates_no_key_and_records_an_error(app: Flask, database_url: str) -> None:
    other = settings_for(database_url, secret_key="another secret key, of 32 bytes or more: 9876543210")
    with after(days=90), applications.lent(other) as stranger:
        work(stranger)
        [key] = live()
        assert job().outcome == "waiting"
        assert job().last_error == f"IDP_SECRET_KEY and its fallbacks do not decrypt the key {key.kid}"
    with after(days=90, hours=2):
        assert work(app) == 1
        assert len(live()) == 2


@contextmanager
def read_only(database_url: str) -> Iterator[None]:
    name = sql.Identifier(str(make_url(database_url).database))
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute(sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(name))
        applications.disconnect(database_url)  # a connection keeps the settings that it began with
        yield
        owner.execute("SET default_transaction_read_only = off")
        owner.execute(sql.SQL("ALTER DATABASE {} RESET default_transaction_read_only").format(name))
        applications.disconnect(database_url)


@pytest.mark.row("X-04")
def test_a_read_only_database_keeps_its_keys(idp: Run, database_url: str) -> None:
    [before] = read_json(idp, "keys", "list")
    commands = (
        ("keys", "rotate"),
        ("keys", "rotate", "--now"),
        ("keys", "rotate", "--alg", "ES256"),
        ("keys", "retire", before["kid"], "--emergency"),
        ("worker", "--once"),
    )
    with read_only(database_url):
        for command in commands:
            check_refusal(idp(*command), "the database cannot be used (")
    assert read_json(idp, "keys", "list") == [before]


def _work(racer: Racer) -> Callable[[], object]:
    return lambda: work(racer.app)


def _tend(racer: Racer) -> Callable[[], object]:
    return lambda: rotation.tend(racer.settings)


def _rotate(racer: Racer) -> Callable[[], object]:
    def act() -> str:
        with suppress(rotation.NextKeyExistsError):
            return rotation.rotate(racer.settings).kid
        return ""

    return act


def _drop(racer: Racer) -> Callable[[], object]:
    kid = ring.KeyRing(racer.settings).signer("RS256").kid

    def act() -> str:
        successor = rotation.drop(racer.settings, kid)
        return successor.kid if successor else ""

    return act


def act_at_once(racer: Racer) -> list[str]:
    """Run the act of the order once in each quarter, at the same moment as the others."""
    results, prepare = [], {"work": _work, "tend": _tend, "rotate": _rotate, "drop": _drop}[racer.order["act"]]
    for number in range(1, ROUNDS + 1):
        moment = datetime.fromisoformat(racer.order["start"]) + number * QUARTER
        with time_machine.travel(moment), racer.app.app_context():
            act = prepare(racer)
            racer.wait_for_others()
            results.append(str(act()))
            racer.wait_for_others()
    return results


def together(database_url: str, act: str) -> list[list[str]]:
    order = {"act": act, "start": now().isoformat()}
    return [list(answers) for answers in zip(*race(act_at_once, database_url, order), strict=True)]


def count_days_of_new_keys() -> int:
    moments = list(db.session.scalars(select(SigningKey.created_at)))
    assert len({moment.date() for moment in moments}) == len(moments), "one a day"
    return len(moments) - 1


@pytest.mark.row("Z-08")
@pytest.mark.usefixtures("app")
def test_four_workers_rotate_each_key_once(database_url: str) -> None:
    assert [sorted(answers) for answers in together(database_url, "work")] == [["0", "0", "0", "1"]] * ROUNDS
    assert count_days_of_new_keys() == ROUNDS


@pytest.mark.row("Z-08")
@pytest.mark.usefixtures("app")
def test_four_simultaneous_jobs_rotate_each_key_once(database_url: str) -> None:
    for answers in together(database_url, "tend"):
        assert "True" in answers
    assert count_days_of_new_keys() == ROUNDS


@pytest.mark.usefixtures("app")
def test_four_concurrent_operators_create_one_key(database_url: str) -> None:
    for answers in together(database_url, "rotate"):
        assert len([kid for kid in answers if kid]) == 1
    assert count_days_of_new_keys() == ROUNDS


@pytest.mark.usefixtures("app")
def test_four_concurrent_operators_never_drop_the_last_key(database_url: str) -> None:
    for answers in together(database_url, "drop"):
        assert len({kid for kid in answers if kid}) == 1
    assert count_days_of_new_keys() == ROUNDS
    assert len(live()) == 1


@pytest.mark.row("Z-12")
@pytest.mark.parametrize("points", killing.POINTS)
@pytest.mark.parametrize("act", ["tend", "rotate", "drop"])
def test_a_killed_rotation_leaves_one_signing_key_and_publishes_all(
    app: Flask, settings: Settings, database_url: str, act: str, points: str
) -> None:
    if act == "tend":
        rotation.rotate(settings)  # the worker will retire the first key
    done = forked.run("tests.commands.killed_rotation", database_url, act, points, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    story: list[dict[str, Any]] = json.loads(done.stdout)
    died_at = [chapter["killed_at"] for chapter in story]
    assert died_at[-1] == "", "the last one lived"
    assert all(died_at[:-1])
    assert "COMMIT" in died_at
    assert any(text.startswith("INSERT INTO signing_key") for text in died_at), died_at
    if act != "rotate":
        assert any(text.startswith("UPDATE signing_key") for text in died_at), died_at
    for chapter in story:
        assert chapter["signing"] in chapter["live"], chapter
        assert sorted(chapter["published"]) == sorted(chapter["live"]), chapter
        assert len(chapter["waiting"]) <= 1, chapter
        assert chapter["made"] == chapter["gone"] == 0, ("the journal tells of each key, no more and no less", chapter)
