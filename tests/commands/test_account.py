"""`idp account`: K-03, K-04, O-03, O-05, and what an operator sees."""

import getpass
import json
import os
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, text

from idp.accounts.models import Account, SchoolNotice
from idp.accounts.notices import RESET_WANTED
from idp.clock import now
from idp.db import db
from idp.outbox.models import OutboxMessage
from idp.sessions.manager import SESSIONS_ENDED
from idp.sessions.models import Session
from idp.throttle import guard, limits
from tests.builders import COLLEGE, LYCEE, PASSWORD, Build
from tests.commands.conftest import Events, Run
from tests.pages import follow, heading, sign_in
from tests.protocol.flow import OFFLINE, tokens_for

OPERATOR = getpass.getuser()
ACTS = ("show", "unlock", "disable", "enable", "end-sessions")


def living(account: Account) -> int:
    """How many sessions of the account open something."""
    rows = db.session.scalars(
        select(Session.id)
        .join(Account, Account.id == Session.account_id)
        .where(
            Session.account_id == account.id,
            Session.ended_at.is_(None),
            Session.generation == Account.generation,
            Account.disabled_at.is_(None),
        )
    ).all()
    db.session.rollback()
    return len(rows)


def kept(account: Account) -> Account:
    found = db.session.get_one(Account, account.id, populate_existing=True)
    db.session.rollback()
    return found


def waiting(kind: str) -> list[dict[str, object]]:
    found = list(db.session.scalars(select(OutboxMessage.payload).where(OutboxMessage.kind == kind)))
    db.session.rollback()
    return found


def wrong_tries(username: str) -> None:
    """Use up the free tries of an identifier."""
    db.session.rollback()
    for _ in range(5):
        guard.take(limits.SIGN_IN_ACCOUNT, username)


def shown(act: Run, *arguments: str) -> dict[str, object]:
    answer = act("account", "show", *arguments, "--json")
    assert (answer.code, answer.err) == (0, "")
    found: dict[str, object] = json.loads(answer.out)
    return found


def test_show_says_what_a_help_desk_needs_and_no_secret(
    act: Run, build: Build, browser: FlaskClient, app: Flask
) -> None:
    account = build.active(children=[build.child(), build.child("Lila", uai=LYCEE)])
    sign_in(browser, "/connexion", account.username, PASSWORD)
    wrong_tries(account.username)
    db.session.add(SchoolNotice(school_id=build.school().id, account_id=account.id, kind="letter_doubt"))
    db.session.commit()
    found = shown(act, account.username.upper().replace(".", "․"))  # typed as it is read, in capitals
    assert found["username"] == account.username
    assert found["state"] == "active"
    assert found["schools"] == [COLLEGE, LYCEE]
    assert found["email"] == "n…y@exemple.fr"
    assert (found["open_sessions"], found["last_sign_in_at"] is not None) == (1, True)
    assert 0 < int(str(found["wait_seconds"])) <= 5
    assert found["children"][1] == {  # type: ignore[index]
        "given_name": "Lila",
        "family_name": "LEROY",
        "class": "6e 1",
        "uai": LYCEE,
        "school": "Lycée Louise-Weber",
    }
    assert [notice["kind"] for notice in found["notices"]] == ["letter_doubt"]  # type: ignore[attr-defined]
    for text_or_json in (act("account", "show", account.username).out, json.dumps(found)):
        assert "argon2" not in text_or_json
        assert "noemie.leroy@" not in text_or_json
        assert PASSWORD not in text_or_json


def test_show_names_every_state(act: Run, build: Build) -> None:
    past, ahead = now() - timedelta(days=1), now() + timedelta(hours=70)
    main = build.active()
    states = {
        build.never_activated(): "never activated, letter valid",
        build.never_activated(provisional_expires_at=past): "never activated, letter expired",
        build.never_activated(provisional_hash=None, provisional_expires_at=past): "never activated, letter expired",
        build.never_activated(provisional_hash=None, provisional_expires_at=None): "never activated, no letter",
        build.active(email=None, pending_email="n@exemple.fr"): "active, address not confirmed",
        build.active(email=None): "active, no address",
        build.active(
            password_blocked_at=past, recovery_frozen_until=ahead
        ): "active, password blocked, recovery frozen",
        build.active(recovery_frozen_until=past): "active",
        build.active(inactive_warned_at=past): "active, warned of its removal",
        build.active(disabled_at=past, password_blocked_at=past): "disabled",
        build.never_activated(disabled_at=past, merged_into_id=main.id): "merged into another account",
    }
    for account, state in states.items():
        assert shown(act, account.username)["state"] == state
    assert shown(act, list(states)[-1].username)["merged_into"] == main.username
    assert act("account", "show", main.username).out.startswith(f"username: {main.username}\nname: Mme Noémie")


def test_find_by_identifier_name_address_and_school(act: Run, build: Build) -> None:
    noemie = build.active()
    elif_ = build.never_activated(
        given_name="Elif", family_name="ÖZTÜRK", school_email="Elif.O@exemple.fr", children=[build.child(uai=LYCEE)]
    )
    waits = build.active(given_name="Zoé", email=None, pending_email="zoe@exemple.fr", birth_name="L’Hénaff")

    def names(*arguments: str) -> list[str]:
        return [row["username"] for row in json.loads(act("account", "find", *arguments, "--json").out)]

    assert names(noemie.username) == [noemie.username]
    assert names(noemie.username[:-1].upper()) == sorted(
        one.username for one in (noemie, elif_, waits) if one.username.startswith(noemie.username[:-1])
    )
    assert names("öztürk") == names("ozturk elif") == names("OZTURK") == [elif_.username]
    assert names("noemie leroy") == [noemie.username]
    assert names("lhenaff") == []
    assert names("l'henaff") == [waits.username]
    assert names("elif.o@EXEMPLE.fr") == [elif_.username]
    assert names("zoe@exemple.fr") == [waits.username]
    assert names("--school", LYCEE) == [elif_.username]
    assert names("leroy", "--school", LYCEE) == []
    assert names("nobody at all") == names("%") == names("x" * 5000) == []
    empty = act("account", "find", "nobody at all")
    assert (empty.code, empty.out, empty.err) == (0, "", "no account is like that\n")
    table = act("account", "find", "LEROY", "--limit", "1")
    assert len(table.out.splitlines()) == 2
    assert "the first 1 are shown" in table.err
    assert "@" not in act("account", "find", "LEROY").out


def test_a_search_reads_ranges_and_misses_nobody(act: Run, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("idp.ops.batches.ROWS", 3)
    child = build.child()
    everybody = [build.never_activated(children=[child]).username for _ in range(8)]
    for arguments in ([], ["--school", COLLEGE]):
        found = json.loads(act("account", "find", "leroy", *arguments, "--json").out)
        assert [row["username"] for row in found] == sorted(everybody)


def test_o03_whoever_looks_is_in_the_journal(act: Run, build: Build, events: Events) -> None:
    account = build.active()
    act("account", "show", account.username)
    act("account", "find", account.username, "--school", COLLEGE)
    assert [(e.account_id, e.actor, e.result, e.details) for e in events("account.read")] == [
        (account.id, OPERATOR, "ok", {"school": ""}),
        (account.id, OPERATOR, "ok", {"school": COLLEGE}),
    ]


@pytest.mark.parametrize("command", ACTS)
def test_k04_an_account_of_another_school_does_not_exist(
    act: Run, build: Build, events: Events, browser: FlaskClient, command: str
) -> None:
    build.school(LYCEE)
    account = build.active()
    sign_in(browser, "/connexion", account.username, PASSWORD)
    before = (kept(account).generation, kept(account).disabled_at)
    refused = act("account", command, account.username, "--school", LYCEE)
    unknown = act("account", command, "n.personne1", "--school", LYCEE)
    assert (refused.code, refused.out, refused.err) == (1, "", f"Error: no account {account.username}\n")
    assert unknown.err == "Error: no account n.personne1\n"
    assert (kept(account).generation, kept(account).disabled_at) == before
    assert living(account) == 1
    [event] = events("account.read")
    assert (event.account_id, event.result, event.actor) == (account.id, "refused", OPERATOR)
    assert event.details == {"school": LYCEE}


def test_k04_of_a_family_in_two_schools_each_sees_its_own_part(act: Run, build: Build) -> None:
    account = build.active(children=[build.child("Malo"), build.child("Lila", uai=LYCEE)])
    for uai in (COLLEGE, LYCEE):
        db.session.add(SchoolNotice(school_id=build.school(uai).id, account_id=account.id, kind=f"of {uai}"))
    db.session.commit()
    answer = act("account", "show", account.username, "--school", LYCEE)
    assert "Lila" in answer.out
    assert f"of {LYCEE}" in answer.out
    for other in ("Malo", COLLEGE, "Tilleuls"):
        assert other not in answer.out
    assert "Malo" not in act("account", "find", "--school", LYCEE).out


@pytest.mark.parametrize("command", ACTS)
def test_k04_a_school_that_is_none_is_said(act: Run, build: Build, command: str) -> None:
    account = build.active()
    answer = act("account", command, account.username, "--school", "0599999Z")
    assert (answer.code, answer.out, answer.err) == (1, "", "Error: no school 0599999Z\n")


@pytest.mark.parametrize(
    "username", ["n.personne1", "a@b.fr", "\x1b[31mred", "x" * 100, "3ecb5d39-ee22-49e6-8237-3b8aec173744"]
)
@pytest.mark.parametrize("command", [*ACTS, "force-password-change"])
def test_an_unknown_account_is_one_sentence(act: Run, command: str, username: str) -> None:
    answer = act("account", command, username)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("Error: no account ")
    assert answer.err.count("\n") == 1
    assert "\x1b" not in answer.err


def test_unlock_opens_at_once_and_thaws_the_recovery(
    act: Run, build: Build, browser: FlaskClient, events: Events
) -> None:
    account = build.active(recovery_frozen_until=now() + timedelta(hours=50))
    wrong_tries(account.username)
    assert guard.look(limits.SIGN_IN_ACCOUNT, account.username) > 0
    answer = act("account", "unlock", account.username)
    assert (answer.code, answer.out) == (0, f"{account.username} may try again, on every node within ten seconds\n")
    assert kept(account).recovery_frozen_until is None
    assert heading(sign_in(browser, "/connexion", account.username, PASSWORD)) == "Gérer mon compte"
    [event] = events("account.changed")
    assert (event.account_id, event.actor, event.details) == (account.id, OPERATOR, {"change": "unlocked"})


def test_disable_shuts_everything_for_good_and_enable_opens_the_account_again(
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


def test_enable_leaves_a_merged_account_shut(act: Run, build: Build) -> None:
    other = build.active()
    account = build.never_activated(disabled_at=now(), merged_into_id=other.id)
    answer = act("account", "enable", account.username)
    assert (answer.code, answer.out) == (1, "")
    assert "was merged into another account" in answer.err
    assert kept(account).disabled_at is not None


def test_end_sessions_ends_them_here_and_in_the_ents(
    act: Run, app: Flask, build: Build, browser: FlaskClient, events: Events
) -> None:
    account = build.active()
    for one in (browser, app.test_client()):
        sign_in(one, "/connexion", account.username, PASSWORD)
    answer = act("account", "end-sessions", account.username, "--school", COLLEGE)
    assert (answer.code, answer.out) == (0, f"{account.username}: 2 sessions ended\n")
    assert living(account) == 0
    assert len(waiting(SESSIONS_ENDED)) == 1
    assert [(e.actor, e.details) for e in events("sessions.ended")] == [(OPERATOR, {"count": 2, "by": "operator"})]
    assert act("account", "end-sessions", account.username).out == f"{account.username}: 0 sessions ended\n"
    assert heading(sign_in(browser, "/connexion", account.username, PASSWORD)) == "Gérer mon compte"


def test_k03_an_operator_starts_the_mail_and_never_meets_a_password(
    act: Run, bare: Run, build: Build, browser: FlaskClient
) -> None:
    account = build.active()
    before = kept(account).password_hash
    sign_in(browser, "/connexion", account.username, PASSWORD)
    answer = act("account", "force-password-change", account.username)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == "1 password blocked, 1 session ended, 0 left as is\n"
    assert (kept(account).password_hash, living(account), waiting(RESET_WANTED)) == (before, 0, [])
    page = sign_in(browser, "/connexion", account.username, PASSWORD)
    assert living(account) == 0
    assert heading(page) != "Gérer mon compte"
    assert [wanted["account"] for wanted in waiting(RESET_WANTED)] == [str(account.id)]
    for command in (*ACTS, "force-password-change", "find"):
        options = bare("account", command, "--help").out.partition("Options:")[2]
        assert "--password" not in options
        assert "--email" not in options


def test_force_password_change_of_a_school_leaves_letters_and_other_schools(
    act: Run, app: Flask, build: Build, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("idp.ops.batches.ROWS", 2)
    child = build.child()
    inside = [build.active(children=[child]) for _ in range(5)]
    inside.append(build.active(children=[child], email=None, pending_email="n@exemple.fr"))
    letter = build.never_activated(children=[child])
    elsewhere = build.active(children=[build.child(uai=LYCEE)])
    sign_in(app.test_client(), "/connexion", inside[0].username, PASSWORD)
    sign_in(app.test_client(), "/connexion", elsewhere.username, PASSWORD)
    answer = act("account", "force-password-change", "--school", COLLEGE, "--json")
    assert json.loads(answer.out) == {"blocked": 6, "sessions_ended": 1, "without_address": 1, "untouched": 1}
    assert all(kept(account).password_blocked_at is not None for account in inside)
    assert living(inside[0]) == 0
    assert living(elsewhere) == 1
    for other in (letter, elsewhere):
        assert (kept(other).password_blocked_at, kept(other).generation) == (None, other.generation)
    assert {(event.account_id, event.actor) for event in events("account.changed")} == {
        (account.id, OPERATOR) for account in inside
    }
    again = json.loads(act("account", "force-password-change", "--school", COLLEGE, "--json").out)
    assert again == {"blocked": 0, "sessions_ended": 0, "without_address": 0, "untouched": 7}


def test_force_password_change_of_everybody_asks_first(act: Run, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("idp.ops.batches.ROWS", 2)
    child = build.child()
    accounts = [build.active(children=[child]) for _ in range(5)]
    disabled = build.active(children=[], disabled_at=now())
    changed_at = kept(accounts[0]).updated_at
    asked = act("account", "force-password-change", "--all")  # nobody answers
    assert (asked.code, asked.out) == (1, "")
    assert "Block the passwords of 6 accounts?" in asked.err
    assert not any(kept(account).password_blocked_at for account in accounts)
    answer = act("account", "force-password-change", "--all", "--yes")
    assert answer.out == "6 passwords blocked, 0 sessions ended, 0 left as is\n"
    assert all(kept(account).password_blocked_at for account in [*accounts, disabled])
    assert kept(accounts[0]).updated_at == changed_at, "ENTs see no change of the person"


def test_one_wrong_identifier_and_nobody_is_touched(act: Run, build: Build) -> None:
    account = build.active()
    answer = act("account", "force-password-change", account.username, "n.personne1")
    assert (answer.code, answer.out, answer.err) == (1, "", "Error: no account n.personne1\n")
    assert kept(account).password_blocked_at is None


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


@pytest.mark.parametrize("command", ["disable", "unlock", "end-sessions", "force-password-change", "show", "find"])
def test_o05_what_the_journal_cannot_keep_is_not_done(
    act: Run, build: Build, browser: FlaskClient, command: str
) -> None:
    account = build.active(recovery_frozen_until=now() + timedelta(hours=5))
    sign_in(browser, "/connexion", account.username, PASSWORD)
    refuse_the_journal()
    answer = act("account", command, account.username)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("Error: the database cannot be used (OperationalError)")
    after = kept(account)
    assert (after.disabled_at, after.password_blocked_at) == (None, None)
    assert after.recovery_frozen_until is not None
    assert living(account) == 1


def test_o05_a_sign_in_that_the_journal_cannot_keep_opens_no_session(build: Build, browser: FlaskClient) -> None:
    account = build.active()
    refuse_the_journal()
    page = sign_in(browser, "/connexion", account.username, PASSWORD)
    assert (page.status_code, page.headers["Retry-After"]) == (503, "5")
    assert living(account) == 0


def test_k06_a_database_that_is_away_is_one_sentence(bare: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDP_ENV", "development")
    monkeypatch.setenv("IDP_ISSUER", "http://127.0.0.1:8000")
    monkeypatch.setenv("IDP_DATABASE_URL", "postgresql://idp:dbp4ssword@127.0.0.1:1/idp")
    for command in (["account", "disable", "n.leroy"], ["audit", "show"], ["purge"], ["account", "find", "leroy"]):
        answer = bare(*command)
        assert (answer.code, answer.out, answer.err.count("\n")) == (1, "", 1), command
        assert "dbp4ssword" not in answer.err
    assert os.environ["IDP_DATABASE_URL"]
