"""`idp account claims`: K-03, K-04, O-03, T-19."""

import json
from datetime import timedelta

import pytest
from flask.testing import FlaskClient

from idp.accounts.models import Account
from idp.clock import now
from idp.db import db
from tests.builders import COLLEGE, LYCEE, PASSWORD, Build
from tests.commands.conftest import Events, Run
from tests.pages import sign_in
from tests.protocol.flow import tokens_for


def held(account: Account) -> dict[str, object]:
    claims = dict(db.session.get_one(Account, account.id, populate_existing=True).more_claims)
    db.session.rollback()
    return claims


def test_claims_are_set_shown_and_removed(act: Run, build: Build) -> None:
    account = build.active()
    some = ("--set", "nickname=Nono = moi", "--set", "address.locality=Rivebelle", "--set", "phone_number=+33199001234")
    answer = act("account", "claims", account.username, *some, "--set", "phone_number_verified=true")
    assert (answer.code, answer.err) == (0, "")
    expected = {
        "address": {"locality": "Rivebelle"},
        "nickname": "Nono = moi",
        "phone_number": "+33199001234",
        "phone_number_verified": True,
    }
    assert held(account) == expected
    lines = set(answer.out.splitlines())
    assert {"nickname: Nono = moi", "address.locality: Rivebelle", "phone_number_verified: true"} < lines
    shown = act("account", "claims", account.username.upper(), "--json")
    assert json.loads(shown.out) == expected
    answer = act("account", "claims", account.username, "--unset", "phone_number", "--unset", "address", "--json")
    assert json.loads(answer.out) == held(account) == {"nickname": "Nono = moi"}
    assert act("account", "claims", account.username, "--unset", "nickname").out == ""
    assert held(account) == {}


def test_an_ent_with_the_scopes_receives_the_claims(act: Run, build: Build, browser: FlaskClient) -> None:
    ent, account = build.ent(scopes="openid profile phone"), build.active()
    sign_in(browser, "/connexion", account.username, PASSWORD)
    act("account", "claims", account.username, "--set", "birthdate=1984-02-29", "--set", "phone_number=+33199001234")
    token = tokens_for(browser, ent, scope="openid profile phone")["access_token"]
    info = ent.userinfo(browser, token).get_json()
    assert (info["birthdate"], info["phone_number"], info["phone_number_verified"]) == (
        "1984-02-29",
        "+33199001234",
        False,
    )


@pytest.mark.row("O-03")
def test_the_journal_holds_claim_names_without_values(act: Run, build: Build, events: Events) -> None:
    account = build.active()
    act("account", "claims", account.username, "--set", "nickname=Nono", "--set", "birthdate=1984-02-29")
    act("account", "claims", account.username, "--unset", "nickname")
    act("account", "claims", account.username, "--school", COLLEGE)
    changes = events("account.changed")
    assert [entry.details["change"] for entry in changes] == ["claims +nickname +birthdate", "claims -nickname"]
    assert {entry.account_id for entry in changes} == {account.id}
    assert all(entry.actor for entry in changes)
    [looked] = events("account.read")
    assert (looked.account_id, looked.details["school"]) == (account.id, COLLEGE)


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
    answer = act("account", "claims", account.username, *arguments)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("Error: ")
    assert answer.err.count("\n") == 1
    assert message in answer.err
    assert held(account) == {}
    assert events("account.changed") == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("--set", "nickname"),
        ("--set", "=x"),
        ("--set", "nickname=a", "--set", "nickname=b"),
        ("--set", "nickname=a", "--unset", "nickname"),
    ],
)
def test_malformed_options_are_a_usage_error(act: Run, build: Build, arguments: tuple[str, ...]) -> None:
    account = build.active()
    assert act("account", "claims", account.username, *arguments).code == 2
    assert held(account) == {}


@pytest.mark.row("K-04")
def test_an_account_of_another_school_does_not_exist(act: Run, build: Build, events: Events) -> None:
    account = build.active()
    build.school(LYCEE)
    answer = act("account", "claims", account.username, "--school", LYCEE, "--set", "nickname=Nono")
    assert (answer.code, answer.err) == (1, f"Error: no account {account.username}\n")
    assert held(account) == {}
    [hidden] = events("account.read")
    assert hidden.result == "refused"


def test_updated_at_moves_only_when_a_claim_changes(act: Run, build: Build) -> None:
    account = build.active(updated_at=now() - timedelta(days=2))
    act("account", "claims", account.username, "--set", "nickname=Nono")
    first = db.session.get_one(Account, account.id, populate_existing=True).updated_at
    assert first > now() - timedelta(days=1)
    act("account", "claims", account.username, "--set", "nickname=Nono")
    assert db.session.get_one(Account, account.id, populate_existing=True).updated_at == first
