"""Acts on an account: they open it, block its password, and never without the journal (K-03, O-05, Z-05)."""

import json
import sys

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, text

from idp.accounts.models import Account, Merge
from idp.accounts.notices import RESET_REQUESTED
from idp.audit import log
from idp.clock import now
from idp.db import db, retry_unit_of_work
from idp.families import acts
from idp.families.refusals import Code
from idp.operations import blocked_passwords
from idp.sessions.models import Session
from tests import forked
from tests.builders import COLLEGE, LYCEE, PASSWORD, Build
from tests.commands.accounts import ACTS, OPERATOR, living, reload_account, waiting, wrong_tries
from tests.commands.conftest import Answer, Events, Run, check_refusal, read_json
from tests.commands.race import ACTS as RACES
from tests.my_account.changes import read_notices
from tests.my_account.passkeys import owner, sign_in as sign_in_by_key, stored
from tests.my_account.steps import text_of
from tests.pages import follow, heading, sign_in
from tests.settlements import refused


def test_unlock_opens_at_once(build: Build, browser: FlaskClient, events: Events) -> None:
    account = build.active()
    wrong_tries(account.username)
    acts.unlock(account.id)
    assert heading(sign_in(browser, "/connexion", account.username, PASSWORD)) == "Gérer mon compte"
    [event] = events("account.changed")
    assert (event.account_id, event.details) == (account.id, {"change": "unlocked"})


def test_passkeys_are_removed_with_a_reason_and_the_person_is_told(app: Flask, build: Build, events: Events) -> None:
    account = build.active()
    key = owner(app, account)
    with log.acting_for(log.Origin(actor=OPERATOR)):
        acts.remove_passkeys(account.id, "téléphone volé")
    assert living(account) == 0, "the thief of the phone is signed out"
    with refused(Code.NO_PASSKEY):
        acts.remove_passkeys(account.id, "téléphone volé")
    _, event = events("passkey.changed")
    details = {"change": "removed", "by": "operator", "count": 1, "reason": "téléphone volé"}
    assert (event.actor, event.details) == (OPERATOR, details)
    assert [notice for notice, _ in read_notices(account)] == ["cle_ajoutee", "cle_retiree"]
    browser = app.test_client()
    assert sign_in_by_key(browser, key).status_code == 200, "the passkey opens nothing"
    follow(browser, sign_in(browser, "/connexion", account.username, PASSWORD))
    assert "L’équipe du service a retiré vos clés d’accès" in text_of(browser.get("/mon-compte/sessions"))


def test_enable_reopens_a_disabled_account_with_its_password(
    act: Run, browser: FlaskClient, build: Build, events: Events
) -> None:
    account = build.active(disabled_at=now())
    assert act("account", "enable", account.username).out == f"{account.username} is enabled\n"
    check_refusal(act("account", "enable", account.username), f"Error: {account.username} is not disabled\n")
    assert heading(sign_in(browser, "/connexion", account.username, PASSWORD)) == "Gérer mon compte"
    assert [event.details["change"] for event in events("account.changed")] == ["enabled"]
    merged = build.never_activated(disabled_at=now(), merge=Merge(into_id=account.id))
    check_refusal(act("account", "enable", merged.username), f"was merged into {account.username}")
    assert reload_account(merged).disabled_at is not None


@pytest.mark.row("K-03")
def test_an_operator_sends_the_reset_mail_without_seeing_a_password(
    act: Run, bare: Run, build: Build, browser: FlaskClient
) -> None:
    account = build.active()
    before = reload_account(account).password_hash
    sign_in(browser, "/connexion", account.username, PASSWORD)
    answer = act("account", "force-password-change", "--school", COLLEGE)
    assert answer == Answer(0, "1 password blocked, 1 session ended, 0 left as is\n", "")
    assert (reload_account(account).password_hash, living(account), waiting(RESET_REQUESTED)) == (before, 0, [])
    sign_in(browser, "/connexion", account.username, PASSWORD)
    assert living(account) == 0
    assert [payload["account"] for payload in waiting(RESET_REQUESTED)] == [str(account.id)]
    for command in (*ACTS, "force-password-change", "find"):
        options = bare("account", command, "--help").out.partition("Options:")[2]
        assert not [name for name in ("--password", "--email") if name in options]


@pytest.mark.row("I-23")
def test_force_password_change_of_a_school_skips_letters_and_other_schools(
    act: Run, app: Flask, build: Build, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("idp.operations.batches.ROWS", 2)
    child = build.child()
    inside = [build.active(children=[child]) for _ in range(5)]
    inside.append(build.active(children=[child], email=None, pending_email="n@exemple.fr"))
    letter = build.never_activated(children=[child])
    elsewhere = build.active(children=[build.child(uai=LYCEE)])
    owner(app, inside[0])
    owner(app, elsewhere)
    command = ("account", "force-password-change", "--school", COLLEGE)
    assert read_json(act, *command) == {"blocked": 6, "sessions_ended": 1, "without_address": 1, "untouched": 1}
    assert all(reload_account(account).has_blocked_password for account in inside)
    assert not any(reload_account(account).has_blocked_password for account in (letter, elsewhere))
    assert (living(inside[0]), stored(inside[0])) == (0, [])
    assert (living(elsewhere), len(stored(elsewhere))) == (1, 1)
    assert read_notices(inside[0])[-1] == ("cle_retiree", ""), "the person is told that the passkey opens nothing"
    changes = {(event.account_id, event.actor) for event in events("account.changed")}
    assert changes == {(account.id, OPERATOR) for account in inside}
    assert read_json(act, *command) == {"blocked": 0, "sessions_ended": 0, "without_address": 0, "untouched": 7}


def test_a_force_password_change_that_is_killed_has_journaled_what_it_blocked(
    act: Run, build: Build, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("idp.operations.batches.ROWS", 2)
    child = build.child()
    accounts = [build.active(children=[child]) for _ in range(5)]
    run, batches = retry_unit_of_work, iter([True])
    with monkeypatch.context() as killed:
        once = lambda work: run(work) if next(batches, False) else sys.exit(9)  # noqa: E731
        killed.setattr(blocked_passwords, "retry_unit_of_work", once)
        assert act("account", "force-password-change", "--school", COLLEGE).code == 9
    assert [reload_account(account).has_blocked_password for account in accounts].count(True) == 2
    assert [event.details for event in events("desk.passwords_forced")] == [{"uai": COLLEGE, "count": 2}]
    act("account", "force-password-change", "--school", COLLEGE)
    assert [event.details["count"] for event in events("desk.passwords_forced")] == [2, 2, 1]


def test_force_password_change_of_all_accounts_asks_for_confirmation(
    act: Run, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("idp.operations.batches.ROWS", 2)
    accounts = [build.active(), build.active(), build.active(children=[], disabled_at=now())]
    changed_at = reload_account(accounts[0]).updated_at
    refusal = act("account", "force-password-change", "--all")  # nobody answers
    assert (refusal.code, refusal.out) == (1, "")
    assert "Block the passwords of 3 accounts?" in refusal.err
    assert not any(reload_account(account).has_blocked_password for account in accounts)
    answer = act("account", "force-password-change", "--all", "--yes")
    assert answer.out == "3 passwords blocked, 0 sessions ended, 0 left as is\n"
    assert all(reload_account(account).has_blocked_password for account in accounts)
    assert reload_account(accounts[0]).updated_at == changed_at, "ENTs see no change of the person"


def refuse_the_journal() -> None:
    with db.engine.begin() as connection:
        connection.execute(text("ALTER TABLE audit RENAME TO gone"))
        connection.execute(text("CREATE TABLE audit (LIKE gone INCLUDING DEFAULTS)"))
        connection.execute(
            text(
                "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                "RAISE EXCEPTION 'no space left on device' USING ERRCODE = 'disk_full'; END $$"
            )
        )
        connection.execute(
            text("CREATE TRIGGER full_disk BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION full_disk()")
        )


@pytest.mark.row("O-05")
@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize("command", [("force-password-change", "--all", "--yes"), ("show", "USER"), ("find", "USER")])
def test_a_change_is_rolled_back_when_the_journal_fails(
    act: Run, build: Build, browser: FlaskClient, command: tuple[str, ...]
) -> None:
    account = build.active()
    sign_in(browser, "/connexion", account.username, PASSWORD)
    refuse_the_journal()
    answer = act("account", *(account.username if word == "USER" else word for word in command))
    check_refusal(answer, "Error: the database cannot be used (OperationalError)")
    assert (reload_account(account).has_blocked_password, living(account)) == (False, 1)


@pytest.mark.row("O-05")
def test_a_sign_in_opens_no_session_when_the_journal_fails(build: Build, browser: FlaskClient) -> None:
    account = build.active()
    refuse_the_journal()
    page = sign_in(browser, "/connexion", account.username, PASSWORD)
    assert (page.status_code, page.headers["Retry-After"]) == (503, "5")
    assert living(account) == 0


@pytest.mark.row("Z-05")
@pytest.mark.parametrize("rounds", [8, pytest.param(32, marks=pytest.mark.long)])
@pytest.mark.parametrize("act", RACES)
def test_a_disabled_account_has_no_session(build: Build, act: str, rounds: int) -> None:
    build.ent()
    child = build.child()
    usernames = [build.active(children=[child]).username for _ in range(rounds)]
    db.session.rollback()
    order = {"database": build.settings.database_url, "act": act, "usernames": usernames}
    done = forked.run("tests.commands.race", timeout=400, stdin=json.dumps(order))
    assert done.returncode == 0, done.stderr[-3000:]
    opened = sum(json.loads(done.stdout))
    assert opened >= rounds, "there were sessions to end"
    rows = db.session.execute(
        select(Session.ended_at, Session.generation, Account.generation).join(Account, Account.id == Session.account_id)
    ).all()
    db.session.rollback()
    assert len(rows) == opened
    assert [row for row in rows if row[0] is None] == [], "not even one that only its generation would stop"
    assert [row for row in rows if row[1] == row[2]] == [], "nor one that only its end would"
