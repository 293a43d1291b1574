"""Two accounts: one mailbox, one person, or one change of credentials."""

from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from idp.accounts.credentials import PasswordState
from idp.accounts.merging import same_person
from idp.accounts.models import Account, Child, School, SchoolNotice
from idp.accounts.passwords.hasher import fold_provisional
from idp.clock import now
from idp.db import db
from tests.activation.steps import activate, newest_link
from tests.builders import COLLEGE, LYCEE, PROVISIONAL, Build
from tests.commands.conftest import Run
from tests.my_account.changes import at_once, form
from tests.pages import heading, submit
from tests.rows import each_row

SHARED = "famille@exemple.fr"
YEAR = timedelta(days=365)


def read_notices() -> list[tuple[str, object, object]]:
    rows = db.session.execute(
        select(School.uai, SchoolNotice.account_id, SchoolNotice.other_account_id)
        .join(School, School.id == SchoolNotice.school_id)
        .where(SchoolNotice.kind == "shared_mailbox")
        .order_by(School.uai)
    ).all()
    db.session.rollback()
    return [(uai, first_account, second_account) for uai, first_account, second_account in rows]


def confirm(app: Flask, build: Build, account: Account, mail: str = SHARED) -> None:
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
    forms = []
    for number in range(3):
        malo = build.child()
        for account in (father(build, malo), build.never_activated(children=[malo])):
            visitor = app.test_client()
            activate(visitor, account, mail=f"famille{number}@exemple.fr")
            forms.append(form(visitor, visitor.get(newest_link(build.settings, account.id))))
    assert [answer["status"] for answer in at_once(build.settings, forms)] == [200] * 6
    assert len(read_notices()) == 3


@each_row(
    ("mine", "other"),
    [
        ({}, {}),
        ({"given_name": "Noémie"}, {"given_name": "NOEMIE Anne"}),
        ({"given_name": "Anne-Marie"}, {"given_name": "ANNE MARIE"}),
        ({"civility": "Mlle"}, {"civility": "Mme"}),
        ({"civility": ""}, {"civility": "Mme"}),
        ({"family_name": "LE GALL"}, {"family_name": "Le-Gall"}),
        ({"family_name": "LEROY"}, {"family_name": "LEROY-VANDEPUTTE"}),
        ({"family_name": "VANDEPUTTE LEROY"}, {"family_name": "LEROY-VANDEPUTTE"}),
        ({"family_name": "MARTIN", "birth_name": "LEROY"}, {"family_name": "LEROY"}),
        ({"family_name": "LEROY"}, {"family_name": "MARTIN", "birth_name": "Leroy"}),
        ({"family_name": "D’ARTAGNAN"}, {"family_name": "d'Artagnan"}),
        ({"family_name": "ŒUVRARD"}, {"family_name": "Oeuvrard"}),
        ({"given_name": "İbrahim", "family_name": "YILMAZ"}, {"given_name": "Ibrahim", "family_name": "Yılmaz"}),
        ({"given_name": "كريم", "family_name": "بن علي"}, {"given_name": "كريم", "family_name": "بن علي"}),
    ],
)
def test_names_that_agree(mine: dict[str, str], other: dict[str, str]) -> None:
    assert same_person(_named(mine), _named(other))
    assert same_person(_named(other), _named(mine))


@each_row(
    ("mine", "other"),
    [
        ({"given_name": "Noémie"}, {"given_name": "Karim"}),
        ({"given_name": "Anne Marie"}, {"given_name": "Marie"}),
        ({"given_name": "Anne-Marie"}, {"given_name": "Anne-Sophie"}),
        ({"given_name": "Anne-Marie"}, {"given_name": "Anne"}),
        ({"civility": "M.", "given_name": "Dominique"}, {"civility": "Mme", "given_name": "Dominique"}),
        ({"given_name": "Thi Lan"}, {"given_name": "Thi Hoa"}),
        ({"given_name": "Jean-Pierre"}, {"given_name": "Jean-Paul"}),
        ({"family_name": "DE"}, {"family_name": "DE SOUSA"}),
        ({"family_name": "LEROY"}, {"family_name": "LEROYER"}),
        ({"family_name": "LEROY-MARTIN"}, {"family_name": "LEROY-DURAND"}),
        ({"family_name": "LEROY", "birth_name": "DURAND"}, {"family_name": "MARTIN", "birth_name": "PETIT"}),
        ({"family_name": ""}, {"family_name": "LEROY"}),
        ({"family_name": "'-"}, {"family_name": "'-"}),
        ({"given_name": ""}, {"given_name": ""}),
    ],
)
def test_names_that_leave_a_doubt(mine: dict[str, str], other: dict[str, str]) -> None:
    assert not same_person(_named(mine), _named(other))
    assert not same_person(_named(other), _named(mine))


def _named(names: dict[str, str]) -> Account:
    common: dict[str, Any] = {"given_name": "Noémie", "family_name": "LEROY", "birth_name": ""}
    return Account(**{**common, **names})


def test_a_row_and_an_update_count_a_change_of_credentials_alike(app: Flask, build: Build) -> None:
    account = build.active()
    before = account.generation
    account.credentials_changed()
    db.session.commit()
    assert account.changed_once_since(before)
    db.session.execute(
        update(Account).where(Account.id == account.id).values(generation=Account.next_generation()),
        execution_options={"synchronize_session": False},
    )
    db.session.commit()
    db.session.refresh(account)
    assert account.generation == before + 2
    assert not account.changed_once_since(before)


def test_a_new_password_lifts_a_block_and_a_breach_and_changes_credentials(app: Flask, build: Build) -> None:
    account = build.active(password_state=PasswordState.BREACHED)
    before, started = account.generation, now()
    account.set_password("a new hash")
    assert (account.password_hash, account.password_state) == ("a new hash", PasswordState.USABLE)
    assert account.password_changed_at is not None
    assert account.password_changed_at >= started
    assert account.changed_once_since(before)
