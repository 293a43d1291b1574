"""The audience of a client as set by an operator: without schools it gets no person; wider audiences are shown."""

import json

from flask.testing import FlaskClient

from tests.builders import Build
from tests.commands.client_trial import (  # noqa: F401 - fixtures
    Place,
    trial_place,
    trial_published,
    trial_resolver,
    trial_settings,
    tried,
)
from tests.commands.conftest import Run
from tests.commands.test_client import BASIC, WAY_BACK, add, show
from tests.protocol.registering import registered, replaced


def test_a_client_for_families_needs_a_school(idp: Run) -> None:
    answer = idp("client", "add", "ENT", *WAY_BACK)
    assert (answer.code, answer.out) == (1, "")
    message = "--uai needs at least one school, unless the audience is everyone"
    assert answer.err == f"Error: {message}\n"
    assert json.loads(idp("client", "list", "--json").out) == []
    assert idp("client", "add", "ENT", *WAY_BACK, "--audience", "families").code == 1
    wrong = idp("client", "add", "ENT", *WAY_BACK, "--uai", "0599001N", "--audience", "all")
    assert wrong.code == 2
    assert "'all' is not one of 'families', 'everyone'" in wrong.err


def test_the_list_marks_audience_everyone_and_identifier_release(idp: Run) -> None:
    add(idp, "--uai", "0599001N")
    idp("client", "add", "Cantines", *BASIC, "--release-username")
    own, canteens = sorted(idp("client", "list").out.splitlines(), key=lambda line: "Cantines" in line)
    assert "(" not in own
    assert canteens.endswith("Cantines  (everyone)  (gets the identifier)")


def test_the_audience_is_chosen_explicitly_and_shown(idp: Run) -> None:
    own = add(idp, "--uai", "0599001N")["client_id"]
    everyone = json.loads(idp("client", "add", "Cantines", *BASIC, "--json").out)["client_id"]
    assert [show(idp, client_id)["audience"] for client_id in (own, everyone)] == ["families", "everyone"]
    assert "audience: everyone\n" in idp("client", "show", everyone).out
    assert idp("client", "list").out.splitlines() == [
        f"{everyone}  Cantines  (everyone)",
        f"{own}  ENT des Tilleuls",
    ]
    assert idp("client", "set", everyone, "--audience", "families").code == 1, "it serves no school"
    assert idp("client", "set", everyone, "--audience", "families", "--uai", "0599002P").code == 0
    assert show(idp, everyone)["audience"] == "families"
    assert idp("client", "set", own, "--name", "Autre").code == 0
    assert show(idp, own)["audience"] == "families", "what is not given stays"


def test_an_invitation_needs_a_school(idp: Run) -> None:
    answer = idp("client", "invite", "--label", "ENT 59")
    assert (answer.code, answer.out) == (1, "")
    message = "--uai needs at least one school; an engineer registers a service for everyone"
    assert answer.err == f"Error: {message}\n"


def test_a_self_registered_client_is_limited_to_its_schools(act: Run, browser: FlaskClient) -> None:
    invitation = json.loads(act("client", "invite", "--uai", "0599001N", "--json").out)["initial_access_token"]
    wished = {"audience": "everyone", "release_username": True, "uais": ["0599002P"]}
    client = registered(browser, invitation, **wished)
    assert not wished.keys() & client.keys()
    shown = show(act, client["client_id"])
    assert (shown["audience"], shown["release_username"], shown["uais"]) == ("families", False, ["0599001N"])
    assert replaced(browser, client, **wished).status_code == 200
    shown = show(act, client["client_id"])
    assert (shown["audience"], shown["release_username"], shown["uais"]) == ("families", False, ["0599001N"])
    assert act("client", "set", client["client_id"], "--release-username", "--audience", "everyone").code == 0
    assert replaced(browser, client).status_code == 200
    shown = show(act, client["client_id"])
    assert (shown["audience"], shown["release_username"]) == ("everyone", True), "what an operator gave stays"


def test_the_trial_reports_a_wider_audience(act: Run, build: Build, place: Place) -> None:
    build.school()
    own = build.ent(host=place.host)
    everyone = build.ent("Cantines", place.host, uais=[], audience="everyone", release_username=True)
    code, findings = tried(act, own.client_id)
    by_check = {finding["check"]: finding for finding in findings}
    assert code == 0
    assert by_check["audience"]["message"] == "public : les familles de ses établissements, personne d’autre"
    assert "release_username" not in by_check
    code, findings = tried(act, everyone.client_id)
    by_check = {finding["check"]: finding for finding in findings}
    assert code == 0
    assert "TOUS les parents de l’académie" in by_check["audience"]["message"]
    assert "--audience everyone" in by_check["audience"]["message"]
    assert "school" not in by_check
    assert "--no-release-username" in by_check["release_username"]["message"]
