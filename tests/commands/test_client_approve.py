"""`idp client approve`, `ask`, `accept`, the bounds of `idp client invite`, and the audience of a client."""

import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from idp import opaque
from idp.audit.models import AuditEntry
from idp.clients.models import Client
from idp.db import db
from tests.builders import COLLEGE, LYCEE, Build
from tests.commands.conftest import Run, check_refusal, read_json
from tests.commands.test_client import BASIC, WAY_BACK, add, show
from tests.protocol.registering import MINIMAL, registered, replaced

NEW = "https://ailleurs.test/cb"


def invited(act: Run, *options: str) -> Any:
    return read_json(act, "client", "invite", "--uai", "0599001N", *options)


@pytest.fixture
def waiting_client(act: Run, browser: FlaskClient) -> dict[str, Any]:
    """A client with a new redirect host that is not approved yet."""
    client = registered(browser, invited(act)["initial_access_token"])
    assert replaced(browser, client, redirect_uris=[NEW]).status_code == 200
    return client


def test_a_pending_change_is_shown_and_approved(act: Run, waiting_client: dict[str, Any]) -> None:
    client_id = waiting_client["client_id"]
    assert f"{client_id}  Nouveau  (a change waits for approval)" in act("client", "list").out.splitlines()
    named = "redirect_uris=ailleurs.test"
    row = show(act, client_id)
    assert (row["pending_metadata"], row["pending_hosts"]) == ({"redirect_uris": [NEW]}, [named])
    assert (bool(row["pending_since"]), row["redirect_uris"]) == (True, MINIMAL["redirect_uris"])
    shown = act("client", "show", client_id)
    assert f"redirect_uris={NEW}" in shown.out
    assert f"a change waits for new hosts, {named}: idp client approve {client_id} --host {named}" in shown.err
    for wrong in ("redirect_uris=autre.test", "ailleurs.test", "home_uri=ailleurs.test"):
        answer = act("client", "approve", client_id, "--host", wrong)
        check_refusal(answer, f"Error: the new hosts are {named}: nothing was approved\n")
    done = act("client", "approve", client_id, "--host", named, "--json")
    assert json.loads(done.out)["redirect_uris"] == [NEW]
    assert done.err == f"note: no longer registered: --redirect-uri {MINIMAL['redirect_uris'][0]}\n"
    after = show(act, client_id)
    assert (after["pending_metadata"], after["pending_since"]) == (None, None)
    assert after["sector"] == row["sector"] == "nouveau.test"
    assert "(a change waits" not in act("client", "list").out


@pytest.mark.row("N-03")
def test_an_approved_change_gives_no_scope_that_was_taken_away(act: Run, browser: FlaskClient) -> None:
    client = registered(browser, invited(act)["initial_access_token"])
    client_id = client["client_id"]
    assert replaced(browser, client, redirect_uris=[NEW], scope="openid profile email").status_code == 200
    assert act("client", "set", client_id, "--scopes", "openid profile").code == 0
    assert act("client", "approve", client_id).code == 0
    assert show(act, client_id)["scopes"] == ["openid", "profile"]


def test_a_pending_change_is_rejected(act: Run, waiting_client: dict[str, Any]) -> None:
    client_id = waiting_client["client_id"]
    before = show(act, client_id)
    assert act("client", "approve", client_id, "--reject", "--host", "ailleurs.test").code == 2
    assert act("client", "approve", client_id, "--reject").code == 0
    assert show(act, client_id) == before | dict.fromkeys(("pending_metadata", "pending_since", "pending_hosts"))
    check_refusal(act("client", "approve", client_id), "Error: Nouveau: no change waits for approval\n")
    assert act("client", "approve", "nobody").code == 1


def test_a_client_of_the_same_sector_prints_a_note(act: Run, waiting_client: dict[str, Any]) -> None:
    add = ("client", "add", "Voisin", "--uai", "0599001N", "--redirect-uri", "https://nouveau.test/autre")
    neighbour = read_json(act, *add)["client_id"]
    note = f"({neighbour}) is in the sector nouveau.test too: both know a person by the same sub"
    for command, is_told in (("show", True), ("approve", True), ("show", False)):
        assert (note in act("client", command, waiting_client["client_id"]).err) == is_told, command


def test_an_invitation_has_the_limits_of_its_options(act: Run) -> None:
    options = ("--host", "nouveau.test", "--subject", "public", "--auth-method", "client_secret_post", "--no-pkce")
    invitation = invited(act, *options, "--release-username", "--reusable", "3")
    bounds = {"hosts": ["nouveau.test"], "subject": "public", "auth_method": "client_secret_post"}
    assert (bounds | {"pkce_required": False, "release_username": True, "uses_left": 3}).items() <= invitation.items()
    assert ", 3 uses left" in act("client", "invites").out


def test_a_change_by_an_operator_updates_the_limits(act: Run, browser: FlaskClient) -> None:
    options = ("--host", "nouveau.test", "--auth-method", "client_secret_basic")
    client = registered(browser, invited(act, *options)["initial_access_token"])
    changes = ("--auth-method", "client_secret_post", "--home-uri", "https://autre.test/")
    act("client", "set", client["client_id"], *changes)
    answer = replaced(browser, client, client_uri="https://autre.test/").get_json()
    assert answer["token_endpoint_auth_method"] == "client_secret_post"


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


def estuaire() -> Client:
    db.session.expire_all()
    return db.session.query(Client).filter_by(name="Estuaire").one()


def test_an_ent_is_asked_for_and_accepted(act: Run, build: Build) -> None:
    build.school(), build.school(LYCEE)
    first = build.ent("Passerelle")
    who = ("--name", "Lina Roy", "--role", "ent_operator", "--client", first.client_id)
    assert act("staff", "invite", "lina@ent.test", *who).code == 0
    given = ("--uai", LYCEE, "--redirect-uri", "https://estuaire.test/cb", "--contact", "ent@estuaire.test")
    assert "no operator" in act("client", "ask", "Estuaire", "--operator", "x@ent.test", *given).err
    assert act("staff", "invite", "aide@academie.test", "--name", "Léa Bon", "--role", "helpdesk").code == 0
    other = act("client", "ask", "Estuaire", "--operator", "aide@academie.test", *given)
    assert "aide@academie.test is no operator of an ENT" in other.err
    wide = act("client", "ask", "Estuaire", "--operator", "lina@ent.test", *given, "--audience", "everyone")
    assert "--audience is decided by the académie" in wide.err
    made = json.loads(act("client", "ask", "Estuaire", "--operator", "lina@ent.test", *given, "--json").out)
    client = estuaire()
    assert client.secret_digest == opaque.digest(made["client_secret"])
    assert (client.asked_uais, client.uais) == ([LYCEE], [])
    assert "waits for `idp client accept`" in act("client", "list").out
    assert act("client", "enable", client.client_id).code == 1
    assert "--uai needs at least one school" in act("client", "accept", client.client_id).err
    accepted = json.loads(act("client", "accept", client.client_id, "--uai", COLLEGE, "--json").out)
    assert (accepted["uais"], accepted["waiting_since"], accepted["disabled_at"]) == ([COLLEGE], None, None)
    assert "no change of its operator waits" in act("client", "refuse", client.client_id, "--reason", "Trop tard.").err
    entries = db.session.query(AuditEntry).filter_by(kind="client.changed", client_id=client.id).order_by(AuditEntry.id)
    assert [entry.details["change"] for entry in entries] == ["asked", "accepted"]


def test_a_client_for_families_needs_a_school(idp: Run) -> None:
    for options in ((), ("--audience", "families")):
        answer = idp("client", "add", "ENT", *WAY_BACK, *options)
        check_refusal(answer, "Error: --uai needs at least one school, unless the audience is everyone\n")
    assert read_json(idp, "client", "list") == []
    answer = idp("client", "invite", "--label", "ENT 59")
    check_refusal(answer, "--uai needs at least one school; an engineer registers a service for everyone")


def test_the_audience_is_chosen_explicitly_and_shown(idp: Run) -> None:
    own = add(idp, "--uai", "0599001N")["client_id"]
    everyone = read_json(idp, "client", "add", "Cantines", *BASIC, "--release-username")["client_id"]
    assert "audience: everyone\n" in idp("client", "show", everyone).out
    assert idp("client", "list").out.splitlines() == [
        f"{everyone}  Cantines  (everyone)  (gets the identifier)",
        f"{own}  ENT des Tilleuls",
    ]
    assert idp("client", "set", everyone, "--audience", "families").code == 1, "it serves no school"
    assert idp("client", "set", everyone, "--audience", "families", "--uai", "0599002P").code == 0
    assert idp("client", "set", own, "--name", "Autre").code == 0
    rows = read_json(idp, "client", "list")
    assert [(row["name"], row["audience"]) for row in rows] == [("Autre", "families"), ("Cantines", "families")]


def test_a_self_registered_client_is_limited_to_its_schools(act: Run, browser: FlaskClient) -> None:
    invitation = read_json(act, "client", "invite", "--uai", "0599001N")["initial_access_token"]
    wished = {"audience": "everyone", "release_username": True, "uais": ["0599002P"]}
    client = registered(browser, invitation, **wished)
    assert not wished.keys() & client.keys()
    own = {"audience": "families", "release_username": False, "uais": ["0599001N"]}
    assert own.items() <= show(act, client["client_id"]).items()
    assert replaced(browser, client, **wished).status_code == 200
    assert own.items() <= show(act, client["client_id"]).items()
    given = ("--release-username", "--audience", "everyone")
    assert act("client", "set", client["client_id"], *given).code == 0
    assert replaced(browser, client).status_code == 200
    shown = show(act, client["client_id"])
    assert (shown["audience"], shown["release_username"]) == ("everyone", True), "what an operator gave stays"
