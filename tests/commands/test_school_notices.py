"""What settles the notices of a school; `idp school set` with its mail and its hours."""

import uuid

import pytest
from sqlalchemy import select

from idp.accounts import school_notices
from idp.accounts.models import Account, School, SchoolNotice
from idp.accounts.school_notices import Kind
from idp.clock import now
from idp.db import db, unit_of_work
from idp.families import acts
from idp.families.refusals import Code
from tests.builders import COLLEGE, Build, add_contest
from tests.closed import dispute
from tests.commands.conftest import Events, Run, read_json
from tests.settlements import refused


def settled(account: Account) -> dict[str, tuple[str, str]]:
    rows = select(SchoolNotice).where(SchoolNotice.account_id == account.id, SchoolNotice.settled_at.is_not(None))
    notices = db.session.scalars(rows.execution_options(populate_existing=True)).all()
    return {notice.kind: (notice.settled_by, notice.sentence) for notice in notices}


def settle(key: uuid.UUID, sentence: str) -> None:
    with unit_of_work():
        acts.settle_notice(key, sentence)


def written(account: Account, kind: Kind, school: School) -> uuid.UUID:
    school_notices.add(kind, account.id, [school.id])
    db.session.commit()
    newest = select(SchoolNotice.id).where(SchoolNotice.account_id == account.id, SchoolNotice.kind == kind.value)
    return db.session.scalars(newest).one()


def test_a_notice_is_settled_once(build: Build, events: Events) -> None:
    account = build.active()
    key = written(account, Kind.LETTER_DOUBT, build.school())
    settle(key, "Même personne.")
    with refused(Code.SETTLED):
        settle(key, "Une autre personne.")
    assert settled(account)["letter_doubt"][1] == "Même personne."
    [event] = events("school.notice_settled")
    assert (event.account_id, event.details) == (account.id, {"notice": str(key), "about": "letter_doubt"})


@pytest.mark.parametrize("kind", [Kind.NOT_GUARDIAN, Kind.EMAIL_CONTESTED])
def test_a_dispute_is_not_settled_by_its_notice(build: Build, events: Events, kind: Kind) -> None:
    malo = build.child()
    account = build.active(children=[malo])
    if kind is Kind.NOT_GUARDIAN:
        dispute(account.id, children=[malo.id])
    else:
        add_contest(account.id, now())
    key = written(account, kind, build.school())
    with refused(Code.CHANGED):
        settle(key, "Réglé.")
    assert settled(account) == {}
    assert events("school.notice_settled") == []


def test_unlock_settles_only_related_notices(build: Build) -> None:
    account = build.active()
    for kind in Kind:
        written(account, kind, build.school())
    acts.unlock(account.id)
    assert settled(account).keys() == {"letter_guessed", "email_change_stopped"}
    assert {sentence for _, sentence in settled(account).values()} == {"unlocked"}


@pytest.mark.parametrize("contested", [False, True])
def test_a_new_letter_settles_only_related_notices(
    act: Run, build: Build, tmp_path: object, *, contested: bool
) -> None:
    build.ent()
    account = build.active()
    if contested:
        add_contest(account.id, now())
    for kind in Kind:
        written(account, kind, build.school())
    answer = act(
        "letters", "print", "--username", account.username, "--out", f"{tmp_path}/x.pdf", "--reason", "vue au guichet"
    )
    assert answer.code == 0, answer.err
    assert settled(account).keys() == {"letter_guessed", "email_change_stopped", "other_mailbox", "shared_mailbox"}
    assert {sentence for _, sentence in settled(account).values()} == {"new letter: vue au guichet"}


def test_a_school_sets_and_removes_its_email(act: Run, build: Build, events: Events) -> None:
    build.school()
    assert act("school", "set", COLLEGE, "--mail", " Secretariat@COLLEGE.test ").out == f"{COLLEGE} was changed\n"
    assert "Secretariat@college.test" in act("school", "list").out
    for options, mail in ((("--phone", "03 53 01 40 40"), "Secretariat@college.test"), (("--mail", ""), None)):
        act("school", "set", COLLEGE, *options)
        assert read_json(act, "school", "list")[0]["mail"] == mail
    assert len(events("school.changed")) == 3


def test_an_invalid_email_is_refused(act: Run, build: Build) -> None:
    build.school()
    for typed in ("x", "a@b", "a@b.fr, c@d.fr", "é@exemple.fr", "a\n@b.fr", " ", "x" * 400 + "@b.fr"):
        answer = act("school", "set", COLLEGE, "--phone", "03", "--mail", typed)
        assert (answer.code, answer.out, "is not a mail address" in answer.err) == (2, "", True), typed
    school = db.session.query(School).one()
    assert (school.email, school.phone) == (None, "")


def test_hours_are_set_and_removed(act: Run, build: Build) -> None:
    build.school()
    for hours in ("Lundi à vendredi, 8 h à 17 h", ""):
        act("school", "set", COLLEGE, "--hours", hours)
        assert db.session.query(School).one().hours == hours
    assert act("school", "set", COLLEGE, "--hours", "x" * 81).code == 1
