"""`idp staff`: invite, end, reset, as `desk.md` describes them for scripts; errors; the journal."""

from datetime import UTC, datetime, timedelta
from typing import Any

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
from tests.commands.conftest import Answer, Events, Run, read_json
from tests.databases import DESK
from tests.rows import each_row

MAIL = "sylvie@bureau.test"
WHO = ("staff", "invite", MAIL, "--name", "Sylvie Marchand")


@pytest.fixture(autouse=True)
def schools(app: Flask, build: Build) -> None:
    for uai in (COLLEGE, LYCEE):
        build.school(uai)


def invite(act: Run, *more: str) -> Any:
    return read_json(act, *WHO, "--role", "secretary", "--school", COLLEGE, *more)


def person() -> StaffAccount:
    return db.session.scalars(select(StaffAccount)).one()


def failed(answer: Answer, words: str) -> None:
    assert answer.code != 0
    assert (answer.out, words in answer.err) == ("", True), answer


def test_an_invitation_is_printed_for_people_and_for_scripts(act: Run) -> None:
    printed = invite(act)
    assert set(printed) == {"id", "link", "expires_at"}
    assert (printed["id"], printed["link"].startswith(f"{DESK}/invitation/")) == (str(person().id), True)
    left = datetime.fromisoformat(printed["expires_at"]) - datetime.now(UTC)
    assert timedelta(hours=23, minutes=58) < left <= timedelta(hours=24)
    answer = act(*WHO, "--role", "engineer")
    assert answer.out.startswith("Sylvie Marchand enrols until ")
    assert f"\n{DESK}/invitation/" in answer.out


def test_a_role_has_its_schools_until_the_end_of_the_year_or_a_named_day(act: Run, build: Build) -> None:
    invite(act, "--school", LYCEE)
    roles = db.session.scalars(select(StaffRole)).all()
    assert {role.school_id for role in roles} == {build.school(uai).id for uai in (COLLEGE, LYCEE)}
    assert {(role.role, role.valid_until) for role in roles} == {(Role.SECRETARY, end_of_year(now()))}
    day = (now() + timedelta(days=10)).date()
    act(*WHO, "--role", "dpo", "--until", day.isoformat())
    ends = db.session.scalars(select(StaffRole.valid_until).where(StaffRole.role == Role.DPO)).one()
    assert last_day(ends) == day


def test_an_ent_operator_has_an_ent(act: Run, build: Build) -> None:
    client_id = build.ent().client_id
    assert act(*WHO, "--role", "ent_operator", "--client", client_id).code == 0
    [role] = db.session.scalars(select(StaffRole))
    assert db.session.get_one(Client, role.client_id).client_id == client_id


@each_row(
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


@each_row(
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


def test_a_person_who_has_enrolled_is_told_by_mail_and_gets_a_lost_access_back(act: Run) -> None:
    invite(act)
    person().enrolled_at = now()
    db.session.commit()
    answer = act(*WHO, "--role", "dpo")
    assert answer.out == "Sylvie Marchand has enrolled already, and is told by mail of the new role\n"
    printed = read_json(act, "staff", "reset", MAIL)
    assert set(printed) == {"id", "link", "expires_at"}
    assert printed["link"].startswith(f"{DESK}/invitation/")


@pytest.mark.parametrize("by", ["mail", "id"])
def test_an_access_is_ended_at_once_and_once(act: Run, by: str) -> None:
    printed = invite(act)
    who = " SYLVIE@bureau.test" if by == "mail" else printed["id"]
    assert act("staff", "end", who).out == "the access of Sylvie Marchand has ended\n"
    assert person().disabled_at is not None
    failed(act("staff", "end", who), "the access of Sylvie Marchand had ended already")
    failed(act("staff", "reset", who), "the access of Sylvie Marchand has ended: invite the person again")


def test_an_unknown_person_is_refused(act: Run) -> None:
    for command in ("end", "reset"):
        for who in ("personne@bureau.test", "00000000-0000-4000-8000-000000000000"):
            failed(act("staff", command, who), f"no person {who[:8]}")


def test_the_journal_has_each_act_with_the_operator(act: Run, events: Events) -> None:
    invite(act)
    for command in ("reset", "end"):
        act("staff", command, MAIL)
    counts = {"staff.invited": 2, "staff.role_granted": 1, "staff.role_ended": 1, "staff.disabled": 1}
    for kind, count in counts.items():
        recorded = [(entry.actor.startswith("uid "), entry.details["staff"]) for entry in events(kind)]
        assert recorded == [(True, str(person().id))] * count, kind


def test_without_a_desk_nobody_is_invited(act: Run, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IDP_DESK_URL", raising=False)
    failed(act(*WHO, "--role", "dpo"), "there is no desk: set IDP_DESK_URL")
