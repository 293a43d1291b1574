"""`idp account show`, `find`, `claims`: their output, without data of other schools (K-03, K-04, K-06, O-03, T-19)."""

import json
from datetime import timedelta

import pytest
from flask.testing import FlaskClient

from idp.accounts.credentials import PasswordState
from idp.accounts.models import Account, Merge, RemovalWarning, SchoolNotice
from idp.clock import now
from idp.db import db
from tests.builders import COLLEGE, LYCEE, PASSWORD, Build
from tests.closed import dispute
from tests.commands.accounts import ACTS, OPERATOR, living, reload_account, wrong_tries
from tests.commands.conftest import Answer, Events, Run, check_refusal, read_json
from tests.commands.remains import DAY, keep
from tests.pages import sign_in


def test_show_prints_help_desk_details_without_secrets(act: Run, build: Build, browser: FlaskClient) -> None:
    account = build.active(children=[build.child(), build.child("Lila", uai=LYCEE)])
    sign_in(browser, "/connexion", account.username, PASSWORD)
    wrong_tries(account.username)
    keep(SchoolNotice(school_id=build.school().id, account_id=account.id, kind="letter_doubt"))
    row = read_json(act, "account", "show", account.username.upper().replace(".", "․"))  # as it is read, in capitals
    expected = {"username": account.username, "state": "active", "schools": [COLLEGE, LYCEE], "open_sessions": 1}
    assert (expected | {"email": "n…y@exemple.fr"}).items() <= row.items()
    assert 0 < row["wait_seconds"] <= 5
    lila = {"given_name": "Lila", "family_name": "LEROY", "class": "6e 1", "uai": LYCEE, "school": "Lycée Louise-Weber"}
    assert row["children"][1] == lila
    text = act("account", "show", account.username).out
    assert f"\nnotices: {row['notices'][0]['id']}, letter_doubt, " in text
    for secret in ("argon2", "noemie.leroy@", PASSWORD):
        assert secret not in text + json.dumps(row)


def _disputed(account: Account) -> Account:
    dispute(account.id)
    db.session.commit()
    return account


def test_show_names_every_state(act: Run, build: Build) -> None:
    past = now() - timedelta(days=1)
    main = build.active()
    states = {
        build.never_activated(): "never activated, letter valid",
        build.never_activated(provisional_expires_at=past): "never activated, letter expired",
        build.never_activated(provisional_hash=None, provisional_expires_at=past): "never activated, letter expired",
        build.never_activated(provisional_hash=None, provisional_expires_at=None): "never activated, no letter",
        build.active(email=None, pending_email="n@exemple.fr"): "active, address not confirmed",
        build.active(email=None): "active, no address",
        build.active(
            password_state=PasswordState.BLOCKED, contested_at=past
        ): "active, address contested, password blocked",
        build.never_activated(contested_at=past): "never activated, letter valid, address contested",
        _disputed(build.never_activated(provisional_hash=None, provisional_expires_at=None)): (
            "never activated, no letter, disputed"
        ),
        build.active(
            activated_at=past - DAY, removal_warning=RemovalWarning(warned_at=past)
        ): "active, warned of its removal",
        build.active(disabled_at=past, password_state=PasswordState.BLOCKED): "disabled, replaced",
        build.never_activated(disabled_at=past, merge=Merge(into_id=main.id)): "merged into another account",
    }
    for account, state in states.items():
        assert read_json(act, "account", "show", account.username)["state"] == state
    assert read_json(act, "account", "show", list(states)[-1].username)["merged_into"] == main.username
    assert act("account", "show", main.username).out.startswith(f"username: {main.username}\nname: Mme Noémie")


def test_find_matches_identifier_name_email_and_school(act: Run, build: Build) -> None:
    noemie = build.active()
    elif_ = build.never_activated(
        given_name="Elif", family_name="ÖZTÜRK", school_email="Elif.O@exemple.fr", children=[build.child(uai=LYCEE)]
    )
    waits = build.active(given_name="Zoé", email=None, pending_email="zoe@exemple.fr", birth_name="L’Hénaff")

    def names(*arguments: str) -> list[str]:
        return [row["username"] for row in json.loads(act("account", "find", *arguments, "--json").out)]

    assert names(noemie.username) == [noemie.username]
    assert names(noemie.username[:-1].upper()) == sorted(
        account.username for account in (noemie, elif_, waits) if account.username.startswith(noemie.username[:-1])
    )
    assert names("öztürk") == names("ozturk elif") == names("OZTURK") == [elif_.username]
    assert names("noemie leroy") == [noemie.username]
    assert names("lhenaff") == [waits.username]
    assert names("l'henaff") == [waits.username]
    assert names("elif.o@EXEMPLE.fr") == [elif_.username]
    assert names("zoe@exemple.fr") == [waits.username]
    assert names("--school", LYCEE) == [elif_.username]
    assert names("noemie", "--school", LYCEE) == []
    assert names("nobody at all") == names("%") == names("x" * 5000) == []
    empty = act("account", "find", "nobody at all")
    assert (empty.code, empty.out, empty.err) == (0, "", "no account matches\n")
    table = act("account", "find", "LEROY", "--limit", "1")
    assert (len(table.out.splitlines()), "@" in table.out) == (2, False)
    assert "the first 1 are shown" in table.err


@pytest.mark.row("O-03")
def test_the_journal_records_each_account_read(act: Run, build: Build, events: Events) -> None:
    account = build.active()
    act("account", "show", account.username)
    act("account", "find", account.username, "--school", COLLEGE)
    assert [(e.account_id, e.actor, e.result, e.details) for e in events("account.read")] == [
        (account.id, OPERATOR, "ok", {"school": ""}),
        (account.id, OPERATOR, "ok", {"school": COLLEGE}),
    ]


@pytest.mark.row("K-04")
@pytest.mark.parametrize("command", [("show",), ("enable",), ("claims", "--set", "nickname=Nono")])
def test_an_account_of_another_school_does_not_exist(
    act: Run, build: Build, events: Events, browser: FlaskClient, command: tuple[str, ...]
) -> None:
    build.school(LYCEE)
    account = build.active()
    sign_in(browser, "/connexion", account.username, PASSWORD)
    name, *more = command
    refused = act("account", name, account.username, "--school", LYCEE, *more)
    assert refused == Answer(1, "", f"Error: no account {account.username}\n")
    after = reload_account(account)
    assert (after.generation, after.more_claims, living(account)) == (1, {}, 1)
    [event] = events("account.read")
    assert (event.account_id, event.result, event.actor) == (account.id, "refused", OPERATOR)
    assert event.details == {"school": LYCEE}


@pytest.mark.row("K-04")
def test_each_school_sees_only_its_own_part_of_a_family(act: Run, build: Build) -> None:
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


@pytest.mark.row("K-04")
@pytest.mark.parametrize("command", ACTS)
def test_an_unknown_account_or_school_is_a_one_line_error(act: Run, build: Build, command: str) -> None:
    check_refusal(act("account", command, build.active().username, "--school", "0599999Z"), "no school 0599999Z")
    for username in ("n.personne1", "a@b.fr", "\x1b[31mred", "x" * 100, "3ecb5d39-ee22-49e6-8237-3b8aec173744"):
        answer = act("account", command, username)
        check_refusal(answer, "Error: no account ")
        assert "\x1b" not in answer.err


def test_claims_are_set_shown_and_removed(act: Run, build: Build) -> None:
    account = build.active()
    claims = ("account", "claims", account.username)
    some = ("--set", "nickname=Nono = moi", "--set", "address.locality=Rivebelle", "--set", "phone_number=+33199001234")
    lines = act(*claims, *some, "--set", "phone_number_verified=true").out.splitlines()
    assert {"nickname: Nono = moi", "address.locality: Rivebelle", "phone_number_verified: true"} < set(lines)
    expected = {
        "address": {"locality": "Rivebelle"},
        "nickname": "Nono = moi",
        "phone_number": "+33199001234",
        "phone_number_verified": True,
    }
    assert read_json(act, *claims) == reload_account(account).more_claims == expected
    left = read_json(act, *claims, "--unset", "phone_number", "--unset", "address")
    assert left == reload_account(account).more_claims == {"nickname": "Nono = moi"}
    assert act(*claims, "--unset", "nickname").out == ""


@pytest.mark.row("O-03")
def test_the_journal_holds_claim_names_without_values(act: Run, build: Build, events: Events) -> None:
    account = build.active()
    for options in (("--set", "nickname=Nono", "--set", "birthdate=1984-02-29"), ("--unset", "nickname")):
        act("account", "claims", account.username, *options)
    act("account", "claims", account.username, "--school", COLLEGE)
    assert [(entry.account_id, entry.actor, entry.details["change"]) for entry in events("account.changed")] == [
        (account.id, OPERATOR, "claims +nickname +birthdate"),
        (account.id, OPERATOR, "claims -nickname"),
    ]
    assert [(read.account_id, read.details["school"]) for read in events("account.read")] == [(account.id, COLLEGE)]


@pytest.mark.row("T-19")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "sub=x"), "sub cannot be set: only middle_name, "),
        (("--set", "email=a@exemple.fr"), "email cannot be set"),
        (("--set", "iss=https://evil.test"), "iss cannot be set"),
        (("--set", "birthdate=29/02/1984"), "birthdate: must be YYYY-MM-DD"),
        (("--set", "nickname=Nono", "--set", "zoneinfo=Paris"), "zoneinfo: must be a time zone"),
        (("--set", "phone_number_verified=true"), "needs phone_number"),
        (("--unset", "family_name"), "family_name cannot be set"),
        (("--unset", "\x1b[2J"), "\\x1b[2J cannot be set"),
    ],
)
def test_a_refused_claim_is_a_one_line_error_and_changes_nothing(
    act: Run, build: Build, events: Events, arguments: tuple[str, ...], message: str
) -> None:
    account = build.active()
    check_refusal(act("account", "claims", account.username, *arguments), message)
    assert reload_account(account).more_claims == {}
    assert events("account.changed") == []


def test_updated_at_moves_only_when_a_claim_changes(act: Run, build: Build) -> None:
    account = build.active(updated_at=now() - timedelta(days=2))
    moments = []
    for _ in range(2):
        act("account", "claims", account.username, "--set", "nickname=Nono")
        moments.append(reload_account(account).updated_at)
    assert moments[0] == moments[1] > now() - timedelta(days=1)
