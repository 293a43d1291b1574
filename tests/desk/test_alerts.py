"""Mails about unusual acts: their bounds, their recipients, once a day."""

import random
import re
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from functools import partial

import pytest
from flask import Flask

from idp.audit.data_events import AccessClosed
from idp.audit.desk_events import PupilRead
from idp.audit.events import AccountChanged, AccountRead, GuardianshipDisputed, LetterReissued
from idp.audit.models import AuditEntry
from idp.audit.registry_events import AccountImported
from idp.clock import now
from idp.db import db
from idp.desk import alerts as rules
from idp.desk.staff.models import Role, StaffAccount
from idp.outbox.queue import OutboxMessage
from idp.outbox.worker import Outcome
from idp.services import services_of
from tests.builders import LYCEE, Build
from tests.desk.colleagues import Colleagues
from tests.desk.contract import MANY_CLOSINGS
from tests.desk.entries import write
from tests.pages import heading

MORNING = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> "Clock":
    return Clock(monkeypatch)


class Clock:
    """Sets the time of the journal and of the rules."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.patch = monkeypatch

    def set(self, moment: datetime) -> None:
        self.patch.setattr("idp.audit.log.now", lambda: moment)
        self.patch.setattr("idp.desk.alerts.now", lambda: moment)


def alerts() -> list[tuple[str, int, str]]:
    """Look for alerts; return those that wait: name, number, recipient."""
    rules.look(OutboxMessage())
    db.session.expire_all()
    rows = db.session.query(OutboxMessage).filter_by(kind=rules.ALERT).order_by(OutboxMessage.id).all()
    return [(row.payload["alert"], row.payload["count"], row.payload["recipient"]) for row in rows]


def text_of(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body
    return str(body.get_content())


def head(colleagues: Colleagues) -> StaffAccount:
    staff = colleagues.person("Henri Roux")
    colleagues.grant(staff, Role.HEAD, days=4000)
    return staff


def read(clock: Clock, staff: StaffAccount, build: Build, count: int, *, minutes: float) -> None:
    """Open `count` pages of accounts and pupils in turn, within `minutes`."""
    for i in range(count):
        clock.set(MORNING + timedelta(minutes=minutes) * i / max(count - 1, 1))
        key = uuid.uuid4()
        write(PupilRead(child=str(key)) if i % 2 else AccountRead(account_id=key), staff, build.school().id)


@pytest.mark.parametrize(
    ("count", "minutes", "expected"), [(30, 30, False), (31, 30, True), (31, 59.9, True), (31, 62, False)]
)
def test_more_than_thirty_accounts_and_pupils_in_an_hour(
    clock: Clock, build: Build, colleagues: Colleagues, *, count: int, minutes: float, expected: bool
) -> None:
    chief, staff = head(colleagues), colleagues.person("Sylvie Marchand")
    read(clock, staff, build, count, minutes=minutes)
    clock.set(MORNING + timedelta(hours=5))
    assert alerts() == ([("many_accounts", 31, str(chief.id))] if expected else [])


@pytest.mark.parametrize("seed", range(4))
def test_each_hour_is_counted_as_one_entry_after_another_would(
    clock: Clock, build: Build, colleagues: Colleagues, seed: int
) -> None:
    draw, staff, subjects = random.Random(seed), colleagues.person(), [uuid.uuid4() for _ in range(6)]
    moments = sorted(MORNING + timedelta(minutes=draw.randrange(240)) for _ in range(60))
    openings = [(moment, draw.choice(subjects)) for moment in moments]
    for moment, subject in openings:
        clock.set(moment)
        write(AccountRead(account_id=subject), staff, build.school().id)
    for most in range(1, 6):
        hours = ({subject for at, subject in openings if end - rules.HOUR < at <= end} for end in moments)
        expected = [end for end, hour in zip(moments, hours, strict=True) if len(hour) > most][:1]
        crossings = rules.openings_beyond(most, MORNING - rules.HOUR, moments[-1], MORNING - timedelta(hours=9))
        assert [(at, count) for _, at, count, _ in crossings][:1] == [(end, most + 1) for end in expected]


def test_a_look_counts_the_hour_before_the_last_one(clock: Clock, build: Build, colleagues: Colleagues) -> None:
    chief, staff = head(colleagues), colleagues.person("Sylvie Marchand")
    read(clock, staff, build, 31, minutes=30)
    seen, later = MORNING + timedelta(hours=2), MORNING + timedelta(hours=2, minutes=10)
    job = OutboxMessage(kind=rules.ALERTS, payload={}, created_at=seen, finished_at=seen, outcome=Outcome.DONE)
    db.session.add(job)
    db.session.commit()
    clock.set(later)
    assert alerts() == [], "the look before has seen them"
    for i in range(31):
        clock.set(seen + timedelta(minutes=i - 25))
        write(AccountRead(account_id=uuid.uuid4()), staff, build.school().id)
    clock.set(later)
    assert alerts() == [("many_accounts", 31, str(chief.id))]


def test_an_alert_is_told_once_a_day_and_journaled_once(clock: Clock, build: Build, colleagues: Colleagues) -> None:
    head(colleagues)
    staff = colleagues.person()
    read(clock, staff, build, 31, minutes=30)
    assert len(alerts()) == 1
    read(clock, staff, build, 40, minutes=50)
    assert len(alerts()) == 1
    entry = db.session.query(AuditEntry).filter_by(kind="desk.alert").one()
    assert (entry.details["staff"], entry.details["day"]) == (str(staff.id), "2026-11-24")


def test_heads_of_the_school_and_engineers_are_told_but_not_the_person(
    clock: Clock, build: Build, colleagues: Colleagues
) -> None:
    first, second, engineer, other = (colleagues.person(name) for name in ("A B", "C D", "E F", "G H"))
    colleagues.grant(first, Role.HEAD, days=4000)
    colleagues.grant(second, Role.HEAD, days=4000)
    colleagues.grant(engineer, Role.ENGINEER, days=4000)
    colleagues.grant(other, Role.HEAD, uai=LYCEE, days=4000)
    read(clock, first, build, 31, minutes=10)
    assert {recipient for _, _, recipient in alerts()} == {str(second.id), str(engineer.id)}


@pytest.mark.parametrize(
    ("begin", "count", "expected"),
    [(MORNING, 9, []), (MORNING, 10, [10]), (datetime(2026, 11, 23, 22, 54, tzinfo=UTC), 12, [])],
    ids=["nine", "ten", "six on each side of midnight in Paris"],
)
def test_ten_letters_for_active_accounts_in_a_day(
    clock: Clock, build: Build, colleagues: Colleagues, begin: datetime, count: int, expected: list[int]
) -> None:
    head(colleagues)
    for i in range(count):
        clock.set(begin + timedelta(minutes=i))
        write(LetterReissued(account_id=uuid.uuid4(), reason="perdu"), colleagues.person(), build.school().id)
    assert [number for name, number, _ in alerts() if name == "many_letters"] == expected


@pytest.mark.parametrize(("role", "most"), MANY_CLOSINGS.items())
def test_many_accesses_closed_by_one_person_in_a_day_in_all_schools(
    clock: Clock, build: Build, colleagues: Colleagues, role: Role, most: int
) -> None:
    engineer, chief, staff, other = colleagues.person("E F"), head(colleagues), colleagues.person(), colleagues.person()
    colleagues.grant(engineer, Role.ENGINEER, days=4000)
    suspended = AccessClosed(account_id=uuid.uuid4(), closing=str(uuid.uuid4()), reason="au téléphone")
    called = GuardianshipDisputed(account_id=uuid.uuid4(), children=[], uais=[], by_telephone=True)
    replaced = AccountChanged(account_id=uuid.uuid4(), change="replaced")
    ended = AccountImported(account_id=uuid.uuid4(), batch="1", change="tie_ended", child=uuid.uuid4().hex)
    schools = [None] if role is Role.HELPDESK else [build.school().id, build.school(LYCEE).id]
    for i in range(most - 1):
        clock.set(MORNING + timedelta(minutes=i))
        write((called, suspended, replaced, ended)[i % 4], staff, schools[i % len(schools)], role=role.value)
        write(suspended, other, schools[0], role=role.value)
        write(suspended, engineer, role=Role.ENGINEER.value)
        write(replace(called, by_telephone=False), staff, schools[0], role=role.value)  # a parent's own answer
        write(replace(replaced, change="left"), staff, schools[0], role=role.value)  # a file has no child of theirs
        write(replace(ended, change="child_ended"), staff, schools[0], role=role.value)  # the pupil left
    assert alerts() == []
    write(replace(suspended, child=str(uuid.uuid4())), staff, schools[0], role=role.value)
    recipients = {engineer.id} if role is Role.HELPDESK else {engineer.id, chief.id}
    assert sorted(alerts()) == sorted(("many_closed", most, str(person)) for person in recipients)


@pytest.mark.parametrize(
    ("name", "family_name", "expected"),
    [
        ("Sylvie Marchand", "MARCHAND", True),
        ("MARCHAND Sylvie", "Marchand", True),
        ("Anne Lefèvre", "LEFEVRE", True),
        ("Anne-Laure Le Goff", "LE GOFF", True),
        ("Martin Dupont", "MARTIN", False),
        ("DUPONT Martin", "MARTIN", False),
        ("Sylvie Marchand", "MARCHANDEAU", False),
        ("Sylvie Marchand", "", False),
        ("Sylvie", "SYLVIE", False),
    ],
)
def test_own_family_name(name: str, family_name: str, expected: bool) -> None:  # noqa: FBT001 - a parameter of the test
    assert rules.is_own_name(name, family_name) is expected


def test_an_account_of_the_own_family_name_is_told(clock: Clock, build: Build, colleagues: Colleagues) -> None:
    chief, staff = head(colleagues), colleagues.person("Sylvie Marchand")
    account = build.active(family_name="MARCHAND")
    clock.set(MORNING)
    write(AccountRead(account_id=account.id), staff, build.school().id)
    assert alerts() == [("own_name", 1, str(chief.id))]


@pytest.mark.parametrize("alert", ["many_accounts", "many_letters", "many_closed", "own_name"])
def test_the_mail_names_the_colleague_and_no_family(
    desk: Flask, build: Build, colleagues: Colleagues, monkeypatch: pytest.MonkeyPatch, alert: str
) -> None:
    sent: list[str] = []
    monkeypatch.setattr("idp.desk.team.mails.deliver", lambda mail, to: sent.append(text_of(mail) + to))
    chief, staff = head(colleagues), colleagues.person("Sylvie Marchand")
    payload = {
        "alert": alert, "day": "2026-11-24", "count": 31, "staff": "" if alert == "many_letters" else str(staff.id),
        "school": str(build.school().id), "recipient": str(chief.id),
    }  # fmt: skip
    message = OutboxMessage(id=uuid.uuid4(), kind=rules.ALERT, payload=payload, created_at=now())
    partial(rules.hand_over, settings=services_of(desk).settings)(message)
    assert not [words for words in (chief.email, "24/11/2026", "Collège des Tilleuls") if words not in sent[0]]
    assert ("Sylvie Marchand" in sent[0]) == (alert != "many_letters")
    [link] = re.findall(r"https://bureau\.exemple\.test(/\S+)", sent[0])
    browser, _ = colleagues.session(chief)
    assert heading(browser.get(browser.get(link).headers["Location"])) == "Journal"


@pytest.mark.parametrize("role", [Role.HEAD, Role.ENGINEER])
def test_the_link_of_an_alert_shows_what_its_reader_may_read(
    clock: Clock, build: Build, colleagues: Colleagues, monkeypatch: pytest.MonkeyPatch, role: Role
) -> None:
    sent: list[str] = []
    monkeypatch.setattr("idp.desk.team.mails.deliver", lambda mail, _to: sent.append(text_of(mail)))
    reader, staff = colleagues.person("Henri Roux"), colleagues.person("Sylvie Marchand")
    colleagues.grant(reader, role, days=4000)
    colleagues.grant(staff, Role.SECRETARY, days=4000)
    read(clock, staff, build, 31, minutes=30)
    assert len(alerts()) == 1
    [message] = db.session.query(OutboxMessage).filter_by(kind=rules.ALERT)
    rules.hand_over(message, build.settings)
    [link] = re.findall(r"https://bureau\.exemple\.test(/\S+)", sent[0])
    browser, _ = colleagues.session(reader)
    page = browser.get(browser.get(link).headers["Location"]).get_data(as_text=True)
    expected = {Role.HEAD: 31, Role.ENGINEER: 1}[role]
    assert page.count("<tr>") - 1 == expected
    assert "Sylvie Marchand" in page
