"""New hosts of a client that registered itself: they wait for an operator, and change nobody's `sub`."""

from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, update

from idp.accounts.models import Account
from idp.audit.models import AuditEntry
from idp.clients import registry
from idp.clients.models import Client
from idp.config import Settings
from idp.db import db
from idp.registration import approvals, registrations, rows
from idp.registration.faults import RegistrationRefusedError
from tests.builders import Build
from tests.dpop_party import Key
from tests.protocol.flow import refused, stays_here, tokens_for
from tests.protocol.registering import MINIMAL, bearer, bound, invited, party, registered, replaced
from tests.relying_party import Attempt

pytestmark = pytest.mark.row("K-11")

THIEF = "https://voleur.test/cb"
OWN = MINIMAL["redirect_uris"][0]
BOTH = [OWN, THIEF]


@pytest.fixture
def registration(browser: FlaskClient) -> dict[str, Any]:
    return registered(browser, invited())


def read(browser: FlaskClient, registration: dict[str, Any]) -> dict[str, Any]:
    own = bearer(registration["registration_access_token"])
    return dict(browser.get(f"/register/{registration['client_id']}", headers=own).get_json())


def sub(browser: FlaskClient, settings: Settings, registration: dict[str, Any]) -> str:
    registry.forget()
    return str(tokens_for(browser, party(settings, registration), scope="openid")["claims"]["sub"])


def changes() -> list[str]:
    kinds = ("client.changed_itself", "client.changed")
    rows = db.session.scalars(select(AuditEntry.details).where(AuditEntry.kind.in_(kinds)).order_by(AuditEntry.id))
    return [details["change"] for details in rows]


@pytest.mark.usefixtures("session")
@pytest.mark.parametrize("uris", [[THIEF], BOTH, [*BOTH, "https://nouveau.test/autre"]])
def test_new_redirect_hosts_wait_for_an_operator(
    browser: FlaskClient, registration: dict[str, Any], settings: Settings, uris: list[str]
) -> None:
    # RFC 7591, 3.2.1.
    answer = replaced(
        browser, registration, redirect_uris=uris, client_name="Autre nom", policy_uri="https://voleur.test/p"
    )
    assert answer.status_code == 200
    response = answer.get_json()
    assert (response["redirect_uris"], response["client_name"], response.get("policy_uri")) == (
        [OWN],
        MINIMAL["client_name"],
        None,
    )
    assert response["pending_approval"]["redirect_uris"] == uris
    assert "an engineer of this service must approve" in response["pending_approval"]["description"]
    assert read(browser, registration) == response | {
        "registration_access_token": registration["registration_access_token"]
    }
    registry.forget()
    ent = party(settings, registration)
    assert "invalid redirect_uri" in stays_here(browser.get(ent.url(Attempt(), redirect_uri=THIEF)))
    assert ent.answer(browser.get(ent.url(Attempt())))["code"], "the registration stays as before"
    assert changes() == ["registered", "waits for approval", "registration token replaced"]


def test_sub_is_kept_when_new_hosts_are_approved(
    browser: FlaskClient, registration: dict[str, Any], build: Build, session: Account, settings: Settings
) -> None:
    # OpenID Connect Core 1.0, 8.
    before, neighbour = sub(browser, settings, registration), build.ent("Voisin", "voleur.test")
    for uris in (BOTH, [THIEF]):
        replaced(browser, registration, redirect_uris=uris)
        if "pending_approval" in read(browser, registration):
            approvals.approve(settings, registration["client_id"])
        now = read(browser, registration)
        assert "pending_approval" not in now
        assert now["redirect_uris"] == uris
        assert sub(browser, settings, registration | now) == before
    assert sub(browser, settings, registration | now) != tokens_for(browser, neighbour)["claims"]["sub"]
    answer = replaced(browser, registration, redirect_uris=["https://voleur.test/autre"])
    assert answer.get_json()["redirect_uris"] == ["https://voleur.test/autre"], "no new host any more"
    assert sub(browser, settings, registration | answer.get_json()) == before
    assert "approved" in changes()


def test_rejected_change_leaves_the_registration_as_it_was(
    browser: FlaskClient, registration: dict[str, Any], settings: Settings
) -> None:
    # RFC 7591, 3.2.1.
    before = read(browser, registration)
    replaced(browser, registration, redirect_uris=BOTH)
    approvals.reject(registration["client_id"])
    token = {"registration_access_token": registration["registration_access_token"]}
    assert read(browser, registration) == before | token
    for settle in (approvals.reject, lambda client_id: approvals.approve(settings, client_id)):
        with pytest.raises(RegistrationRefusedError, match="no change waits"):
            settle(registration["client_id"])
    assert changes()[-1] == "rejected"


def test_a_later_update_without_new_hosts_replaces_the_pending_one(
    browser: FlaskClient, registration: dict[str, Any]
) -> None:
    # RFC 7592, 2.2.
    replaced(browser, registration, redirect_uris=BOTH)
    response = replaced(browser, registration, redirect_uris=["https://nouveau.test/autre"]).get_json()
    assert response["redirect_uris"] == ["https://nouveau.test/autre"]
    assert "pending_approval" not in response
    assert "no longer waits for approval" in changes()
    replaced(browser, registration, redirect_uris=BOTH)
    browser.delete(f"/register/{registration['client_id']}", headers=bearer(registration["registration_access_token"]))
    assert db.session.scalars(select(Client)).one().pending_metadata is None


def test_an_approval_fails_if_the_hosts_changed_since_the_operator_saw_them(
    browser: FlaskClient, registration: dict[str, Any], settings: Settings
) -> None:
    # RFC 7592, 5. A client with the token may change the pending request until it is approved.
    replaced(browser, registration, redirect_uris=[THIEF])
    client = registrations.get(registration["client_id"])
    db.session.commit()
    with db.engine.begin() as elsewhere:
        elsewhere.execute(update(Client).values(version=Client.version + 1))
    with pytest.raises(RegistrationRefusedError, match="changed by somebody else"):
        approvals.approve(settings, client.client_id)


def test_an_approved_host_approves_no_other_host(
    browser: FlaskClient, registration: dict[str, Any], settings: Settings
) -> None:
    # RFC 7592, 5. Hosts that a thief of the token adds are not approved with the expected ones.
    moved = {"redirect_uris": ["https://vrai.test/cb"], "client_uri": "https://vrai.test/"}
    added = {"post_logout_redirect_uris": ["https://voleur.test/bye"], "jwks_uri": "https://cles.test/jwks"}
    response = replaced(browser, registration, **moved, **added).get_json()
    assert response["pending_approval"]["hosts"] == ["cles.test", "voleur.test", "vrai.test"]
    expected = ["client_uri=vrai.test", "redirect_uris=vrai.test"]
    with pytest.raises(RegistrationRefusedError, match=r"client_uri=vrai\.test, jwks_uri=cles\.test, post_logout_"):
        approvals.approve(settings, registration["client_id"], expected)
    db.session.rollback()
    assert "client_uri" not in read(browser, registration)
    replaced(browser, registration, **moved)
    with pytest.raises(RegistrationRefusedError):
        approvals.approve(settings, registration["client_id"], expected[:1])
    db.session.rollback()
    approvals.approve(settings, registration["client_id"], expected)
    assert read(browser, registration)["client_uri"] == "https://vrai.test/"


@pytest.mark.parametrize("moved", ["redirect_uris", "client_uri", "jwks_uri", "tos_uri", "client_uri#en"])
@pytest.mark.parametrize("hosts", [[], ["nouveau.test"]])
def test_a_host_approved_for_one_page_waits_in_every_other_field(
    browser: FlaskClient, settings: Settings, moved: str, hosts: list[str]
) -> None:
    # RFC 7592, 5. Who approved a page on a host did not approve that the host receives codes.
    registration = registered(browser, bound(hosts=hosts))
    client = registrations.get(registration["client_id"])
    page = "https://voleur.test/p"
    approvals.change(settings, client, replace(rows.read(client), policy_uri=page))
    own: Any = [THIEF] if moved == "redirect_uris" else "https://voleur.test/x"
    answer = replaced(browser, registration, policy_uri=page, **{moved: own})
    if hosts and moved != "redirect_uris":
        refused(answer, "invalid_client_metadata")
    else:
        assert answer.get_json()["pending_approval"]["hosts"] == ["voleur.test"]
    now = read(browser, registration)
    assert (now["redirect_uris"], now.get(moved)) == ([OWN], [OWN] if moved == "redirect_uris" else None)
    same = replaced(browser, registration, policy_uri="https://voleur.test/autre").get_json()
    assert (same["policy_uri"], "pending_approval" in same) == ("https://voleur.test/autre", False)


@pytest.mark.parametrize("hosts", [[], ["nouveau.test"]])
@pytest.mark.parametrize("member", ["redirect_uris", "jwks_uri"])
def test_another_port_is_another_server(
    browser: FlaskClient, settings: Settings, member: str, hosts: list[str]
) -> None:
    # RFC 6454, 4.
    registration = registered(browser, bound(hosts=hosts))
    own: Any = ["https://nouveau.test:8443/cb"] if member == "redirect_uris" else "https://nouveau.test:8443/jwks"
    response = replaced(browser, registration, **{member: own}).get_json()
    assert response["pending_approval"]["hosts"] == ["nouveau.test:8443"]
    assert response.get(member) != own
    approvals.approve(settings, registration["client_id"], [f"{member}=nouveau.test:8443"])
    assert read(browser, registration)[member] == own


def test_a_change_that_an_operator_of_the_ent_asked_for_is_not_erased(
    browser: FlaskClient, registration: dict[str, Any]
) -> None:
    # RFC 7592, 2.2. The access token stays, so that the client may ask again.
    client = registrations.get(registration["client_id"])
    asked = {"asked_at": "2026-11-01T08:00:00+00:00", approvals.ASKED_BY: "x", "metadata": {"name": "Autre"}}
    client.pending_metadata = asked
    db.session.commit()
    answer = replaced(browser, registration, redirect_uris=[THIEF])
    refused(answer, "invalid_client_metadata")
    assert "an operator of the ENT asked for" in answer.get_json()["error_description"]
    assert replaced(browser, registration, contacts=["a@b.test"]).get_json()["contacts"] == ["a@b.test"]
    assert db.session.scalars(select(Client.pending_metadata)).one() == asked


@pytest.mark.parametrize(
    "metadata",
    [
        {"initiate_login_uri": "https://voleur.test/login"},
        {"client_uri": "https://voleur.test/"},
        {"post_logout_redirect_uris": ["https://voleur.test/bye"]},
        {"backchannel_logout_uri": "https://voleur.test/bcl"},
        {"frontchannel_logout_uri": "https://nouveau.test/f", "jwks_uri": "https://voleur.test/jwks"},
        {"policy_uri": "https://voleur.test/p"},
        {"tos_uri": "https://voleur.test/t"},
    ],
)
def test_a_new_host_of_any_address_that_leads_somebody_waits_for_an_operator(
    browser: FlaskClient, registration: dict[str, Any], settings: Settings, metadata: dict[str, Any]
) -> None:
    # RFC 7592, 5. The hosts of the registration bind it where the invitation named none.
    [name] = [name for name, value in metadata.items() if "voleur.test" in str(value)]
    response = replaced(browser, registration, **metadata).get_json()
    assert not {name: value for name, value in metadata.items() if response.get(name, []) != []}, "nothing has changed"
    assert response["pending_approval"]["hosts"] == ["voleur.test"]
    own = {name: str(value).replace("voleur.test", "nouveau.test") for name, value in metadata.items()}
    if name == "post_logout_redirect_uris":
        own = {name: ["https://nouveau.test/bye"]}  # type: ignore[dict-item]
    changed = replaced(browser, registration, **own).get_json()
    assert (changed[name], "pending_approval" in changed) == (own[name], False), "its own host waits for nobody"
    replaced(browser, registration, **metadata)
    approvals.approve(settings, registration["client_id"], [f"{name}=voleur.test"])
    assert read(browser, registration)[name] == metadata[name]
    assert "pending_approval" not in replaced(browser, registration, **metadata).get_json()


@pytest.mark.parametrize(
    ("metadata", "error"),
    [
        ({"redirect_uris": ["http://voleur.test/cb"]}, "invalid_redirect_uri"),
        ({"redirect_uris": [THIEF], "subject_type": "public"}, "invalid_client_metadata"),
        ({"redirect_uris": [THIEF], "client_name": "Passerelle"}, "invalid_client_metadata"),
        ({"redirect_uris": [THIEF], "token_endpoint_auth_method": "private_key_jwt"}, "invalid_client_metadata"),
        ({"redirect_uris": [THIEF], "sector_identifier_uri": "https://127.0.0.1/s"}, "invalid_client_metadata"),
    ],
)
def test_an_update_that_cannot_be_approved_is_refused_at_once(
    browser: FlaskClient, build: Build, registration: dict[str, Any], metadata: dict[str, Any], error: str
) -> None:
    # RFC 7592, 2.2.
    build.ent("Passerelle")
    refused(replaced(browser, registration, **metadata), error)
    assert "pending_approval" not in read(browser, registration)


def test_hosts_of_an_invitation_are_widened_by_an_approval_alone(browser: FlaskClient, settings: Settings) -> None:
    # RFC 7591, 3.2.1. An operator fixed the hosts, so an operator decides about others.
    registration = registered(browser, bound(hosts=["nouveau.test"]))
    moved = {"redirect_uris": [THIEF], "client_uri": "https://voleur.test/"}
    refused(
        replaced(browser, registration, redirect_uris=["https://vrai.test/cb"], client_uri="https://voleur.test/"),
        "invalid_client_metadata",
    )
    assert "pending_approval" not in read(browser, registration)
    assert replaced(browser, registration, **moved).get_json()["redirect_uris"] == [OWN]
    refused(replaced(browser, registration, client_uri="https://voleur.test/"), "invalid_client_metadata")
    approvals.approve(settings, registration["client_id"])
    assert read(browser, registration)["client_uri"] == "https://voleur.test/"
    assert replaced(browser, registration, **moved, tos_uri="https://voleur.test/t").status_code == 200
    refused(replaced(browser, registration, **moved, tos_uri="https://ailleurs.test/t"), "invalid_client_metadata")


def test_a_change_of_keys_waits_with_the_hosts(
    browser: FlaskClient, registration: dict[str, Any], settings: Settings
) -> None:
    # RFC 7592, 2.2. One change, which is made as a whole or not at all.
    key = {**Key.new().jwk, "note": "kept by nobody"}
    signing = {"token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [key]}}
    response = replaced(
        browser, registration, redirect_uris=[THIEF], contacts=["a@b.test"], unheard_of="x" * 1000, **signing
    )
    assert response.get_json()["token_endpoint_auth_method"] == "client_secret_basic"
    waiting = db.session.scalars(select(Client)).one().pending_metadata
    assert waiting is not None
    assert "unheard_of" not in waiting["metadata"]
    approvals.approve(settings, registration["client_id"])
    now = read(browser, registration)
    assert (now["token_endpoint_auth_method"], now["contacts"]) == ("private_key_jwt", ["a@b.test"])
    assert now["jwks"] == {"keys": [{name: value for name, value in key.items() if name != "note"}]}
