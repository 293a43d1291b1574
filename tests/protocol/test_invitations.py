"""The bounds of an invitation: hosts, subject type, authentication, PKCE, and number of uses."""

from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select

from idp.accounts.models import Account
from idp.audit.models import AuditEntry
from idp.clients.models import Client, ClientInvite
from idp.config import Settings
from idp.db import db
from tests.dpop_party import Key
from tests.protocol.flow import refused
from tests.protocol.registering import bound, party, register, registered, replaced
from tests.relying_party import Attempt

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
    """RFC 7591, 3.2.1."""
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
    """RFC 7591, 3.2.1."""
    token = bound(subject_type=pinned)
    refused(register(browser, token, subject_type=other), "invalid_client_metadata")
    registration = registered(browser, token)
    assert registration["subject_type"] == pinned
    refused(replaced(browser, registration, subject_type=other), "invalid_client_metadata")
    assert replaced(browser, registration).get_json()["subject_type"] == pinned


@pytest.mark.row("N-03")
def test_invitation_pins_the_authentication(browser: FlaskClient) -> None:
    """RFC 7591, 2."""
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
    """RFC 9700, 2.1.1."""
    registration = registered(browser, bound(pkce=pkce), require_pkce=False, pkce_required=False)
    for _ in range(2):
        ent = party(settings, registration)
        answer = ent.answer(browser.get(ent.url(Attempt(), code_challenge=None, code_challenge_method=None)))
        assert ("code" in answer) is (pkce is False)
        assert replaced(browser, registration).status_code == 200


def test_without_pkce_a_client_needs_another_proof(browser: FlaskClient) -> None:
    """RFC 9700, 2.1.1."""
    token = bound(pkce=False)
    refused(register(browser, token, token_endpoint_auth_method="none"), "invalid_client_metadata")
    registered(browser, token)


@pytest.mark.row("N-03")
def test_only_the_invitation_gives_the_identifier_of_a_person(browser: FlaskClient) -> None:
    """RFC 7591, 3.2.1."""
    for given in (True, False):
        registration = registered(browser, bound(release_username=given), client_name=f"Essai {given}")
        replaced(browser, registration, release_username=not given)
        client = db.session.scalars(select(Client).where(Client.client_id == registration["client_id"])).one()
        assert client.release_username is given


def test_reusable_invitation_counts_each_use(browser: FlaskClient, session: Account) -> None:
    """RFC 7591, 1.2."""
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
    """RFC 7592, 2.2."""
    token = bound(uses=2, hosts=HOSTS)
    first = registered(browser, token, scope="openid")
    second = registered(browser, token, client_name="Second")
    assert replaced(browser, first).get_json()["scope"] == second["scope"]
    assert replaced(browser, second, scope="openid", client_name="Second").get_json()["scope"] == "openid"
