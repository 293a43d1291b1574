"""Clients that register themselves with an invitation (RFC 7591, OpenID Connect Registration 1.0)."""

import json
from datetime import timedelta
from html import unescape

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update

from idp.accounts.models import Account
from idp.clients.models import Client, ClientInvite
from idp.clock import now
from idp.config import Settings
from idp.db import db
from idp.oidc.claims.release import KNOWN_DEVICE_CLASS, PASSWORD_CLASS
from idp.registration import invitations
from tests.builders import COLLEGE, Build, commit
from tests.pages import follow
from tests.protocol.flow import OFFLINE, refused, tokens_for
from tests.protocol.registering import MINIMAL, SCOPES, bearer, bound, invited, party, register, registered, replaced
from tests.protocol.test_races import rush
from tests.relying_party import Attempt


def test_a_client_registers_itself_and_signs_people_in(
    browser: FlaskClient, invitation: str, session: Account, settings: Settings
) -> None:
    # RFC 7591, 3.2.
    registration = registered(browser, invitation, grant_types=["authorization_code", "refresh_token"])
    assert registration["client_secret_expires_at"] == 0
    assert registration["registration_client_uri"] == f"{settings.issuer}/register/{registration['client_id']}"
    assert registration["token_endpoint_auth_method"] == "client_secret_basic"
    assert set(registration["scope"].split()) == set(SCOPES)
    ent = party(settings, registration)
    tokens = tokens_for(browser, ent, scope=OFFLINE)
    assert ent.refresh(browser, tokens["refresh_token"]).status_code == 200
    assert ent.userinfo(browser, tokens["access_token"]).get_json()["uai"] == [COLLEGE]


def test_a_registration_needs_an_unused_invitation(browser: FlaskClient, invitation: str) -> None:
    # RFC 7591, 3; RFC 6750, 3.1.
    for token in ("x" * 43, "x", "x" * 5000):
        answer = register(browser, token)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="idp", error="invalid_token"'
    for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Basic eDp5"}, {"Authorization": "é"}):
        answer = browser.post("/register", json=MINIMAL, headers=headers)
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, 'Bearer realm="idp"')
    registered(browser, invitation)
    assert register(browser, invitation).status_code == 401
    late = invitations.invite("ENT", [COLLEGE], invitations.Bounds(scopes=SCOPES), timedelta(days=1))[1]
    with time_machine.travel(now() + timedelta(days=1, seconds=1), tick=False):
        assert register(browser, late).status_code == 401


def test_a_refused_invitation_says_what_to_do(browser: FlaskClient, invitation: str) -> None:
    # RFC 6750, 3.

    def read_refusal(**headers: str) -> str:
        return str(browser.post("/register", json=MINIMAL, headers=headers).get_json()["error_description"])

    registration = registered(browser, invitation)
    late = invitations.invite("ENT", [COLLEGE], invitations.Bounds(scopes=SCOPES), timedelta(days=1))[1]
    with time_machine.travel(now() + timedelta(days=1, seconds=1), tick=False):
        [answer] = {
            read_refusal(**bearer(token))
            for token in (invitation, late, "x" * 43, registration["registration_access_token"])
        }
    assert answer == (
        "this invitation is not valid: each one serves once, or as often as the engineer said, and expires after some "
        "days; ask the engineer of this service for another"
    )
    unsent = {read_refusal(), read_refusal(Authorization="Basic eDp5"), read_refusal(Authorization="Bearer ")}
    assert unsent == {"the invitation is needed: send its token as Authorization: Bearer"}
    path = f"/register/{registration['client_id']}"
    assert "Authorization: Bearer" in browser.get(path).get_json()["error_description"]
    assert "invitation" not in browser.get(path, headers=bearer("x")).get_json()["error_description"]


def test_wrong_tokens_are_slowed_and_right_ones_are_not(browser: FlaskClient, invitation: str) -> None:
    # OpenID Connect Registration 1.0, 4.4. Wrong tokens are also counted by IP, at both endpoints together.
    for place in ("/register", "/register/nobody") * 50:
        method = "POST" if place == "/register" else "GET"
        assert browser.open(place, method=method, json=MINIMAL, headers=bearer("x" * 43)).status_code == 401
    for place, method in (("/register", "POST"), ("/register/nobody", "GET"), ("/register/nobody", "DELETE")):
        answer = browser.open(place, method=method, json=MINIMAL, headers=bearer("x" * 43))
        assert answer.status_code == 429
        assert int(answer.headers["Retry-After"]) >= 1
    assert replaced(browser, registered(browser, invitation)).status_code == 200


@pytest.mark.row("N-03")
def test_a_client_gets_no_more_schools_or_scopes_than_its_invitation_says(browser: FlaskClient) -> None:
    # RFC 7591, 3.2.1.
    token = invited(["openid", "profile"])
    registration = registered(browser, token, scope="openid profile email ent charter offline_access", uai=["0599002P"])
    assert registration["scope"] == "openid profile"
    client = db.session.scalars(select(Client)).one()
    assert client.uais == [COLLEGE]
    answer = replaced(browser, registration, scope="openid ent", grant_types=["refresh_token"], uai=["0599002P"])
    assert answer.get_json()["scope"] == "openid"
    db.session.expire_all()
    assert client.uais == [COLLEGE]


def test_many_processes_use_an_invitation_and_one_client_is_registered(settings: Settings, invitation: str) -> None:
    # OpenID Connect Registration 1.0, 1.2.
    order = {
        "path": "/register",
        "method": "POST",
        "data": json.dumps(MINIMAL),
        "content_type": "application/json",
        "headers": bearer(invitation),
    }
    [answers] = rush(settings.database_url, settings.issuer, [order], processes=4)
    assert sorted(status for status, *_ in answers) == [201] + [401] * 3
    assert len(db.session.scalars(select(Client)).all()) == 1
    assert db.session.scalars(select(ClientInvite)).one().uses_left == 0


def test_clients_without_a_name_that_register_at_once_are_numbered(settings: Settings, build: Build) -> None:
    metadata = {name: value for name, value in MINIMAL.items() if name != "client_name"}
    order = {
        "path": "/register",
        "method": "POST",
        "data": json.dumps(metadata),
        "content_type": "application/json",
        "headers": bearer(bound(uses=3)),
    }
    [answers] = rush(settings.database_url, settings.issuer, [order], processes=5)
    assert sorted(status for status, *_ in answers) == [201] * 3 + [401] * 2
    assert sorted(db.session.scalars(select(Client.name))) == ["ENT", "ENT 2", "ENT 3"]
    assert db.session.scalars(select(ClientInvite)).one().uses_left == 0


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
    # RFC 7591, 3.2.1.
    registration = registered(browser, invitation, default_acr_values=wished)
    assert registration.get("default_acr_values") == supported
    assert replaced(browser, registration, default_acr_values=wished).get_json().get("default_acr_values") == supported


def test_metadata_that_are_no_longer_supported_are_not_returned(browser: FlaskClient, invitation: str) -> None:
    # RFC 7591, 3.2.1.
    registration = registered(browser, invitation)
    of_before = {"unheard_of": "x", "default_acr_values": ["urn:x"], "contacts": ["a@b.test"]}
    commit(update(Client).values(description=of_before))
    read = browser.get(
        f"/register/{registration['client_id']}", headers=bearer(registration["registration_access_token"])
    ).get_json()
    assert of_before.keys() & read.keys() == {"contacts"}


def test_a_registration_always_returns_the_scopes(browser: FlaskClient) -> None:
    # RFC 7591, 3.2.1.
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
    # RFC 7591, 2. Parents know an ENT by its name only. The invitation stays valid.
    build.ent("Passerelle")
    for name in NAMES:
        refused(register(browser, invitation, client_name=name), "invalid_client_metadata")
    registration = registered(browser, invitation, client_name="Le pont bleu")
    for name in NAMES:
        refused(replaced(browser, registration, client_name=name), "invalid_client_metadata")
    assert replaced(browser, registration, client_name="Le pont bleu").status_code == 200


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
    # OpenID Connect Registration 1.0, 2.1.
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
    # RFC 7591, 2.
    token = invitations.invite(label, [COLLEGE], invitations.Bounds(scopes=SCOPES), timedelta(days=1))[1]
    registration = registered(browser, token, **{"client_name": None, **metadata})
    assert registration["client_name"] == name
    page = follow(browser, browser.get(party(settings, registration).url(Attempt(), scope="openid")))
    assert f"Pour entrer dans <b>{name}</b>" in unescape(page.get_data(as_text=True))


def test_an_update_without_a_name_keeps_the_name(browser: FlaskClient, invitation: str) -> None:
    # RFC 7592, 2.2.
    registration = registered(browser, invitation)
    assert replaced(browser, registration, client_name=None).get_json()["client_name"] == "Nouveau"
    assert replaced(browser, registration, client_name="Autre").get_json()["client_name"] == "Autre"
