"""New hosts of a client that registered itself: they wait for an operator, and change nobody's `sub`."""

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
from idp.registration import approvals, registrations
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
def told(browser: FlaskClient) -> dict[str, Any]:
    """What a client that registered itself was told."""
    return registered(browser, invited())


def read(browser: FlaskClient, told: dict[str, Any]) -> dict[str, Any]:
    own = bearer(told["registration_access_token"])
    answer: dict[str, Any] = browser.get(f"/register/{told['client_id']}", headers=own).get_json()
    return answer


def sub(browser: FlaskClient, settings: Settings, told: dict[str, Any]) -> str:
    registry.forget()
    return str(tokens_for(browser, party(settings, told), scope="openid")["claims"]["sub"])


def changes() -> list[str]:
    kinds = ("client.changed_itself", "client.changed")
    rows = db.session.scalars(select(AuditEntry.details).where(AuditEntry.kind.in_(kinds)).order_by(AuditEntry.id))
    return [details["change"] for details in rows]


@pytest.mark.usefixtures("session")
@pytest.mark.parametrize("uris", [[THIEF], BOTH, [*BOTH, "https://nouveau.test/autre"]])
def test_new_redirect_hosts_wait_for_an_operator(
    browser: FlaskClient, told: dict[str, Any], settings: Settings, uris: list[str]
) -> None:
    """RFC 7591, 3.2.1."""
    answer = replaced(browser, told, redirect_uris=uris, client_name="Autre nom", policy_uri="https://voleur.test/p")
    assert answer.status_code == 200
    said = answer.get_json()
    assert (said["redirect_uris"], said["client_name"], said.get("policy_uri")) == ([OWN], MINIMAL["client_name"], None)
    assert said["pending_approval"]["redirect_uris"] == uris
    assert "an operator of this service must approve" in said["pending_approval"]["description"]
    assert read(browser, told) == said | {"registration_access_token": told["registration_access_token"]}
    registry.forget()
    ent = party(settings, told)
    assert "invalid redirect_uri" in stays_here(browser.get(ent.url(Attempt(), redirect_uri=THIEF)))
    assert ent.answer(browser.get(ent.url(Attempt())))["code"], "the registration stays as before"
    assert changes() == ["registered", "waits for approval", "registration token replaced"]


def test_sub_is_kept_when_new_hosts_are_approved(
    browser: FlaskClient, told: dict[str, Any], build: Build, session: Account, settings: Settings
) -> None:
    """OpenID Connect Core 1.0, 8."""
    before, neighbour = sub(browser, settings, told), build.ent("Voisin", "voleur.test")
    for uris in (BOTH, [THIEF]):
        replaced(browser, told, redirect_uris=uris)
        if "pending_approval" in read(browser, told):
            approvals.approve(settings, told["client_id"])
        now = read(browser, told)
        assert "pending_approval" not in now
        assert now["redirect_uris"] == uris
        assert sub(browser, settings, told | now) == before
    assert sub(browser, settings, told | now) != tokens_for(browser, neighbour)["claims"]["sub"]
    answer = replaced(browser, told, redirect_uris=["https://voleur.test/autre"])
    assert answer.get_json()["redirect_uris"] == ["https://voleur.test/autre"], "no new host any more"
    assert sub(browser, settings, told | answer.get_json()) == before
    assert "approved" in changes()


def test_rejected_change_leaves_the_registration_as_it_was(
    browser: FlaskClient, told: dict[str, Any], settings: Settings
) -> None:
    """RFC 7591, 3.2.1."""
    before = read(browser, told)
    replaced(browser, told, redirect_uris=BOTH)
    approvals.reject(told["client_id"])
    token = {"registration_access_token": told["registration_access_token"]}
    assert read(browser, told) == before | token
    for settle in (approvals.reject, lambda client_id: approvals.approve(settings, client_id)):
        with pytest.raises(RegistrationRefusedError, match="no change waits"):
            settle(told["client_id"])
    assert changes()[-1] == "rejected"


def test_a_later_update_without_new_hosts_replaces_the_pending_one(browser: FlaskClient, told: dict[str, Any]) -> None:
    """RFC 7592, 2.2."""
    replaced(browser, told, redirect_uris=BOTH)
    said = replaced(browser, told, redirect_uris=["https://nouveau.test/autre"]).get_json()
    assert said["redirect_uris"] == ["https://nouveau.test/autre"]
    assert "pending_approval" not in said
    assert "no longer waits for approval" in changes()
    replaced(browser, told, redirect_uris=BOTH)
    browser.delete(f"/register/{told['client_id']}", headers=bearer(told["registration_access_token"]))
    assert db.session.scalars(select(Client)).one().pending_metadata is None


def test_an_approval_fails_if_the_hosts_changed_since_the_operator_saw_them(
    browser: FlaskClient, told: dict[str, Any], settings: Settings
) -> None:
    """RFC 7592, 5. A client with the token may change the pending request until it is approved."""
    replaced(browser, told, redirect_uris=["https://vrai.test/cb"])
    replaced(browser, told, redirect_uris=[THIEF])
    with pytest.raises(RegistrationRefusedError, match=r"the new hosts are voleur\.test: nothing was approved"):
        approvals.approve(settings, told["client_id"], ["vrai.test"])
    db.session.rollback()
    assert read(browser, told)["redirect_uris"] == [OWN]
    client = registrations.get(told["client_id"])
    db.session.commit()
    with db.engine.begin() as elsewhere:
        elsewhere.execute(update(Client).values(version=Client.version + 1))
    with pytest.raises(RegistrationRefusedError, match="changed by somebody else"):
        approvals.approve(settings, client.client_id)


def test_an_approved_host_approves_no_other_host(
    browser: FlaskClient, told: dict[str, Any], settings: Settings
) -> None:
    """RFC 7592, 5. Hosts that a thief of the token adds are not approved with the expected ones."""
    moved = {"redirect_uris": ["https://vrai.test/cb"], "client_uri": "https://vrai.test/"}
    added = {"post_logout_redirect_uris": ["https://voleur.test/bye"], "jwks_uri": "https://cles.test/jwks"}
    said = replaced(browser, told, **moved, **added).get_json()
    assert said["pending_approval"]["hosts"] == ["cles.test", "voleur.test", "vrai.test"]
    with pytest.raises(
        RegistrationRefusedError, match=r"the new hosts are cles\.test, voleur\.test, vrai\.test: nothing"
    ):
        approvals.approve(settings, told["client_id"], ["vrai.test"])
    db.session.rollback()
    assert "client_uri" not in read(browser, told)
    replaced(browser, told, **moved)
    approvals.approve(settings, told["client_id"], ["vrai.test"])
    assert read(browser, told)["client_uri"] == "https://vrai.test/"


def test_hosts_of_an_invitation_and_the_approved_ones_bound_all_addresses_of_a_change_that_waits(
    browser: FlaskClient, settings: Settings
) -> None:
    """RFC 7591, 3.2.1. A change that waits is no way around the hosts of the invitation."""
    told = registered(browser, bound(hosts=["nouveau.test"]))
    moved = {"redirect_uris": ["https://vrai.test/cb"]}
    refused(replaced(browser, told, **moved, client_uri="https://voleur.test/"), "invalid_client_metadata")
    assert "pending_approval" not in read(browser, told)
    said = replaced(
        browser, told, **moved, client_uri="https://nouveau.test/", tos_uri="https://vrai.test/t"
    ).get_json()
    assert said["pending_approval"]["hosts"] == ["vrai.test"]
    approvals.approve(settings, told["client_id"], ["vrai.test"])
    assert read(browser, told)["tos_uri"] == "https://vrai.test/t"


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
    browser: FlaskClient, told: dict[str, Any], settings: Settings, metadata: dict[str, Any]
) -> None:
    """RFC 7592, 5. The hosts of the registration bind it where the invitation named none."""
    [name] = [name for name, value in metadata.items() if "voleur.test" in str(value)]
    said = replaced(browser, told, **metadata).get_json()
    assert not {name: value for name, value in metadata.items() if said.get(name, []) != []}, "nothing has changed"
    assert said["pending_approval"]["hosts"] == ["voleur.test"]
    own = {name: str(value).replace("voleur.test", "nouveau.test") for name, value in metadata.items()}
    if name == "post_logout_redirect_uris":
        own = {name: ["https://nouveau.test/bye"]}  # type: ignore[dict-item]
    changed = replaced(browser, told, **own).get_json()
    assert (changed[name], "pending_approval" in changed) == (own[name], False), "its own host waits for nobody"
    replaced(browser, told, **metadata)
    approvals.approve(settings, told["client_id"], ["voleur.test"])
    assert read(browser, told)[name] == metadata[name]
    assert "pending_approval" not in replaced(browser, told, **metadata).get_json()


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
    browser: FlaskClient, build: Build, told: dict[str, Any], metadata: dict[str, Any], error: str
) -> None:
    """RFC 7592, 2.2."""
    build.ent("Passerelle")
    refused(replaced(browser, told, **metadata), error)
    assert "pending_approval" not in read(browser, told)


def test_hosts_of_an_invitation_are_widened_by_an_approval_alone(browser: FlaskClient, settings: Settings) -> None:
    """RFC 7591, 3.2.1. An operator fixed the hosts, so an operator decides about others."""
    told = registered(browser, bound(hosts=["nouveau.test"]))
    moved = {"redirect_uris": [THIEF], "client_uri": "https://voleur.test/"}
    assert replaced(browser, told, **moved).get_json()["redirect_uris"] == [OWN]
    refused(replaced(browser, told, client_uri="https://voleur.test/"), "invalid_client_metadata")
    approvals.approve(settings, told["client_id"])
    assert read(browser, told)["client_uri"] == "https://voleur.test/"
    assert replaced(browser, told, **moved, tos_uri="https://voleur.test/t").status_code == 200
    refused(replaced(browser, told, **moved, tos_uri="https://ailleurs.test/t"), "invalid_client_metadata")


def test_a_change_of_keys_waits_with_the_hosts(browser: FlaskClient, told: dict[str, Any], settings: Settings) -> None:
    """RFC 7592, 2.2. One change, which is made as a whole or not at all."""
    key = {**Key.new().jwk, "note": "kept by nobody"}
    signing = {"token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [key]}}
    said = replaced(browser, told, redirect_uris=[THIEF], contacts=["a@b.test"], unheard_of="x" * 1000, **signing)
    assert said.get_json()["token_endpoint_auth_method"] == "client_secret_basic"
    waiting = db.session.scalars(select(Client)).one().pending_metadata
    assert waiting is not None
    assert "unheard_of" not in waiting["metadata"]
    approvals.approve(settings, told["client_id"])
    now = read(browser, told)
    assert (now["token_endpoint_auth_method"], now["contacts"]) == ("private_key_jwt", ["a@b.test"])
    assert now["jwks"] == {"keys": [{name: value for name, value in key.items() if name != "note"}]}
