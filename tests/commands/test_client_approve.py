"""`idp client approve`, and the bounds of `idp client invite`."""

import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.commands.conftest import Run
from tests.commands.test_client import show
from tests.protocol.registering import MINIMAL, register, registered, replaced

NEW = "https://ailleurs.test/cb"


def invited(act: Run, *options: str) -> dict[str, Any]:
    made = act("client", "invite", "--uai", "0599001N", *options, "--json")
    assert made.code == 0, made.err
    row: dict[str, Any] = json.loads(made.out)
    return row


@pytest.fixture
def told(act: Run, browser: FlaskClient) -> dict[str, Any]:
    """A client with a new redirect host that is not approved yet."""
    told = registered(browser, invited(act)["initial_access_token"])
    assert replaced(browser, told, redirect_uris=[NEW]).status_code == 200
    return told


def test_what_waits_is_shown_and_approved(act: Run, told: dict[str, Any]) -> None:
    client_id = told["client_id"]
    assert f"{client_id}  Nouveau  (a change waits for approval)" in act("client", "list").out.splitlines()
    row = show(act, client_id)
    assert row["pending_metadata"] == {**MINIMAL, "redirect_uris": [NEW]}
    assert row["pending_since"]
    assert row["pending_hosts"] == ["ailleurs.test"]
    shown = act("client", "show", client_id)
    assert f"redirect_uris={NEW}" in shown.out
    approval = f"a change waits for new hosts, ailleurs.test: idp client approve {client_id} --host ailleurs.test"
    assert approval in shown.err
    assert row["redirect_uris"] == MINIMAL["redirect_uris"]
    wrong = act("client", "approve", client_id, "--host", "autre.test")
    assert (wrong.code, wrong.out) == (1, "")
    assert wrong.err == "Error: the new hosts are ailleurs.test: nothing was approved\n"
    done = act("client", "approve", client_id, "--host", "ailleurs.test", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["redirect_uris"] == [NEW]
    assert done.err == f"note: no longer registered: --redirect-uri {MINIMAL['redirect_uris'][0]}\n"
    after = show(act, client_id)
    assert (after["pending_metadata"], after["pending_since"]) == (None, None)
    assert after["sector"] == row["sector"] == "nouveau.test"
    assert "(a change waits" not in act("client", "list").out


def test_what_waits_is_rejected(act: Run, told: dict[str, Any]) -> None:
    before = show(act, told["client_id"])
    assert act("client", "approve", told["client_id"], "--reject", "--host", "ailleurs.test").code == 2
    assert act("client", "approve", told["client_id"], "--reject").code == 0
    none_waits = {"pending_metadata": None, "pending_since": None, "pending_hosts": None}
    assert show(act, told["client_id"]) == before | none_waits
    again = act("client", "approve", told["client_id"])
    assert (again.code, again.err) == (1, "Error: Nouveau: no change waits for approval\n")
    assert act("client", "approve", "nobody").code == 1


def test_who_shares_the_sector_is_said(act: Run, told: dict[str, Any]) -> None:
    made = act("client", "add", "Voisin", "--uai", "0599001N", "--redirect-uri", "https://nouveau.test/autre", "--json")
    neighbour = json.loads(made.out)["client_id"]
    said = f"({neighbour}) is in the sector nouveau.test too: both know a person by the same sub"
    assert said in act("client", "show", told["client_id"]).err, "before anybody decides"
    assert said in act("client", "approve", told["client_id"]).err
    assert said not in act("client", "show", told["client_id"]).err


def test_an_invitation_binds_what_its_options_say(act: Run, browser: FlaskClient) -> None:
    options = ("--host", "nouveau.test", "--subject", "public", "--auth-method", "client_secret_post", "--no-pkce")
    made = invited(act, *options, "--reusable", "3")
    bounds = {"hosts": ["nouveau.test"], "subject": "public", "auth_method": "client_secret_post"}
    assert (bounds | {"pkce_required": False, "uses_left": 3}).items() <= made.items()
    assert ", 3 uses left" in act("client", "invites").out
    told = registered(browser, made["initial_access_token"])
    assert (told["subject_type"], told["token_endpoint_auth_method"]) == ("public", "client_secret_post")
    row = show(act, told["client_id"])
    assert row["pkce_required"] is False
    assert row["bounds"]["hosts"] == ["nouveau.test"]
    assert register(browser, made["initial_access_token"], client_uri="https://autre.test/").status_code == 400
    assert show(act, told["client_id"])["registration_used_at"]


def test_an_operator_s_change_moves_the_bounds_along(act: Run, browser: FlaskClient) -> None:
    options = ("--host", "nouveau.test", "--auth-method", "client_secret_basic")
    told = registered(browser, invited(act, *options)["initial_access_token"])
    act("client", "set", told["client_id"], "--auth-method", "client_secret_post", "--home-uri", "https://autre.test/")
    answer = replaced(browser, told, client_uri="https://autre.test/")
    assert answer.status_code == 200, answer.text
    assert answer.get_json()["token_endpoint_auth_method"] == "client_secret_post"


@pytest.mark.parametrize(
    "wrong",
    [
        ("--host", "https://nouveau.test"),
        ("--host", "nouveau.test:8443"),
        ("--host", "Nouveau.test"),
        ("--host", ""),
        ("--subject", "aaf"),
        ("--auth-method", "client_secret_jwt"),
        ("--auth-method", "none", "--no-pkce"),
    ],
)
def test_an_invitation_with_wrong_bounds_is_refused(act: Run, wrong: tuple[str, ...]) -> None:
    usage = wrong[0] == "--subject"  # a wrong choice, refused by the command line parser
    assert act("client", "invite", "--uai", "0599001N", *wrong).code == (2 if usage else 1)
    assert act("client", "invite", "--reusable", "0").code == 2
