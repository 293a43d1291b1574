"""Registrations that clients read, replace and end themselves (RFC 7592)."""

from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, update

from idp.accounts.models import Account
from idp.audit.models import AuditEntry
from idp.clients.models import CharterMode, Client
from idp.clock import now
from idp.config import Settings
from idp.db import db
from idp.oidc.keys import rotation
from idp.registration import access_tokens, registrations, rows
from idp.registration.faults import RegistrationRefusedError
from tests.builders import Build, change_registration, commit
from tests.dpop_party import Key
from tests.protocol.flow import refused, tokens_for
from tests.protocol.registering import MINIMAL, bearer, invited, party, registered, replaced
from tests.relying_party import Attempt


@pytest.fixture
def registration(browser: FlaskClient) -> dict[str, Any]:
    return registered(browser, invited())


def row() -> Client:
    db.session.expire_all()
    return db.session.scalars(select(Client)).one()


def test_the_registration_is_read_replaced_and_ended(
    browser: FlaskClient, registration: dict[str, Any], session: Account, settings: Settings
) -> None:
    # RFC 7592, 2.1, 2.2, 2.3.
    path, own = f"/register/{registration['client_id']}", bearer(registration["registration_access_token"])
    read = browser.get(path, headers=own)
    assert (read.status_code, read.headers["Cache-Control"]) == (200, "no-store")
    assert read.get_json() == {
        k: v for k, v in registration.items() if k not in {"client_secret", "client_secret_expires_at"}
    }
    changed = replaced(browser, registration, client_name="Autre nom", client_secret=registration["client_secret"])
    assert changed.status_code == 200, changed.get_data(as_text=True)
    assert changed.get_json()["client_name"] == "Autre nom"
    own = bearer(changed.get_json()["registration_access_token"])
    ent = party(settings, registration)
    tokens = tokens_for(browser, ent)
    ended = browser.delete(path, headers=own)
    assert (ended.status_code, ended.data) == (204, b"")
    assert ent.userinfo(browser, tokens["access_token"]).status_code == 401
    for method in ("GET", "PUT", "DELETE"):
        assert browser.open(path, method=method, json=MINIMAL, headers=own).status_code == 401
    kinds = db.session.scalars(
        select(AuditEntry.details).where(AuditEntry.kind == "client.changed_itself").order_by(AuditEntry.id)
    ).all()
    changes = [details["change"] for details in kinds]
    assert changes == ["registered", "changed", "registration token replaced", "ended"]


def events(change: str) -> int:
    details = db.session.scalars(select(AuditEntry.details).where(AuditEntry.kind.like("client.changed%")))
    return [entry["change"] for entry in details].count(change)


def test_a_registration_ends_once(
    browser: FlaskClient, registration: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A second request whose token was verified before the first one ended the registration.
    path, own = f"/register/{registration['client_id']}", bearer(registration["registration_access_token"])
    verify_truly, answers = access_tokens.verify, []

    def verify_and_wait(client: Client, token: str) -> bool:
        monkeypatch.setattr(access_tokens, "verify", verify_truly)
        is_own = verify_truly(client, token)
        answers.append(browser.delete(path, headers=own).status_code)
        return is_own

    monkeypatch.setattr(access_tokens, "verify", verify_and_wait)
    answers.append(browser.delete(path, headers=own).status_code)
    assert answers == [204, 401]
    assert events("ended") == 1


def test_a_registration_does_not_end_when_an_operator_disabled_it(
    browser: FlaskClient, registration: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    verify_truly = access_tokens.verify

    def verify_and_wait(client: Client, token: str) -> bool:
        is_own = verify_truly(client, token)
        with db.engine.begin() as other:
            other.execute(update(Client).values(disabled_at=now()))
        return is_own

    monkeypatch.setattr(access_tokens, "verify", verify_and_wait)
    own = bearer(registration["registration_access_token"])
    assert browser.delete(f"/register/{registration['client_id']}", headers=own).status_code == 401
    assert events("ended") == 0


def test_an_ended_registration_cannot_be_enabled(browser: FlaskClient, registration: dict[str, Any]) -> None:
    # RFC 7592, 2.3.
    registrations.disable(registration["client_id"])
    registrations.enable(registration["client_id"])  # what an operator shut, an operator opens
    assert replaced(browser, registration).status_code == 200
    browser.delete(f"/register/{registration['client_id']}", headers=bearer(registration["registration_access_token"]))
    with pytest.raises(RegistrationRefusedError, match="ended its registration itself"):
        registrations.enable(registration["client_id"])
    assert row().disabled_at is not None


def test_a_disabled_client_cannot_change_its_registration(browser: FlaskClient, registration: dict[str, Any]) -> None:
    # RFC 7592, 2.
    registrations.disable(registration["client_id"])
    assert replaced(browser, registration, client_name="Autre").status_code == 401
    registrations.enable(registration["client_id"])
    assert row().name == MINIMAL["client_name"]


def test_a_registration_is_changed_by_its_own_token_alone(
    browser: FlaskClient, registration: dict[str, Any], unhurried: None
) -> None:
    # RFC 7592, 2.
    other = invited()
    neighbour = registered(browser, other, client_name="Voisin", redirect_uris=["https://voisin.test/cb"])
    path = f"/register/{registration['client_id']}"
    body = {**MINIMAL, "client_id": registration["client_id"]}
    for token in ("", "x", neighbour["registration_access_token"], registration["client_secret"], other):
        for method in ("GET", "PUT", "DELETE"):
            answer = browser.open(path, method=method, json=body, headers=bearer(token))
            assert answer.status_code == 401, (method, token)
            assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="idp"')
    own = bearer(registration["registration_access_token"])
    for odd in ("x" * 20, "é", "%00", "..%2f", neighbour["client_id"]):
        assert browser.get(f"/register/{odd}", headers=own).status_code in {401, 404}
    assert browser.post(path, json=body, headers=own).status_code == 405


def test_forbidden_members_of_an_update_are_refused(browser: FlaskClient, registration: dict[str, Any]) -> None:
    # RFC 7592, 2.2.
    before = row().version
    wrong: list[dict[str, Any]] = [
        {"client_id": "autre"},
        {"client_id": None},
        {"client_id": [registration["client_id"]]},
        {"client_secret": "chosen by the client"},
        {"client_secret": 5},
        {"registration_access_token": registration["registration_access_token"]},
        {"registration_client_uri": registration["registration_client_uri"]},
        {"client_id_issued_at": 1},
        {"client_secret_expires_at": 0},
    ]
    for change in wrong:
        refused(replaced(browser, registration, **change), "invalid_request")
    refused(replaced(browser, registration, subject_type="public"), "invalid_client_metadata")
    assert row().version == before


def test_an_update_removes_the_members_that_it_omits(browser: FlaskClient) -> None:
    # RFC 7592, 2.2.
    more = {
        "backchannel_logout_uri": "https://nouveau.test/back",
        "policy_uri": "https://nouveau.test/policy",
        "client_uri": "https://nouveau.test/",
        "default_max_age": 600,
        "contacts": ["a@b.test"],
        "client_name#en": "New",
    }
    registration = registered(browser, invited(), **more)
    assert more.items() <= registration.items()
    assert not more.keys() & replaced(browser, registration).get_json().keys()


STRICT = ("require_pushed_authorization_requests", "dpop_bound_access_tokens")


@pytest.mark.parametrize("member", STRICT)
def test_a_client_cannot_loosen_its_own_strict_settings(browser: FlaskClient, member: str) -> None:
    # RFC 7592, 2.2; RFC 7591, 3.2.1.
    registration = registered(browser, invited(), **{member: True})
    assert {name: registration[name] for name in STRICT} == {name: name == member for name in STRICT}
    for change in ({}, {member: None}, {member: False}):
        left = replaced(browser, registration, **change).get_json()
        assert {name: left[name] for name in STRICT} == {name: name == member for name in STRICT}, change


def test_a_client_cannot_loosen_the_operator_s_strict_settings(
    browser: FlaskClient, registration: dict[str, Any], settings: Settings
) -> None:
    # RFC 7592, 2.2. `idp client set --require-par --require-dpop` is not the client's to undo.
    assert [registration[name] for name in STRICT] == [False, False]
    client = row()
    change_registration(settings, client, replace(rows.read(client), par_required=True, dpop_required=True))
    answer = replaced(browser, registration, **dict.fromkeys(STRICT, False))
    assert answer.status_code == 200, answer.get_data(as_text=True)
    assert [answer.get_json()[name] for name in STRICT] == [True, True]
    assert (row().par_required, row().dpop_required) == (True, True)
    ent = party(settings, registration)
    assert ent.answer(browser.get(ent.url(Attempt(), scope="openid")))["error"] == "invalid_request"


def test_refresh_tokens_are_given_up_and_taken_back_within_the_invitation(
    browser: FlaskClient, registration: dict[str, Any]
) -> None:
    # RFC 7592, 2.2. A later update may ask again for what an earlier one left out.
    both = ["authorization_code", "refresh_token"]
    assert registration["grant_types"] == ["authorization_code"]
    assert replaced(browser, registration, grant_types=both).get_json()["grant_types"] == both
    assert replaced(browser, registration, scope="openid").get_json()["scope"] == "openid"
    assert replaced(browser, registration, grant_types=both).get_json()["grant_types"] == both


def test_an_update_keeps_the_operator_s_settings(
    browser: FlaskClient, registration: dict[str, Any], settings: Settings
) -> None:
    # RFC 7591, 2. A client cannot choose who shows its charter.
    rotation.rotate(settings, "ES256")
    key = {"keys": [Key.new("ES256").jwk]}
    signing = {"token_endpoint_auth_method": "private_key_jwt", "jwks": key}
    fapi2 = {"security_profile": "fapi2", "charter_mode": CharterMode.PROVIDER, "always_claims": ["charter"]}
    commit(update(Client).values(default_profile="parent", **fapi2))
    refused(replaced(browser, registration), "invalid_client_metadata")  # the profile wants keys
    answer = replaced(browser, registration, **signing)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    assert answer.get_json()["id_token_signed_response_alg"] == "ES256"
    assert answer.get_json()["require_pushed_authorization_requests"] is True
    client = row()
    assert (client.security_profile, client.charter_mode) == ("fapi2", CharterMode.PROVIDER)
    assert (client.always_claims, client.default_profile) == (["charter"], "parent")
    assert client.secret_digest is None


def test_a_change_of_how_a_client_proves_itself(browser: FlaskClient, registration: dict[str, Any]) -> None:
    # RFC 7592, 2.2.
    signing = {"token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [Key.new().jwk]}}
    assert "client_secret" not in replaced(browser, registration).get_json()
    assert "client_secret" not in replaced(browser, registration, **signing).get_json()
    back = replaced(browser, registration).get_json()
    assert len(back["client_secret"]) == 43
    assert back["client_secret"] != registration["client_secret"]
    refused(replaced(browser, registration, client_secret=registration["client_secret"]), "invalid_request")


def test_an_operator_ends_a_registration_token_that_leaked(
    browser: FlaskClient, build: Build, registration: dict[str, Any]
) -> None:
    # RFC 7592, 2.
    former = dict(registration)
    assert replaced(browser, registration).status_code == 200
    token = registrations.renew_access_token(registration["client_id"])
    refused(replaced(browser, former), "invalid_token", 401)
    refused(replaced(browser, registration, redirect_uris=["https://voleur.test/cb"]), "invalid_token", 401)
    assert replaced(browser, registration | {"registration_access_token": token}).status_code == 200
    journal = select(AuditEntry.details).where(AuditEntry.kind == "client.changed").order_by(AuditEntry.id)
    changes = db.session.scalars(journal).all()
    assert "registration token renewed" in [details.get("change") for details in changes]
    with pytest.raises(RegistrationRefusedError, match="does not manage its registration itself"):
        registrations.renew_access_token(build.ent().client_id)
