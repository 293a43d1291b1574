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
    answer = act("client", "invite", "--uai", "0599001N", *options, "--json")
    assert answer.code == 0, answer.err
    row: dict[str, Any] = json.loads(answer.out)
    return row


@pytest.fixture
def waiting_client(act: Run, browser: FlaskClient) -> dict[str, Any]:
    """A client with a new redirect host that is not approved yet."""
    client = registered(browser, invited(act)["initial_access_token"])
    assert replaced(browser, client, redirect_uris=[NEW]).status_code == 200
    return client


def test_a_pending_change_is_shown_and_approved(act: Run, waiting_client: dict[str, Any]) -> None:
    client_id = waiting_client["client_id"]
    assert f"{client_id}  Nouveau  (a change waits for approval)" in act("client", "list").out.splitlines()
    row = show(act, client_id)
    assert row["pending_metadata"] == {"redirect_uris": [NEW]}
    assert row["pending_since"]
    assert row["pending_hosts"] == ["redirect_uris=ailleurs.test"]
    shown = act("client", "show", client_id)
    assert f"redirect_uris={NEW}" in shown.out
    named = "redirect_uris=ailleurs.test"
    assert f"a change waits for new hosts, {named}: idp client approve {client_id} --host {named}" in shown.err
    assert row["redirect_uris"] == MINIMAL["redirect_uris"]
    for wrong in ("redirect_uris=autre.test", "ailleurs.test", "home_uri=ailleurs.test"):
        answer = act("client", "approve", client_id, "--host", wrong)
        assert (answer.code, answer.out) == (1, "")
        assert answer.err == f"Error: the new hosts are {named}: nothing was approved\n"
    done = act("client", "approve", client_id, "--host", named, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["redirect_uris"] == [NEW]
    assert done.err == f"note: no longer registered: --redirect-uri {MINIMAL['redirect_uris'][0]}\n"
    after = show(act, client_id)
    assert (after["pending_metadata"], after["pending_since"]) == (None, None)
    assert after["sector"] == row["sector"] == "nouveau.test"
    assert "(a change waits" not in act("client", "list").out


def test_a_pending_change_is_rejected(act: Run, waiting_client: dict[str, Any]) -> None:
    before = show(act, waiting_client["client_id"])
    assert act("client", "approve", waiting_client["client_id"], "--reject", "--host", "ailleurs.test").code == 2
    assert act("client", "approve", waiting_client["client_id"], "--reject").code == 0
    none_waits = {"pending_metadata": None, "pending_since": None, "pending_hosts": None}
    assert show(act, waiting_client["client_id"]) == before | none_waits
    again = act("client", "approve", waiting_client["client_id"])
    assert (again.code, again.err) == (1, "Error: Nouveau: no change waits for approval\n")
    assert act("client", "approve", "nobody").code == 1


def test_a_client_of_the_same_sector_prints_a_note(act: Run, waiting_client: dict[str, Any]) -> None:
    answer = act(
        "client", "add", "Voisin", "--uai", "0599001N", "--redirect-uri", "https://nouveau.test/autre", "--json"
    )
    neighbour = json.loads(answer.out)["client_id"]
    note = f"({neighbour}) is in the sector nouveau.test too: both know a person by the same sub"
    assert note in act("client", "show", waiting_client["client_id"]).err, "before anybody decides"
    assert note in act("client", "approve", waiting_client["client_id"]).err
    assert note not in act("client", "show", waiting_client["client_id"]).err


def test_an_invitation_limits_the_registration_to_its_options(act: Run, browser: FlaskClient) -> None:
    options = ("--host", "nouveau.test", "--subject", "public", "--auth-method", "client_secret_post", "--no-pkce")
    invitation = invited(act, *options, "--release-username", "--reusable", "3")
    bounds = {"hosts": ["nouveau.test"], "subject": "public", "auth_method": "client_secret_post"}
    assert (bounds | {"pkce_required": False, "release_username": True, "uses_left": 3}).items() <= invitation.items()
    assert ", 3 uses left" in act("client", "invites").out
    client = registered(browser, invitation["initial_access_token"])
    assert (client["subject_type"], client["token_endpoint_auth_method"]) == ("public", "client_secret_post")
    row = show(act, client["client_id"])
    assert (row["pkce_required"], row["release_username"]) == (False, True)
    assert row["bounds"]["hosts"] == ["nouveau.test"]
    assert register(browser, invitation["initial_access_token"], client_uri="https://autre.test/").status_code == 400
    assert show(act, client["client_id"])["registration_used_at"]


def test_a_change_by_an_operator_updates_the_limits(act: Run, browser: FlaskClient) -> None:
    options = ("--host", "nouveau.test", "--auth-method", "client_secret_basic")
    client = registered(browser, invited(act, *options)["initial_access_token"])
    act(
        "client", "set", client["client_id"], "--auth-method", "client_secret_post", "--home-uri", "https://autre.test/"
    )
    answer = replaced(browser, client, client_uri="https://autre.test/")
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
def test_an_invitation_with_invalid_limits_is_refused(act: Run, wrong: tuple[str, ...]) -> None:
    usage = wrong[0] == "--subject"  # a wrong choice, refused by the command line parser
    assert act("client", "invite", "--uai", "0599001N", *wrong).code == (2 if usage else 1)
    assert act("client", "invite", "--reusable", "0").code == 2
