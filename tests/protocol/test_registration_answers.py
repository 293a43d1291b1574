"""Registration responses that differ from the request (RFC 7591 3.2.1)."""

from datetime import timedelta
from html import unescape

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update

from idp.clients.models import Client
from idp.config import Settings
from idp.db import db
from idp.oidc.claims.release import KNOWN_DEVICE_CLASS, PASSWORD_CLASS
from idp.registration import invitations
from tests.builders import COLLEGE, Build
from tests.pages import follow
from tests.protocol.flow import refused
from tests.protocol.registering import SCOPES, bearer, invited, party, register, registered, replaced
from tests.relying_party import Attempt


@pytest.mark.parametrize(
    ("wished", "supported"),
    [
        (["urn:x", PASSWORD_CLASS, KNOWN_DEVICE_CLASS], [PASSWORD_CLASS, KNOWN_DEVICE_CLASS]),
        (["urn:x"], None),
        ([], None),
    ],
    ids=["some", "unknown", "none"],
)
def test_a_registration_returns_the_supported_default_acr_values(
    browser: FlaskClient, invitation: str, wished: list[str], supported: list[str] | None
) -> None:
    """RFC 7591, 3.2.1."""
    registration = registered(browser, invitation, default_acr_values=wished)
    assert registration.get("default_acr_values") == supported
    assert replaced(browser, registration, default_acr_values=wished).get_json().get("default_acr_values") == supported


def test_metadata_that_are_no_longer_supported_are_not_returned(browser: FlaskClient, invitation: str) -> None:
    """RFC 7591, 3.2.1."""
    registration = registered(browser, invitation)
    of_before = {"unheard_of": "x", "default_acr_values": ["urn:x"], "contacts": ["a@b.test"]}
    db.session.execute(update(Client).values(description=of_before))
    db.session.commit()
    read = browser.get(
        f"/register/{registration['client_id']}", headers=bearer(registration["registration_access_token"])
    ).get_json()
    assert of_before.keys() & read.keys() == {"contacts"}


def test_a_registration_always_returns_the_scopes(browser: FlaskClient) -> None:
    """RFC 7591, 3.2.1."""
    scopes: list[dict[str, str | None]] = [{}, {"scope": ""}, {"scope": None}, {"scope": "address phone"}]
    for number, scope in enumerate(scopes):
        metadata = {"client_name": f"Nouveau {number}", **scope}
        registration = registered(browser, invited(["openid"]), **metadata)
        assert registration["scope"] == "openid"
        own = bearer(registration["registration_access_token"])
        assert browser.get(f"/register/{registration['client_id']}", headers=own).get_json()["scope"] == "openid"
        assert replaced(browser, registration, **metadata).get_json()["scope"] == "openid"


NAMES = [
    *(
        "Passerelle",
        "PASSERELLE",
        " pàsserelle. ",
        "P a s s e r e l l e",
        "Passere11e",
        "PassereIIe",
        "Ｐasserelle",
    ),
    *("P\u0430sserelle", "Passerell\u03b5", "Пассерель"),
    *("Scolarité Services", "Académie des Deux Rives"),
    *("PASSERELLE (ENT)", "ENT de la Passere11e", "MaPasserelle", "Passerelle 2"),
    *("Scolarité Services - sécurité", "L’ENT de l’académie des Deux Rives"),
]


def test_a_name_of_another_ent_is_refused(browser: FlaskClient, build: Build, invitation: str, unhurried: None) -> None:
    """RFC 7591, 2. Parents know an ENT by its name only. The invitation stays valid."""
    build.ent("Passerelle")
    for name in NAMES:
        refused(register(browser, invitation, client_name=name), "invalid_client_metadata")
    registration = registered(browser, invitation, client_name="Le pont bleu")
    for name in NAMES:
        refused(replaced(browser, registration, client_name=name), "invalid_client_metadata")
    assert replaced(browser, registration, client_name="Le pont bleu").status_code == 200


@pytest.mark.parametrize("name", ["Passe", "Ozenne", "Ent", "Académie", "La vie scolaire"])
def test_name_that_only_begins_like_another_is_free(
    browser: FlaskClient, build: Build, invitation: str, name: str
) -> None:
    for taken in ("Passerelle", "Oze", "Vie scolaire et ENT"):
        build.ent(taken)
    if name == "La vie scolaire":
        refused(register(browser, invitation, client_name=name), "invalid_client_metadata")
    else:
        registered(browser, invitation, client_name=name)


def test_name_that_an_operator_gave_stays_although_it_holds_another(
    browser: FlaskClient, build: Build, invitation: str
) -> None:
    registration = registered(browser, invitation, client_name="Passerelle bleue")
    build.ent("Passerelle")
    assert replaced(browser, registration, client_name="Passerelle bleue").status_code == 200
    refused(replaced(browser, registration, client_name="Passerelle verte"), "invalid_client_metadata")


def test_clients_of_one_invitation_without_a_name_are_numbered(browser: FlaskClient) -> None:
    token = invitations.invite("Pirate", [COLLEGE], invitations.Bounds(scopes=SCOPES), timedelta(days=1), uses=9)[1]
    clients = [registered(browser, token, client_name=None) for _ in range(3)]
    assert [client["client_name"] for client in clients] == ["Pirate", "Pirate 2", "Pirate 3"]
    assert replaced(browser, clients[1], client_name=None).get_json()["client_name"] == "Pirate 2"
    assert registered(browser, token, client_name="Pirate de Lille")["client_name"] == "Pirate de Lille"
    stranger = invitations.invite("x", [COLLEGE], invitations.Bounds(scopes=SCOPES), timedelta(days=1))[1]
    refused(register(browser, stranger, client_name="Pirate 9"), "invalid_client_metadata")
    long = invitations.invite("y" * 80, [COLLEGE], invitations.Bounds(scopes=SCOPES), timedelta(days=1), uses=2)[1]
    names = [registered(browser, long, client_name=None)["client_name"] for _ in range(2)]
    assert names == ["y" * 80, "y" * 78 + " 2"]


def test_a_name_in_french_is_the_name(browser: FlaskClient, invitation: str) -> None:
    """OpenID Connect Registration 1.0, 2.1."""
    registration = registered(
        browser, invitation, client_name=None, **{"client_name#fr": "Nouvel ENT", "client_name#en": "x"}
    )
    assert registration["client_name"] == registration["client_name#fr"] == "Nouvel ENT"


@pytest.mark.parametrize(
    ("label", "metadata", "name"),
    [
        ("Passerelle", {}, "Passerelle"),
        (" Passerelle ", {"client_name": ""}, "Passerelle"),
        ("Passerelle", {"client_name#en": "New"}, "Passerelle"),
        ("Passerelle", {"client_name#fr": "Nouveau"}, "Nouveau"),
        ("Passerelle", {"client_name": "Nouveau"}, "Nouveau"),
        (" ", {}, "ENT"),
    ],
)
def test_a_client_without_a_name_gets_the_name_of_its_invitation(
    browser: FlaskClient, app: Flask, settings: Settings, label: str, metadata: dict[str, str], name: str
) -> None:
    """RFC 7591, 2."""
    token = invitations.invite(label, [COLLEGE], invitations.Bounds(scopes=SCOPES), timedelta(days=1))[1]
    registration = registered(browser, token, **{"client_name": None, **metadata})
    assert registration["client_name"] == name
    page = follow(browser, browser.get(party(settings, registration).url(Attempt(), scope="openid")))
    assert f"Pour entrer dans <b>{name}</b>" in unescape(page.get_data(as_text=True))


def test_an_update_without_a_name_keeps_the_name(browser: FlaskClient, invitation: str) -> None:
    """RFC 7592, 2.2."""
    registration = registered(browser, invitation)
    assert replaced(browser, registration, client_name=None).get_json()["client_name"] == "Nouveau"
    assert replaced(browser, registration, client_name="Autre").get_json()["client_name"] == "Autre"
