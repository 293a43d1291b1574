"""The tokens of a registration, and the changes that they allow."""

import json
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from idp.accounts.models import Account
from idp.audit.models import AuditEntry
from idp.clients.models import Client, ClientInvite
from idp.clock import now
from idp.config import Settings
from idp.db import db
from idp.registration import registrations
from tests.builders import PASSWORD, Build
from tests.dpop_party import Key
from tests.pages import follow, sign_in, submit
from tests.protocol.flow import HOST, OFFLINE, code_for, refused, tokens_for
from tests.protocol.registering import MINIMAL, bearer, bound, invited, party, register, registered, replaced
from tests.protocol.test_races import rush
from tests.relying_party import Attempt, RelyingParty

YEAR = timedelta(days=365)


@pytest.fixture
def registration(browser: FlaskClient) -> dict[str, Any]:
    return registered(browser, invited())


def path(registration: dict[str, Any]) -> str:
    return f"/register/{registration['client_id']}"


def read(browser: FlaskClient, registration: dict[str, Any], token: str) -> TestResponse:
    return browser.get(path(registration), headers=bearer(token))


def replace(browser: FlaskClient, registration: dict[str, Any], token: str, **metadata: Any) -> TestResponse:
    body = {**MINIMAL, "client_id": registration["client_id"], **metadata}
    return browser.put(path(registration), json=body, headers=bearer(token))


def replacement(browser: FlaskClient, registration: dict[str, Any], token: str) -> str:
    answer = replace(browser, registration, token)
    assert answer.status_code == 200, answer.text
    return str(answer.get_json()["registration_access_token"])


def changes() -> list[tuple[str, str]]:
    rows = db.session.scalars(select(AuditEntry).where(AuditEntry.kind == "client.changed_itself").order_by("id"))
    return [(row.details["change"], row.result) for row in rows]


def test_registration_token_is_replaced_at_each_update(browser: FlaskClient, registration: dict[str, Any]) -> None:
    # RFC 7592, 2.2.
    first = registration["registration_access_token"]
    second = replacement(browser, registration, first)
    assert second != first
    assert len(second) == 43
    assert read(browser, registration, second).get_json()["registration_access_token"] == second, (
        "a read replaces nothing"
    )
    for method in ("GET", "PUT", "DELETE"):
        answer = browser.open(path(registration), method=method, json=MINIMAL, headers=bearer(first))
        refused(answer, "invalid_token", 401)
    assert read(browser, registration, replacement(browser, registration, second)).status_code == 200
    assert changes()[:3] == [("registered", "ok"), ("changed", "ok"), ("registration token replaced", "ok")]


def test_a_refused_update_replaces_no_token(browser: FlaskClient, registration: dict[str, Any]) -> None:
    # RFC 7592, 5.
    first = registration["registration_access_token"]
    refused(replace(browser, registration, first, redirect_uris=[]), "invalid_redirect_uri")
    assert read(browser, registration, first).status_code == 200


def test_lost_answer_does_not_lock_the_client_out(browser: FlaskClient, registration: dict[str, Any]) -> None:
    # RFC 7592, 5. After any number of lost responses the client's token is still valid.
    first = registration["registration_access_token"]
    lost = [replacement(browser, registration, first) for _ in range(3)]
    assert read(browser, registration, first).get_json()["registration_access_token"] == first
    for token in lost[:-1]:  # these tokens were never received; only the last one could still arrive
        assert read(browser, registration, token).status_code == 401
    arrived = replacement(browser, registration, first)
    assert read(browser, registration, lost[-1]).status_code == 401
    assert read(browser, registration, arrived).status_code == 200
    assert read(browser, registration, first).status_code == 401


def test_registration_token_expires_when_unused_for_a_year(
    browser: FlaskClient, registration: dict[str, Any], unhurried: None
) -> None:
    # RFC 7592, 5. The token of an unused registration expires; an operator can issue another.
    token, start = registration["registration_access_token"], now()
    for days in (364, 700, 1000):
        with time_machine.travel(start + timedelta(days=days), tick=False):
            assert read(browser, registration, token).status_code == 200, "each use counts"
    with time_machine.travel(start + timedelta(days=1000) + YEAR + timedelta(seconds=1), tick=False):
        for method in ("GET", "PUT", "DELETE"):
            answer = browser.open(path(registration), method=method, json=MINIMAL, headers=bearer(token))
            refused(answer, "invalid_token", 401)
            assert "not used for a year" in answer.get_json()["error_description"]
            assert answer.headers["WWW-Authenticate"] == 'Bearer realm="idp", error="invalid_token"'
        assert "not used for a year" not in read(browser, registration, "x" * 43).get_json()["error_description"]
        assert changes()[-1] == ("registration token expired", "refused")
        assert db.session.scalars(select(Client)).one().disabled_at is None, "the registration itself goes on"
        renewed = registrations.renew_access_token(registration["client_id"])
        assert read(browser, registration, renewed).status_code == 200


def test_former_token_expires_with_the_present_one(
    browser: FlaskClient, registration: dict[str, Any], unhurried: None
) -> None:
    # RFC 7592, 5.
    first = registration["registration_access_token"]
    replacement(browser, registration, first)
    with time_machine.travel(now() + YEAR + timedelta(seconds=1), tick=False):
        assert "not used for a year" in read(browser, registration, first).get_json()["error_description"]


def test_two_updates_at_once_leave_the_client_a_token_that_is_good(
    browser: FlaskClient, registration: dict[str, Any], settings: Settings
) -> None:
    # RFC 7592, 2.2.
    token = registration["registration_access_token"]
    order = {
        "path": path(registration),
        "method": "PUT",
        "data": json.dumps({**MINIMAL, "client_id": registration["client_id"]}),
        "content_type": "application/json",
        "headers": bearer(token),
    }
    [answers] = rush(settings.database_url, settings.issuer, [order], processes=8)
    statuses = [status for status, *_ in answers]
    assert statuses.count(200) >= 1
    assert set(statuses) <= {200, 400}
    assert read(browser, registration, token).status_code == 200
    assert read(browser, registration, replacement(browser, registration, token)).status_code == 200
    assert read(browser, registration, token).status_code == 401


HOSTS = ["nouveau.test", "images.test"]
ELSEWHERE = "https://ailleurs.test/x"
SIGNING: dict[str, Any] = {
    "token_endpoint_auth_method": "private_key_jwt",
    "jwks": {"keys": [Key.new().jwk]},
}


@pytest.mark.row("N-03")
@pytest.mark.parametrize(
    ("metadata", "error"),
    [
        ({"redirect_uris": ["https://nouveau.test/cb", ELSEWHERE], "subject_type": "public"}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://a.nouveau.test/cb"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://nouveau.test.evil.test/cb"]}, "invalid_redirect_uri"),
        ({"post_logout_redirect_uris": [ELSEWHERE]}, "invalid_client_metadata"),
        ({"backchannel_logout_uri": ELSEWHERE}, "invalid_client_metadata"),
        ({"initiate_login_uri": ELSEWHERE}, "invalid_client_metadata"),
        ({"client_uri": ELSEWHERE}, "invalid_client_metadata"),
        ({"jwks_uri": ELSEWHERE}, "invalid_client_metadata"),
        ({"logo_uri": ELSEWHERE}, "invalid_client_metadata"),
        ({"policy_uri": ELSEWHERE}, "invalid_client_metadata"),
        ({"policy_uri#en": ELSEWHERE}, "invalid_client_metadata"),
        ({"tos_uri": ELSEWHERE}, "invalid_client_metadata"),
    ],
)
def test_invitation_pins_the_hosts_of_all_addresses(browser: FlaskClient, metadata: dict[str, Any], error: str) -> None:
    # RFC 7591, 3.2.1.
    token = bound(hosts=HOSTS)
    answer = register(browser, token, **metadata)
    refused(answer, error)
    assert "no host of the invitation" in answer.get_json()["error_description"]
    registration = registered(browser, token, logo_uri="https://images.test/logo.png")
    if "redirect_uris" not in metadata:
        refused(replaced(browser, registration, **metadata), error)
    assert db.session.scalar(select(func.count()).select_from(Client)) == 1


@pytest.mark.row("N-03")
@pytest.mark.parametrize(("pinned", "other"), [("pairwise", "public"), ("public", "pairwise")])
def test_invitation_pins_the_subject_type(browser: FlaskClient, pinned: str, other: str) -> None:
    # RFC 7591, 3.2.1.
    token = bound(subject_type=pinned)
    refused(register(browser, token, subject_type=other), "invalid_client_metadata")
    registration = registered(browser, token)
    assert registration["subject_type"] == pinned
    refused(replaced(browser, registration, subject_type=other), "invalid_client_metadata")
    assert replaced(browser, registration).get_json()["subject_type"] == pinned


@pytest.mark.row("N-03")
def test_invitation_pins_the_authentication(browser: FlaskClient) -> None:
    # RFC 7591, 2.
    token = bound(auth_method="private_key_jwt")
    for method in ("client_secret_basic", "none"):
        refused(register(browser, token, token_endpoint_auth_method=method), "invalid_client_metadata")
    refused(register(browser, token), "invalid_client_metadata")  # keys are missing
    registration = registered(browser, token, jwks=SIGNING["jwks"])
    assert registration["token_endpoint_auth_method"] == "private_key_jwt"
    refused(replaced(browser, registration, token_endpoint_auth_method="client_secret_post"), "invalid_client_metadata")
    assert replaced(browser, registration, **SIGNING).status_code == 200


@pytest.mark.row("N-03")
@pytest.mark.usefixtures("session")
@pytest.mark.parametrize("pkce", [None, True, False])
def test_invitation_pins_pkce(browser: FlaskClient, settings: Settings, *, pkce: bool | None) -> None:
    # RFC 9700, 2.1.1.
    registration = registered(browser, bound(pkce=pkce), require_pkce=False, pkce_required=False)
    for _ in range(2):
        ent = party(settings, registration)
        answer = ent.answer(browser.get(ent.url(Attempt(), code_challenge=None, code_challenge_method=None)))
        assert ("code" in answer) is (pkce is False)
        assert replaced(browser, registration).status_code == 200


@pytest.mark.row("N-03")
def test_only_the_invitation_gives_the_identifier_of_a_person(browser: FlaskClient) -> None:
    # RFC 7591, 3.2.1.
    for given in (True, False):
        registration = registered(browser, bound(release_username=given), client_name=f"Essai {given}")
        replaced(browser, registration, release_username=not given)
        client = db.session.scalars(select(Client).where(Client.client_id == registration["client_id"])).one()
        assert client.release_username is given


def test_reusable_invitation_counts_each_use(browser: FlaskClient, session: Account) -> None:
    # RFC 7591, 1.2.
    token = bound(uses=3)
    for number in range(3):
        refused(register(browser, token, redirect_uris=[]), "invalid_redirect_uri")  # counts nothing
        registered(browser, token, client_name=f"Essai {number}")
    assert register(browser, token, client_name="Essai 4").status_code == 401
    invitation = db.session.scalars(select(ClientInvite)).one()
    assert invitation.uses_left == 0
    assert set(db.session.scalars(select(Client.invite_id))) == {invitation.id}
    audit_details = select(AuditEntry.details).where(AuditEntry.kind == "client.invited").order_by(AuditEntry.id)
    assert [details["change"] for details in db.session.scalars(audit_details)] == ["made", "used", "used", "used"]


def test_bounds_of_one_client_are_not_those_of_another(browser: FlaskClient) -> None:
    # RFC 7592, 2.2.
    token = bound(uses=2, hosts=HOSTS)
    first = registered(browser, token, scope="openid")
    second = registered(browser, token, client_name="Second")
    assert replaced(browser, first).get_json()["scope"] == second["scope"]
    assert replaced(browser, second, scope="openid", client_name="Second").get_json()["scope"] == "openid"


NARROW = ["openid", "offline_access"]


@pytest.fixture
def offline(build: Build) -> RelyingParty:
    return build.ent(scopes=OFFLINE)


def changed(ent: RelyingParty, **values: Any) -> None:
    """Change a registration as `idp client set` does, with a new version for the caches."""
    client = db.session.scalars(select(Client).where(Client.client_id == ent.client_id)).one()
    for name, value in values.items():
        setattr(client, name, value)
    client.version += 1
    db.session.commit()


@pytest.mark.row("A-19")
def test_claims_of_a_removed_scope_are_not_released(
    browser: FlaskClient, offline: RelyingParty, session: Account
) -> None:
    # RFC 6749, 3.3.
    tokens = tokens_for(browser, offline, scope=OFFLINE)
    assert "email" in offline.userinfo(browser, tokens["access_token"]).get_json()
    changed(offline, scopes=NARROW)
    assert set(offline.userinfo(browser, tokens["access_token"]).get_json()) == {"sub"}
    charter = browser.get("/charter", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    assert (charter.status_code, charter.get_json()["error"]) == (403, "insufficient_scope")
    again = offline.refresh(browser, tokens["refresh_token"]).get_json()
    assert again["scope"] == " ".join(NARROW)
    assert set(offline.userinfo(browser, again["access_token"]).get_json()) == {"sub"}
    assert not {"charter_accepted", "email"} & offline.read(browser, again["id_token"]).keys()
    described = browser.post("/introspect", data={"token": again["access_token"]}, headers=offline.basic()).get_json()
    assert described["scope"] == " ".join(NARROW)


@pytest.mark.row("A-19")
def test_an_older_code_grants_the_remaining_scopes_only(
    browser: FlaskClient, offline: RelyingParty, session: Account, attempt: Attempt
) -> None:
    # RFC 6749, 3.3. The code has more scopes than the client may now have.
    code = code_for(browser, offline, attempt, scope=OFFLINE)
    changed(offline, scopes=["openid", "profile"])
    tokens = offline.tokens(browser, code, attempt)
    assert tokens["scope"] == "openid profile"
    assert "refresh_token" not in tokens


@pytest.mark.row("T-22")
def test_a_client_that_may_not_refresh_any_more_does_not(
    browser: FlaskClient, offline: RelyingParty, session: Account
) -> None:
    # RFC 6749, 5.2.
    tokens = tokens_for(browser, offline, scope=OFFLINE)
    changed(offline, scopes=["openid", "profile"])
    refused(offline.refresh(browser, tokens["refresh_token"]), "unauthorized_client")


@pytest.mark.row("A-22")
@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"scopes": ["openid", "profile"]}, "invalid_scope"),
        ({"pkce_required": True}, "invalid_request"),
        ({"par_required": True}, "invalid_request"),
    ],
    ids=["scope", "PKCE", "PAR"],
)
def test_a_request_is_checked_again_after_the_sign_in(
    app: Flask, build: Build, parent: Account, change: dict[str, Any], error: str
) -> None:
    # RFC 6749, 4.1.1.
    ent, browser, attempt = build.ent(pkce_required=False), app.test_client(), Attempt()
    page = follow(browser, browser.get(ent.url(attempt, code_challenge=None, code_challenge_method=None)))
    changed(ent, **change)
    answer = ent.answer(submit(browser, page, identifiant=parent.username, mot_de_passe=PASSWORD))
    assert (answer["error"], answer["state"]) == (error, attempt.state)


@pytest.mark.row("U-06")
def test_two_ents_know_a_session_by_two_names(browser: FlaskClient, build: Build, session: Account) -> None:
    # OpenID Connect Core 1.0, 17.3.
    first, second = build.ent("Un", "un.test"), build.ent("Deux", "deux.test")
    sids = [tokens_for(browser, ent)["claims"]["sid"] for ent in (first, second, first)]
    assert sids[0] == sids[2] != sids[1]


@pytest.mark.row("A-17")
def test_a_reauthentication_keeps_the_tokens_of_another_ent(
    browser: FlaskClient, build: Build, session: Account
) -> None:
    # OpenID Connect Core 1.0, 3.1.2.1.
    first, second = build.ent("Un", "un.test", scopes=OFFLINE), build.ent("Deux", "deux.test")
    tokens = tokens_for(browser, first, scope=OFFLINE)
    before = browser.get_cookie("__Host-ss", domain=HOST)
    page = sign_in(browser, second.url(Attempt(), prompt="login"), session.username, PASSWORD)
    assert second.answer(page)["code"]
    assert browser.get_cookie("__Host-ss", domain=HOST) != before
    assert first.userinfo(browser, tokens["access_token"]).status_code == 200
    claims = first.read(browser, first.refresh(browser, tokens["refresh_token"]).get_json()["id_token"])
    assert (claims["sid"], claims["auth_time"]) == (tokens["claims"]["sid"], tokens["claims"]["auth_time"])


def test_a_head_request_changes_nothing(
    browser: FlaskClient, ent: RelyingParty, session: Account, attempt: Attempt
) -> None:
    # RFC 9110, 9.2.1.
    for path in (ent.url(attempt), "/logout", "/authorize/resume", "/authorize/refus"):
        answer = browser.head(path)
        assert (answer.status_code, answer.headers.get("Location"), answer.get_data()) == (200, None, b"")
    assert ent.tokens(browser, code_for(browser, ent, attempt), attempt)["id_token"]
