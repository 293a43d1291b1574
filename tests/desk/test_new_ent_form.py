"""The form of a new ENT: its id is drawn by the service, and it registers one ENT (RFC 9700, 2.6)."""

import re
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from idp.clients.models import Client
from idp.clock import now
from idp.config import Settings
from idp.db import db
from idp.desk.ents import acceptance, views
from idp.desk.staff import posts
from idp.desk.staff.models import Role, StaffAccount, StaffRole
from idp.opaque import signer
from idp.registration.faults import RegistrationRefusedError
from idp.registration.metadata import ClientMetadata
from idp.registration.trial import checks
from idp.registration.trial.findings import Finding
from idp.throttle import limits
from idp.throttle.limits import Budget, Window
from tests.builders import LYCEE, Build
from tests.desk.colleagues import Colleagues, post
from tests.pages import heading

NEW: dict[str, Any] = {
    "name": "Estuaire",
    "home_uri": "https://estuaire.test/",
    "redirect_uris": "https://estuaire.test/cb",
    "charter": "ent",
    "contacts": "ent@estuaire.test",
    "audience": "families",
    "uais": LYCEE,
    "scopes": ["profile"],
    "auth_method": "client_secret_basic",
    "pkce_required": "y",
}
PATH = "/ent/nouveau"
REGISTERED = "L’ENT est enregistré"


def drawn(browser: FlaskClient) -> str:
    """Return the value that a new form holds for the id."""
    value = re.search(r'name="drawn" value="([\w.-]+)"', browser.get(PATH).get_data(as_text=True))
    assert value
    return value.group(1)


def send(browser: FlaskClient, value: str, **other: str) -> TestResponse:
    return post(browser, PATH, **{**NEW, **other, "drawn": value})


def estuaires() -> list[Client]:
    db.session.expire_all()
    return list(db.session.scalars(select(Client).where(Client.name == "Estuaire")))


def test_a_form_that_is_sent_twice_registers_one_ent(colleagues: Colleagues, operator: StaffAccount) -> None:
    browser = colleagues.session(operator)[0]
    value = drawn(browser)
    assert heading(send(browser, value)) == REGISTERED
    answer = send(browser, value)
    [client] = estuaires()
    assert answer.headers["Location"] == f"/ent/{client.id}?fait=deja"
    assert "pas noté son secret, changez-le" in browser.get(answer.headers["Location"]).get_data(as_text=True)


@pytest.mark.parametrize("role", [Role.ENGINEER, Role.ENT_OPERATOR])
def test_nobody_chooses_the_id_of_an_ent(
    colleagues: Colleagues, build: Build, settings: Settings, operator: StaffAccount, role: Role
) -> None:
    other = build.ent("Ailleurs", "ailleurs.test")
    staff = operator
    if role is Role.ENGINEER:
        staff = colleagues.person("Ada Martin")
        colleagues.grant(staff, role)
    browser, colleague = colleagues.session(staff)[0], colleagues.signed_in(Role.ENGINEER)
    of_another_purpose = signer(settings.secrets, "form token").dumps(["0" * 20, str(staff.id)])
    for value in ("", "0" * 20, other.client_id, of_another_purpose, drawn(colleague)):
        page = send(browser, value, client_id="0" * 20)
        assert page.status_code == 200
        assert 'name="drawn"' in page.get_data(as_text=True), "the form, with another id"
    assert estuaires() == []
    assert heading(send(browser, drawn(browser), client_id="0" * 20)) == REGISTERED
    [client] = estuaires()
    assert re.fullmatch("[0-9a-f]{20}", client.client_id)
    assert client.client_id != "0" * 20
    assert client.uais == ([LYCEE] if role is Role.ENGINEER else []), "that of an operator waits without a school"


@pytest.mark.parametrize("role", [Role.ENGINEER, Role.ENT_OPERATOR])
@pytest.mark.parametrize("kept", [0, -1], ids=["lost", "cut"])
def test_a_page_that_is_not_valid_any_more_comes_back_as_typed(
    colleagues: Colleagues, operator: StaffAccount, role: Role, kept: int
) -> None:
    browser = colleagues.session(operator)[0] if role is Role.ENT_OPERATOR else colleagues.signed_in(role)
    text = send(browser, drawn(browser)[:kept]).get_data(as_text=True)
    assert "Cette page n’était plus valable. Vérifiez, puis enregistrez de nouveau." in text
    assert estuaires() == []
    assert value_of(text, "name") == "Estuaire"
    assert value_of(text, "home_uri") == NEW["home_uri"]
    assert NEW["redirect_uris"] in text
    assert NEW["contacts"] in text
    assert heading(send(browser, value_of(text, "drawn"))) == REGISTERED


def value_of(page: str, name: str) -> str:
    [tag] = re.findall(f'<input[^>]* name="{name}"[^>]*>', page)
    value = re.search(' value="([^"]*)"', tag)
    assert value
    return value.group(1)


def test_a_form_of_a_former_role_opens_nothing(colleagues: Colleagues, operator: StaffAccount) -> None:
    browser = colleagues.session(operator)[0]
    value = drawn(browser)
    assert heading(send(browser, value)) == REGISTERED
    [client] = estuaires()
    at_new_ent = db.session.scalars(select(StaffRole).where(StaffRole.client_id == client.id)).one()
    at_new_ent.ended_at = now()
    db.session.commit()
    again = colleagues.session(operator)[0]
    assert send(again, value).status_code == 404
    assert again.get(f"/ent/{client.id}").status_code == 404


@pytest.fixture
def operator(colleagues: Colleagues, build: Build) -> StaffAccount:
    build.school(), build.school(LYCEE)
    staff = colleagues.person("Lina Roy")
    colleagues.grant(staff, Role.ENT_OPERATOR, client_id=build.ent("Passerelle").client_id)
    return staff


def ask(build: Build, staff: StaffAccount, number: int) -> Client:
    host = f"https://ent{number}.test"
    metadata = ClientMetadata(
        name=f"Estuaire {number}", home_uri=f"{host}/", redirect_uris=(f"{host}/cb",), uais=(LYCEE,)
    )
    return acceptance.ask(build.settings, metadata, staff.id)[0]


def test_a_person_has_one_trial_at_a_time_and_few_run_at_once(
    colleagues: Colleagues, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hosts of an ENT may never answer, so that many trials would take all threads of the desk."""
    client, people = build.ent("Passerelle").client_id, [colleagues.person() for _ in range(views.MOST_AT_ONCE + 1)]
    for person in people:
        colleagues.grant(person, Role.ENT_OPERATOR, client_id=client)
    browsers = [colleagues.session(person)[0] for person in people]
    path = f"/ent/{db.session.scalars(select(Client.id)).one()}/test"
    started: list[int] = []
    refused: list[tuple[int, str]] = []

    def trial(*_: object) -> tuple[list[Finding], bool]:
        """Ask, in the middle of a trial, for a second one of the same person and for one of the next person."""
        number = len(started)
        started.append(number)
        answer = post(browsers[number], path, "/ent")
        refused.append((answer.status_code, answer.get_data(as_text=True)))
        post(browsers[number + 1], path, "/ent")
        return [], False

    monkeypatch.setattr(checks, "findings_in_time", trial)
    assert post(browsers[0], path, "/ent").status_code == 200
    assert len(started) == views.MOST_AT_ONCE
    assert all(status == 429 and "un autre test est en cours" in page for status, page in refused)
    started.clear()
    assert post(browsers[0], path, "/ent").status_code == 200, "a trial that is over counts no more"


def test_a_person_asks_for_some_trials_an_hour(
    colleagues: Colleagues, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ENT_TRIALS", Budget("ent_trials", (Window(2, timedelta(hours=1)),)))
    monkeypatch.setattr(checks, "findings_in_time", lambda *_: ([], False))
    browser = colleagues.signed_in(Role.ENT_OPERATOR, client_id=build.ent("Passerelle").client_id)
    path = f"/ent/{db.session.scalars(select(Client.id)).one()}/test"
    assert [post(browser, path, "/ent").status_code for _ in range(3)] == [200, 200, 429]


@pytest.mark.row("K-27")
def test_an_operator_who_ends_the_own_roles_registers_no_more_ents_and_those_are_only_refused(
    colleagues: Colleagues, build: Build, operator: StaffAccount
) -> None:
    clients = [ask(build, operator, number) for number in range(acceptance.MOST_WAITING)]
    for role in db.session.scalars(select(StaffRole).where(StaffRole.client_id.in_([row.id for row in clients]))):
        posts.end(role.id)
    db.session.commit()
    with pytest.raises(RegistrationRefusedError, match="wait already"):
        ask(build, operator, 9)
    left, engineer = clients[0], colleagues.signed_in(Role.ENGINEER)
    path, version = f"/ent/{left.id}/accord", str(left.version)
    decision = {"version": version, "audience": "families", "uais": LYCEE, "scopes": "profile", "pkce_required": "y"}
    shown = engineer.get(path).get_data(as_text=True)
    answer = post(engineer, path, **decision).get_data(as_text=True)
    for page in (shown, answer):
        assert "la demande ne peut plus qu’être refusée" in page
        assert "Accepter et ouvrir" not in page
    assert db.session.get_one(Client, left.id).waiting_since is not None
    refused = post(engineer, f"{path}/refus", path, version=version, reason="Personne ne l’exploite.")
    assert refused.headers["Location"].endswith("fait=refuse")
