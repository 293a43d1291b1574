"""`idp staff`: invite, end, reset, as `desk.md` describes them for scripts; errors; the journal."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from idp.clients.models import Client
from idp.clock import last_day, now
from idp.config import Settings
from idp.db import db
from idp.desk.staff.models import Role, StaffAccount, StaffInvitation, StaffRole
from idp.desk.staff.posts import end_of_year
from tests.builders import COLLEGE, LYCEE, Build
from tests.commands.conftest import Answer, Events, Run
from tests.databases import DESK

MAIL = "sylvie@bureau.test"
WHO = ("staff", "invite", MAIL, "--name", "Sylvie Marchand")


@pytest.fixture(autouse=True)
def schools(app: Flask, build: Build) -> None:
    for uai in (COLLEGE, LYCEE):
        build.school(uai)


def invite(act: Run, *more: str) -> dict[str, str]:
    answer = act(*WHO, "--role", "secretary", "--school", COLLEGE, *more, "--json")
    assert (answer.code, answer.err) == (0, "")
    printed: dict[str, str] = json.loads(answer.out)
    return printed


def person() -> StaffAccount:
    return db.session.scalars(select(StaffAccount)).one()


def failed(answer: Answer, words: str) -> None:
    assert answer.code != 0
    assert answer.out == ""
    assert words in answer.err


def test_an_invitation_is_printed_for_scripts(act: Run) -> None:
    printed = invite(act)
    assert set(printed) == {"id", "link", "expires_at"}
    assert printed["id"] == str(person().id)
    assert printed["link"].startswith(f"{DESK}/invitation/")
    left = datetime.fromisoformat(printed["expires_at"]) - datetime.now(UTC)
    assert timedelta(hours=23, minutes=58) < left <= timedelta(hours=24)


def test_an_invitation_is_printed_for_people(act: Run) -> None:
    answer = act(*WHO, "--role", "engineer")
    assert answer.out.startswith("Sylvie Marchand enrols until ")
    assert f"\n{DESK}/invitation/" in answer.out


def test_a_role_has_its_schools_until_the_end_of_the_year(act: Run) -> None:
    invite(act, "--school", LYCEE)
    roles = db.session.scalars(select(StaffRole)).all()
    assert {role.role for role in roles} == {Role.SECRETARY}
    assert len({role.school_id for role in roles}) == 2
    assert {role.valid_until for role in roles} == {end_of_year(now())}


def test_an_ent_operator_has_an_ent(act: Run, build: Build) -> None:
    client_id = build.ent().client_id
    assert act(*WHO, "--role", "ent_operator", "--client", client_id).code == 0
    [role] = db.session.scalars(select(StaffRole))
    assert db.session.get_one(Client, role.client_id).client_id == client_id


def test_a_role_lasts_until_the_day_that_is_named(act: Run) -> None:
    day = (now() + timedelta(days=10)).date().isoformat()
    invite(act, "--until", day)
    assert last_day(db.session.scalars(select(StaffRole.valid_until)).one()).isoformat() == day


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--role", "secretary"), "secretary needs a school"),
        (("--role", "head"), "head needs a school"),
        (("--role", "ent_operator"), "ent_operator needs an ENT"),
        (("--role", "engineer", "--school", COLLEGE), "engineer has no school"),
        (("--role", "secretary", "--school", "0590000X"), "no school 0590000X"),
        (("--role", "ent_operator", "--client", "x\x1b"), "no client x\\x1b"),
        (("--role", "root"), "Invalid value for '--role'"),
        ((), "Missing option '--role'"),
        (("--role", "dpo", "--until", "2001-01-01"), "2001-01-01 is over"),
        (("--role", "dpo", "--until", "2099-01-01"), "2099-01-01 is later than the end of the next school year"),
        (("--role", "dpo", "--until", "9999-12-31"), "9999-12-31 is later than the end of the next school year"),
        (("--role", "dpo", "--until", "0001-01-01"), "0001-01-01 is over"),
        (("--role", "dpo", "--until", "demain"), "Invalid value for '--until'"),
    ],
)
def test_a_wrong_grant_is_refused_and_nothing_stays(act: Run, more: tuple[str, ...], words: str) -> None:
    failed(act(*WHO, *more), words)
    assert db.session.scalars(select(StaffAccount)).all() == []
    assert db.session.scalars(select(StaffInvitation)).all() == []


@pytest.mark.parametrize(
    ("mail", "name", "words"),
    [
        ("x", "Sylvie", "x is not a mail address"),
        ("a@b.test, c@d.test", "Sylvie", "is not a mail address"),
        ("a@b.test\nBcc: c@d.test", "Sylvie", "is not a mail address"),
        (MAIL, " ", "a name must have 1 to 120 characters"),
        (MAIL, "x" * 121, "a name must have 1 to 120 characters"),
        (MAIL, "Sylvie\u202egro", "a name must have 1 to 120 characters"),
    ],
)
def test_a_wrong_mail_or_name_is_refused(act: Run, mail: str, name: str, words: str) -> None:
    failed(act("staff", "invite", mail, "--name", name, "--role", "dpo"), words)


def test_a_person_who_has_enrolled_is_told_by_mail(act: Run) -> None:
    invite(act)
    person().enrolled_at = now()
    db.session.commit()
    answer = act(*WHO, "--role", "dpo")
    assert answer.out == "Sylvie Marchand has enrolled already, and is told by mail of the new role\n"


@pytest.mark.parametrize("by", ["mail", "id"])
def test_an_access_is_ended_at_once_and_once(act: Run, by: str) -> None:
    printed = invite(act)
    who = " SYLVIE@bureau.test" if by == "mail" else printed["id"]
    assert act("staff", "end", who).out == "the access of Sylvie Marchand has ended\n"
    assert person().disabled_at is not None
    failed(act("staff", "end", who), "the access of Sylvie Marchand had ended already")
    failed(act("staff", "reset", who), "the access of Sylvie Marchand has ended: invite the person again")


def test_a_lost_access_is_given_back(act: Run) -> None:
    invite(act)
    person().enrolled_at = now()
    db.session.commit()
    printed = json.loads(act("staff", "reset", MAIL, "--json").out)
    assert set(printed) == {"id", "link", "expires_at"}
    assert printed["link"].startswith(f"{DESK}/invitation/")


@pytest.mark.parametrize("command", ["end", "reset"])
def test_an_unknown_person_is_refused(act: Run, command: str) -> None:
    failed(act("staff", command, "personne@bureau.test"), "no person personne@bureau.test")
    failed(act("staff", command, "00000000-0000-4000-8000-000000000000"), "no person 00000000")


def test_the_journal_has_each_act_with_the_operator(act: Run, events: Events) -> None:
    invite(act)
    act("staff", "reset", MAIL)
    act("staff", "end", MAIL)
    for kind, count in (
        ("staff.invited", 2),
        ("staff.role_granted", 1),
        ("staff.role_ended", 1),
        ("staff.disabled", 1),
    ):
        entries = events(kind)
        assert len(entries) == count, kind
        for entry in entries:
            assert entry.actor.startswith("uid ")
            assert entry.details["staff"] == str(person().id)


def test_without_a_desk_nobody_is_invited(act: Run, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IDP_DESK_URL", raising=False)
    failed(act(*WHO, "--role", "dpo"), "there is no desk: set IDP_DESK_URL")
