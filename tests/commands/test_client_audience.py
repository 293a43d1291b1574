"""The audience of a client as set by an operator: without schools it gets no person; wider audiences are shown."""

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
from tests.commands.conftest import Run, check_refusal, read_json
from tests.commands.test_client import BASIC, WAY_BACK, add, show
from tests.protocol.registering import registered, replaced


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


def test_the_trial_reports_a_wider_audience(act: Run, build: Build, place: Place) -> None:
    build.school()
    own = build.ent(host=place.host)
    everyone = build.ent("Cantines", place.host, uais=[], audience="everyone", release_username=True)
    told = {finding["check"]: finding["message"] for finding in tried(act, own.client_id)[1]}
    assert told["audience"] == "public : les familles de ses établissements, personne d’autre"
    assert "release_username" not in told
    code, findings = tried(act, everyone.client_id)
    told = {finding["check"]: finding["message"] for finding in findings}
    assert (code, "school" in told) == (0, False)
    assert "TOUS les parents de l’académie" in told["audience"]
    assert "--no-release-username" in told["release_username"]
