"""`idp account` unlocks, shuts, opens, ends sessions, blocks passwords, and never without the journal (K-03, O-05)."""

import json
import sys

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, text

from idp.accounts import school_notices
from idp.accounts.models import SchoolNotice
from idp.accounts.notices import RESET_REQUESTED
from idp.accounts.school_notices import Kind
from idp.clock import now
from idp.db import db, retry_unit_of_work
from idp.operations.helpdesk import acts
from idp.sessions.ending import SESSIONS_ENDED
from idp.throttle import guard, limits
from tests.builders import COLLEGE, LYCEE, PASSWORD, Build
from tests.commands.accounts import ACTS, OPERATOR, living, reload_account, waiting, wrong_tries
from tests.commands.conftest import Events, Run
from tests.my_account.changes import read_notices
from tests.my_account.passkeys import owner, stored
from tests.my_account.passkeys import sign_in as sign_in_by_key
from tests.my_account.steps import text_of
from tests.pages import follow, heading, sign_in
from tests.protocol.flow import OFFLINE, tokens_for

pytestmark = pytest.mark.both_databases(sqlite_is_long=True)


def test_unlock_opens_at_once(act: Run, build: Build, browser: FlaskClient, events: Events) -> None:
    account = build.active()
    wrong_tries(account.username)
    assert guard.remaining_wait(limits.SIGN_IN_ACCOUNT, account.username) > 0
    answer = act("account", "unlock", account.username)
    assert (answer.code, answer.out) == (0, f"{account.username} may try again, on every node within ten seconds\n")
    assert heading(sign_in(browser, "/connexion", account.username, PASSWORD)) == "Gérer mon compte"
    [event] = events("account.changed")
    assert (event.account_id, event.actor, event.details) == (account.id, OPERATOR, {"change": "unlocked"})


def test_passkeys_are_removed_with_a_reason_and_the_person_is_told(
    act: Run, app: Flask, build: Build, events: Events
) -> None:
    account, browser = build.active(), app.test_client()
    key = owner(app, account)
    assert json.loads(act("account", "show", account.username, "--json").out)["passkeys"] == 1
    removal = ("account", "remove-passkeys", account.username)
    assert act(*removal).code == 2, "a reason is asked for"
    assert act(*removal, "--reason", "téléphone volé").out == f"{account.username}: 1 passkey removed\n"
    assert living(account) == 0, "who signed in by the stolen phone is out"
    again = act(*removal, "--reason", "téléphone volé")
    assert (again.code, again.err) == (1, f"Error: {account.username} has no passkey\n")
    _, event = events("passkey.changed")
    details = {"change": "removed", "by": "operator", "count": 1, "reason": "téléphone volé"}
    assert (event.actor, event.details) == (OPERATOR, details)
    assert [notice for notice, _ in read_notices(account)] == ["cle_ajoutee", "cle_retiree"]
    assert sign_in_by_key(browser, key).status_code == 200, "it opens nothing"
    page = text_of(follow(browser, sign_in(browser, "/connexion", account.username, PASSWORD)))
    assert "Gérer mon compte" in page
    assert "L’équipe du service a retiré vos clés d’accès" in text_of(browser.get("/mon-compte/sessions"))


def test_disable_ends_all_access_and_enable_reopens_the_account(
    act: Run, app: Flask, build: Build, browser: FlaskClient, events: Events
) -> None:
    ent = build.ent(scopes=OFFLINE)
    account = build.active()
    sign_in(browser, "/connexion", account.username, PASSWORD)
    tokens = tokens_for(browser, ent, scope=OFFLINE)
    answer = act("account", "disable", account.username)
    assert (answer.code, answer.out) == (0, f"{account.username} is disabled, 1 session ended\n")
    assert waiting(SESSIONS_ENDED)
    assert follow(browser, browser.get("/mon-compte")).request.path == "/connexion"
    stranger = app.test_client()
    assert heading(sign_in(stranger, "/connexion", account.username, PASSWORD)) == "Connexion"
    assert act("account", "disable", account.username).err == f"Error: {account.username} is disabled already\n"

    assert act("account", "enable", account.username).out == f"{account.username} is enabled\n"
    again = act("account", "enable", account.username)
    assert (again.code, again.err) == (1, f"Error: {account.username} is not disabled\n")
    assert ent.userinfo(browser, tokens["access_token"]).status_code == 401
    assert ent.refresh(browser, tokens["refresh_token"]).status_code == 400
    assert follow(browser, browser.get("/mon-compte")).request.path == "/connexion"
    assert heading(sign_in(stranger, "/connexion", account.username, PASSWORD)) == "Gérer mon compte"
    assert [event.details["change"] for event in events("account.changed")] == ["disabled", "enabled"]


def test_enable_refuses_a_merged_account(act: Run, build: Build) -> None:
    other = build.active()
    account = build.never_activated(disabled_at=now(), merged_into_id=other.id)
    answer = act("account", "enable", account.username)
    assert (answer.code, answer.out) == (1, "")
    assert "was merged into another account" in answer.err
    assert reload_account(account).disabled_at is not None


def test_end_sessions_ends_them_here_and_in_the_ents(
    act: Run, app: Flask, build: Build, browser: FlaskClient, events: Events
) -> None:
    account = build.active()
    for client in (browser, app.test_client()):
        sign_in(client, "/connexion", account.username, PASSWORD)
    answer = act("account", "end-sessions", account.username, "--school", COLLEGE)
    assert (answer.code, answer.out) == (0, f"{account.username}: 2 sessions ended\n")
    assert living(account) == 0
    assert len(waiting(SESSIONS_ENDED)) == 1
    assert [(e.actor, e.details) for e in events("sessions.ended")] == [(OPERATOR, {"count": 2, "by": "operator"})]
    assert act("account", "end-sessions", account.username).out == f"{account.username}: 0 sessions ended\n"
    assert heading(sign_in(browser, "/connexion", account.username, PASSWORD)) == "Gérer mon compte"


@pytest.mark.row("K-03")
def test_an_operator_sends_the_reset_mail_without_seeing_a_password(
    act: Run, bare: Run, build: Build, browser: FlaskClient
) -> None:
    account = build.active()
    before = reload_account(account).password_hash
    sign_in(browser, "/connexion", account.username, PASSWORD)
    answer = act("account", "force-password-change", account.username)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == "1 password blocked, 1 session ended, 0 left as is\n"
    assert (reload_account(account).password_hash, living(account), waiting(RESET_REQUESTED)) == (before, 0, [])
    page = sign_in(browser, "/connexion", account.username, PASSWORD)
    assert living(account) == 0
    assert heading(page) != "Gérer mon compte"
    assert [payload["account"] for payload in waiting(RESET_REQUESTED)] == [str(account.id)]
    for command in (*ACTS, "force-password-change", "find"):
        options = bare("account", command, "--help").out.partition("Options:")[2]
        assert "--password" not in options
        assert "--email" not in options


def test_force_password_change_explains_each_skipped_account(act: Run, build: Build) -> None:
    contested = build.active(contested_at=now(), password_blocked_at=now())
    letter, blocked = build.never_activated(), build.active(password_blocked_at=now())
    disputed = build.never_activated(children=[build.child("Ana")])
    disputed.guardianships[0].disputed_at = now()
    db.session.commit()
    names = [account.username for account in (contested, letter, blocked, disputed)]
    answer = act("account", "force-password-change", *names)
    assert (answer.code, answer.out) == (0, "0 passwords blocked, 0 sessions ended, 4 left as is\n")
    reasons = ("two addresses claim it", "it was never activated", "is blocked already", "a tie to a child is disputed")
    for name, reason, line in zip(names, reasons, answer.err.splitlines(), strict=True):
        assert line.startswith(f"{name} is left as is: ")
        assert reason in line


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
    answer = act("account", "force-password-change", "--school", COLLEGE, "--json")
    assert json.loads(answer.out) == {"blocked": 6, "sessions_ended": 1, "without_address": 1, "untouched": 1}
    assert all(reload_account(account).password_blocked_at is not None for account in inside)
    assert (living(inside[0]), stored(inside[0])) == (0, [])
    assert (living(elsewhere), len(stored(elsewhere))) == (1, 1)
    assert read_notices(inside[0])[-1] == ("cle_retiree", ""), "the person is told that the passkey opens nothing"
    for other in (letter, elsewhere):
        assert (reload_account(other).password_blocked_at, reload_account(other).generation) == (None, other.generation)
    assert {(event.account_id, event.actor) for event in events("account.changed")} == {
        (account.id, OPERATOR) for account in inside
    }
    again = json.loads(act("account", "force-password-change", "--school", COLLEGE, "--json").out)
    assert again == {"blocked": 0, "sessions_ended": 0, "without_address": 0, "untouched": 7}


def test_a_force_password_change_that_is_killed_has_journaled_what_it_blocked(
    act: Run, build: Build, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("idp.operations.batches.ROWS", 2)
    child = build.child()
    accounts = [build.active(children=[child]) for _ in range(5)]
    run, batches = retry_unit_of_work, iter([True])
    with monkeypatch.context() as killed:
        killed.setattr(acts, "retry_unit_of_work", lambda work: run(work) if next(batches, False) else sys.exit(9))
        assert act("account", "force-password-change", "--school", COLLEGE).code == 9
    assert [reload_account(account).password_blocked_at is None for account in accounts].count(False) == 2
    assert [event.details for event in events("desk.passwords_forced")] == [{"uai": COLLEGE, "count": 2}]
    act("account", "force-password-change", "--school", COLLEGE)
    assert [event.details["count"] for event in events("desk.passwords_forced")] == [2, 2, 1]


def test_force_password_change_of_all_accounts_asks_for_confirmation(
    act: Run, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("idp.operations.batches.ROWS", 2)
    child = build.child()
    accounts = [build.active(children=[child]) for _ in range(5)]
    disabled = build.active(children=[], disabled_at=now())
    changed_at = reload_account(accounts[0]).updated_at
    refusal = act("account", "force-password-change", "--all")  # nobody answers
    assert (refusal.code, refusal.out) == (1, "")
    assert "Block the passwords of 6 accounts?" in refusal.err
    assert not any(reload_account(account).password_blocked_at for account in accounts)
    answer = act("account", "force-password-change", "--all", "--yes")
    assert answer.out == "6 passwords blocked, 0 sessions ended, 0 left as is\n"
    assert all(reload_account(account).password_blocked_at for account in [*accounts, disabled])
    assert reload_account(accounts[0]).updated_at == changed_at, "ENTs see no change of the person"


def test_an_unknown_identifier_cancels_the_whole_command(act: Run, build: Build) -> None:
    account = build.active()
    answer = act("account", "force-password-change", account.username, "n.personne1")
    assert (answer.code, answer.out, answer.err) == (1, "", "Error: no account n.personne1\n")
    assert reload_account(account).password_blocked_at is None


def refuse_the_journal() -> None:
    """Make the journal unwritable, as a full disk would."""
    with db.engine.begin() as connection:
        connection.execute(text("ALTER TABLE audit RENAME TO gone"))
        if db.engine.dialect.name == "postgresql":
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
@pytest.mark.parametrize("command", ["disable", "unlock", "end-sessions", "force-password-change", "show", "find"])
def test_a_change_is_rolled_back_when_the_journal_fails(
    act: Run, build: Build, browser: FlaskClient, command: str
) -> None:
    account = build.active()
    sign_in(browser, "/connexion", account.username, PASSWORD)
    refuse_the_journal()
    answer = act("account", command, account.username)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("Error: the database cannot be used (OperationalError)")
    after = reload_account(account)
    assert (after.disabled_at, after.password_blocked_at) == (None, None)
    assert after.tries_forgotten_at is None
    assert living(account) == 1


@pytest.mark.row("O-05")
def test_a_sign_in_opens_no_session_when_the_journal_fails(build: Build, browser: FlaskClient) -> None:
    account = build.active()
    refuse_the_journal()
    page = sign_in(browser, "/connexion", account.username, PASSWORD)
    assert (page.status_code, page.headers["Retry-After"]) == (503, "5")
    assert living(account) == 0


def test_unlock_lists_the_notices_that_it_settles(act: Run, build: Build) -> None:
    account = build.active()
    for kind in (Kind.EMAIL_CHANGE_STOPPED, Kind.SHARED_MAILBOX):
        school_notices.add(kind, account.id, [build.school().id])
    db.session.commit()
    answer = act("account", "unlock", account.username)
    [key] = db.session.scalars(select(SchoolNotice.id).where(SchoolNotice.settled_at.is_not(None)))
    assert answer.out.splitlines()[1:] == [f"notice {key} (email_change_stopped) is settled: unlocked"]
    assert len(act("account", "unlock", account.username).out.splitlines()) == 1
