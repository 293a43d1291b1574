"""`idp purge` and accounts (O-04): unused letters, unused accounts, and their rows."""

import json
from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import inspect, select

from idp.accounts.models import Account, Child, Guardianship, Merge, SchoolNotice
from idp.accounts.one_time_links import OneTimeLink
from idp.audit.models import AuditEntry
from idp.charter.models import CharterAcceptance
from idp.clock import now
from idp.db import db
from idp.letters import secrets
from idp.outbox.queue import OutboxMessage
from idp.sessions.models import Session
from tests.builders import PASSWORD, Build
from tests.commands.accounts import reload_account
from tests.commands.conftest import Events, Run
from tests.commands.remains import DAY, HOUR, Remains, keep, number, purged
from tests.email_confirmation.post import post_office, text_of
from tests.pages import sign_in

HANGING = (Session, OneTimeLink, Guardianship, CharterAcceptance, SchoolNotice)


def test_expired_letters_are_removed_unless_an_activation_is_open(act: Run, build: Build) -> None:
    expired = build.never_activated(provisional_expires_at=now() - 2 * HOUR)
    open_still = build.never_activated(provisional_expires_at=now() - timedelta(minutes=10))
    changed_at = db.session.get_one(Account, expired.id).updated_at
    assert purged(act) == {"letters_expired": 1}
    assert (expired.provisional_hash, expired.activated_at, expired.disabled_at) == (None, None, None)
    assert (expired.provisional_expires_at is None, expired.updated_at) == (False, changed_at)
    assert open_still.provisional_hash is not None
    db.session.rollback()
    assert purged(act) == {}


@pytest.mark.row("O-04")
def test_an_unused_account_is_warned_then_removed_with_its_rows(
    act: Run, app: Flask, build: Build, events: Events
) -> None:
    build.ent()
    child = build.child()
    unused = build.active(activated_at=now() - 800 * DAY, last_sign_in_at=now() - 366 * DAY, children=[child])
    used = build.active(activated_at=now() - 800 * DAY, last_sign_in_at=now() - 364 * DAY, children=[child])
    for account in (unused, used):
        Remains(account).everything(build)
    key, changed_at = unused.id, unused.updated_at
    db.session.rollback()
    with post_office(app) as office:
        assert purged(act) == {"accounts_warned": 1}
        assert purged(act) == {}
        [mail] = office.deliver()
    assert mail["To"] == "noemie.leroy@exemple.fr"
    assert "Il sera effacé dans 30 jours." in " ".join(text_of(mail).split())
    assert (unused.inactive_warned_at is not None, unused.updated_at) == (True, changed_at)
    assert [e.account_id for e in events("account.inactivity_warned")] == [key]

    before = number(AuditEntry, AuditEntry.account_id == key)
    with time_machine.travel(now() + 29 * DAY):
        assert "accounts_removed" not in purged(act)
    with time_machine.travel(now() + 30 * DAY + HOUR):
        assert purged(act)["accounts_removed"] == 1
    assert db.session.get(Account, key) is None
    for table in HANGING:
        assert number(table, table.account_id == key) == 0, table
        of_others = number(table, table.account_id == used.id)
        assert of_others == (0 if table in {Session, OneTimeLink} else 1), "dead ones go with their time, no others"
    assert number(Child) == 1, "the pupil is the school's"
    trace = db.session.scalars(select(AuditEntry).where(AuditEntry.account_id == key).order_by(AuditEntry.id)).all()
    assert len(trace) == before + 1, "the events stay"
    assert {(e.ip, e.request_id, json.dumps(e.details)) for e in trace[:-1]} == {("", "", "{}")}
    assert (trace[-1].kind, trace[-1].details) == ("account.purged", {"why": "inactive"})
    assert number(AuditEntry, AuditEntry.account_id == used.id, AuditEntry.ip != "") == 1


def test_a_sign_in_after_the_warning_keeps_the_account(act: Run, build: Build, browser: FlaskClient) -> None:
    account = build.active(activated_at=now() - 800 * DAY, last_sign_in_at=now() - 366 * DAY)
    assert purged(act) == {"accounts_warned": 1}
    sign_in(browser, "/connexion", account.username, PASSWORD)
    assert reload_account(account).inactive_warned_at is None
    with time_machine.travel(now() + 40 * DAY):
        assert "accounts_removed" not in purged(act)
    for days, done in ((366, {"accounts_warned": 1}), (390, {}), (397, {"accounts_removed": 1})):
        with time_machine.travel(now() + days * DAY):
            counted = purged(act)
        assert {name: number for name, number in counted.items() if name.startswith("accounts")} == done, days


def test_a_sign_in_since_the_last_look_keeps_the_account_and_is_noted(act: Run, build: Build) -> None:
    old = now() - 366 * DAY
    used = build.active(activated_at=now() - 800 * DAY, last_sign_in_at=now() - 10 * DAY, known_use_at=old)
    build.active(activated_at=now() - 800 * DAY, last_sign_in_at=now() - 370 * DAY, email=None)
    changed_at = db.session.get_one(Account, used.id).updated_at
    assert purged(act) == {}
    assert (used.known_use_at, used.updated_at) == (used.last_sign_in_at, changed_at)
    db.session.rollback()
    for days, done in ((26, "accounts_removed"), (356, "accounts_warned")):
        with time_machine.travel(now() + days * DAY):
            assert purged(act)[done] == 1


def test_a_new_letter_forgets_the_use_that_the_purge_knew(act: Run, build: Build) -> None:
    account = build.active(activated_at=now() - 100 * DAY, roster_key="aaf:1", children=[])
    account.created_at = now() - 200 * DAY
    db.session.commit()
    assert purged(act) == {}
    assert account.known_use_at > account.created_at
    db.session.rollback()
    secrets._close(build.settings, account, "lost")
    db.session.commit()
    assert number(Account, Account.known_use_at == Account.created_at) == 1
    assert purged(act) == {"accounts_removed": 1}


def test_an_account_that_loses_its_last_child_later_is_looked_at_again(act: Run, build: Build) -> None:
    old, child = now() - 400 * DAY, build.child()
    account = build.never_activated(created_at=old, roster_key="aaf:1", children=[child])
    by_tie = build.never_activated(created_at=old, roster_key="aaf:2")
    assert purged(act) == {}
    assert account.known_use_at > old
    child.left_at = now() - 91 * DAY
    for tie in by_tie.guardianships:
        tie.ended_at = now() - 91 * DAY
    db.session.commit()
    assert purged(act) == {"links_removed": 1, "pupils_removed": 1}
    assert purged(act) == {"accounts_removed": 2}
    assert number(Account) == 0


def test_an_account_without_email_is_removed_after_both_delays(act: Run, build: Build) -> None:
    build.active(email=None, pending_email="p@exemple.fr", activated_at=now() - 396 * DAY)
    stays = build.active(email=None, activated_at=now() - 394 * DAY).id
    assert purged(act) == {"accounts_removed": 1}
    assert db.session.scalars(select(Account.id)).all() == [stays]
    assert number(OutboxMessage) == 0


def test_a_new_letter_restarts_the_inactivity_period(act: Run, build: Build) -> None:
    build.active(activated_at=now() - DAY, last_sign_in_at=now() - 700 * DAY)
    build.never_activated(created_at=now() - 900 * DAY, last_sign_in_at=now() - 700 * DAY)
    assert purged(act) == {}


def test_disabled_accounts_are_removed_after_ninety_days_and_merged_ones_with_the_main_one(
    act: Run, build: Build, events: Events
) -> None:
    main = build.active()
    merged = build.never_activated(disabled_at=now() - 91 * DAY, merge=Merge(into_id=main.id), children=[]).id
    disabled = build.active(disabled_at=now() - 91 * DAY, last_sign_in_at=now() - 91 * DAY)
    pointing = build.never_activated(disabled_at=now() - 10 * DAY, merge=Merge(into_id=disabled.id), children=[])
    recent = build.active(disabled_at=now() - 89 * DAY).id
    gone = disabled.id
    assert purged(act) == {"accounts_removed": 1}
    assert db.session.get(Account, gone) is None
    assert all(db.session.get(Account, key) is not None for key in (main.id, merged, recent))
    assert pointing.merge is None
    assert {e.account_id: e.details["why"] for e in events("account.purged")} == {gone: "disabled"}


def test_account_with_an_open_notice_is_neither_warned_nor_removed(act: Run, build: Build) -> None:
    unused = build.active(last_sign_in_at=now() - 800 * DAY, activated_at=now() - 800 * DAY)
    disabled = build.active(disabled_at=now() - 91 * DAY, contested_at=now() - 100 * DAY)
    for account in (unused, disabled):
        keep(SchoolNotice(school_id=build.school().id, account_id=account.id, kind="other_mailbox"))
    assert purged(act) == {}
    for notice in db.session.scalars(select(SchoolNotice)):
        notice.settled_at = now()
    db.session.commit()
    assert purged(act) == {"accounts_warned": 1, "accounts_removed": 1}


def test_notice_about_another_account_survives_the_removal(act: Run, build: Build) -> None:
    gone, stays = build.active(disabled_at=now() - 91 * DAY), build.active()
    keep(SchoolNotice(school_id=build.school().id, account_id=stays.id, other_account_id=gone.id, kind="letter_doubt"))
    assert purged(act) == {"accounts_removed": 1}
    notice = db.session.scalars(select(SchoolNotice)).one()
    assert (notice.account_id, notice.other_account_id, notice.settled_at) == (stays.id, None, None)


def test_foreign_keys_to_accounts_and_sessions_are_indexed(app: Flask) -> None:
    inspector = inspect(db.engine)
    checked = 0
    for table in inspector.get_table_names():
        leading = {tuple(index["column_names"][:1]) for index in inspector.get_indexes(table)}
        leading.add(tuple(inspector.get_pk_constraint(table)["constrained_columns"][:1]))
        for key in inspector.get_foreign_keys(table):
            if key["referred_table"] in {"account", "session"}:
                assert tuple(key["constrained_columns"]) in leading, (table, key["constrained_columns"])
                checked += 1
    assert checked >= 8
