"""The form of a new ENT: its id is drawn by the service, and it registers one ENT (RFC 9700, 2.6)."""

import re
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from idp.clients.models import Client
from idp.clock import now
from idp.config import Settings
from idp.db import db
from idp.desk.staff.models import Role, StaffAccount, StaffRole
from idp.signed import signer
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


@pytest.fixture
def operator(colleagues: Colleagues, build: Build) -> StaffAccount:
    build.school(LYCEE)
    staff = colleagues.person("Lina Roy")
    colleagues.grant(staff, Role.ENT_OPERATOR, client_id=build.ent("Passerelle").client_id)
    return staff


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
    """Return the value of an input of a page."""
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
