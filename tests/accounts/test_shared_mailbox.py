"""A second account with the same email: shared schools get one notice for each pair of accounts."""

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from idp.accounts.models import Account, Child, School, SchoolNotice
from idp.accounts.passwords.hasher import fold_provisional
from idp.clock import now
from idp.db import db
from tests.activation.steps import activate, newest_link
from tests.builders import COLLEGE, LYCEE, PROVISIONAL, Build
from tests.commands.conftest import Run
from tests.my_account.changes import at_once, form
from tests.pages import heading, submit

SHARED = "famille@exemple.fr"
YEAR = timedelta(days=365)


def read_notices() -> list[tuple[str, object, object]]:
    """Return each notice of a shared mailbox: its school and its two accounts."""
    rows = db.session.execute(
        select(School.uai, SchoolNotice.account_id, SchoolNotice.other_account_id)
        .join(School, School.id == SchoolNotice.school_id)
        .where(SchoolNotice.kind == "shared_mailbox")
        .order_by(School.uai)
    ).all()
    db.session.rollback()
    return [(uai, first_account, second_account) for uai, first_account, second_account in rows]


def confirm(app: Flask, build: Build, account: Account, mail: str = SHARED) -> None:
    """Activate the account and confirm the email."""
    browser = app.test_client()
    activate(browser, account, mail=mail)
    assert heading(submit(browser, browser.get(newest_link(build.settings, account.id)))).startswith("Confirmation")


def father(build: Build, *children: Child) -> Account:
    return build.never_activated(civility="M.", given_name="Karim", family_name="HADDAD", children=list(children))


def test_school_is_notified_of_a_second_account_on_a_mailbox(app: Flask, build: Build) -> None:
    malo, lila = build.child(), build.child("Lila", uai=LYCEE)
    first = build.active(email=SHARED.capitalize(), children=[malo])
    second = father(build, malo, lila)
    confirm(app, build, second)
    assert read_notices() == [(COLLEGE, second.id, first.id)]


def confirm_again(app: Flask, build: Build, account: Account) -> None:
    """Issue a new letter, activate again, and confirm the same email."""
    row = db.session.get_one(Account, account.id)
    row.activated_at = row.email = row.password_hash = None
    row.provisional_hash, row.provisional_expires_at = build.hash(fold_provisional(PROVISIONAL)), now() + YEAR
    db.session.commit()
    confirm(app, build, account)


@pytest.mark.parametrize("settled", [False, True])
def test_school_is_notified_once_of_a_pair_of_accounts(app: Flask, build: Build, *, settled: bool) -> None:
    malo = build.child()
    first, second = father(build, malo), build.never_activated(children=[malo])
    confirm(app, build, first)
    assert read_notices() == [], "one account shares nothing"
    confirm(app, build, second)
    assert read_notices() == [(COLLEGE, second.id, first.id)]
    if settled:
        db.session.scalars(select(SchoolNotice)).one().settled_at = now()
    confirm_again(app, build, first)
    assert read_notices() == [(COLLEGE, second.id, first.id)]
    confirm(app, build, father(build, malo))
    assert len(read_notices()) == 2, "a third account is another pair with her; with him it shares the name"


def test_school_is_notified_again_after_the_settled_notice_is_purged(app: Flask, act: Run, build: Build) -> None:
    malo = build.child()
    first, second = father(build, malo), build.never_activated(children=[malo])
    confirm(app, build, first)
    confirm(app, build, second)
    db.session.scalars(select(SchoolNotice)).one().settled_at = now() - timedelta(days=build.settings.audit_days + 1)
    db.session.commit()
    assert act("purge").code == 0
    assert read_notices() == [], "nobody is told without a new confirmation"
    confirm_again(app, build, first)
    assert read_notices() == [(COLLEGE, first.id, second.id)]


def test_same_person_another_school_and_a_disabled_account_cause_no_notice(app: Flask, build: Build) -> None:
    malo = build.child()
    build.active(email=SHARED, children=[malo])
    build.active(email=SHARED, children=[build.child("Zoé", uai=LYCEE)], given_name="Ines", family_name="AUTRE")
    build.active(email=SHARED, children=[malo], given_name="Omar", family_name="PARTI", disabled_at=now())
    confirm(app, build, build.never_activated(children=[malo]))
    assert read_notices() == []


def test_school_is_notified_when_two_accounts_confirm_a_mailbox_concurrently(app: Flask, build: Build) -> None:
    for round_ in range(3):
        mail = f"famille{round_}@exemple.fr"
        malo = build.child()
        pair = [father(build, malo), build.never_activated(children=[malo])]
        forms = []
        for account in pair:
            visitor = app.test_client()
            activate(visitor, account, mail=mail)
            forms.append(form(visitor, visitor.get(newest_link(build.settings, account.id))))
        assert [answer["status"] for answer in at_once(build.settings, forms)] == [200, 200]
        assert len(read_notices()) == round_ + 1
