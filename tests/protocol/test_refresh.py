"""Refresh tokens (security rows T-20 to T-23)."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from flask.testing import FlaskClient
from sqlalchemy import select, update

from idp.accounts.models import Account
from idp.audit.models import AuditEntry
from idp.clients import registry
from idp.db import db
from idp.oidc.models import Token
from idp.sessions.models import Session
from tests.builders import Build, commit
from tests.protocol.flow import OFFLINE, refused, tokens_for
from tests.protocol.nodes import node
from tests.relying_party import RelyingParty
from tests.signatures import b64


@pytest.fixture
def offline(build: Build) -> RelyingParty:
    return build.ent(scopes=OFFLINE)


def later(seconds: float) -> time_machine.travel:
    return time_machine.travel(datetime.now(UTC) + timedelta(seconds=seconds))


def reuses() -> int:
    return len(db.session.scalars(select(AuditEntry).where(AuditEntry.kind == "refresh.reused")).all())


@pytest.mark.row("T-20")
def test_replay_in_an_ended_family_is_recorded_once_an_hour(
    browser: FlaskClient, offline: RelyingParty, session: Account
) -> None:
    # RFC 9700, 4.14.2. A client that repeats a replay does not fill the journal.
    first = tokens_for(browser, offline, scope=OFFLINE)
    data = {"token": offline.refresh(browser, first["refresh_token"]).get_json()["refresh_token"]}
    assert browser.post("/revoke", data=data, headers=offline.basic()).status_code == 200
    for hours, expected in ((0, 1), (2, 2)):
        with later(hours * 3_600 + 15):
            for _ in range(3):
                refused(offline.refresh(browser, first["refresh_token"]), "invalid_grant")
                assert reuses() == expected


@pytest.mark.row("T-21", "T-20")
def test_a_late_replay_revokes_all_siblings_of_a_lost_answer(
    browser: FlaskClient, offline: RelyingParty, session: Account
) -> None:
    # RFC 9700, 4.14.2.
    first = tokens_for(browser, offline, scope=OFFLINE)
    pairs = [offline.refresh(browser, first["refresh_token"]).get_json() for _ in range(3)]
    assert len({pair["refresh_token"] for pair in pairs}) == 1
    pairs.append(offline.refresh(browser, pairs[0]["refresh_token"]).get_json())
    with later(15):
        refused(offline.refresh(browser, first["refresh_token"]), "invalid_grant")
        for pair in pairs:
            assert offline.userinfo(browser, pair["access_token"]).status_code == 401
            refused(offline.refresh(browser, pair["refresh_token"]), "invalid_grant")
    assert reuses() == 1


@pytest.mark.row("T-21")
def test_an_answer_holds_a_new_pair_and_an_id_token_of_the_same_sign_in(
    browser: FlaskClient, offline: RelyingParty, session: Account
) -> None:
    # OpenID Connect Core 1.0, 12.2.
    before = tokens_for(browser, offline, scope=OFFLINE)
    with later(30):
        # the person confirmed the password again for the account's pages; the grant keeps its `auth_time`
        commit(update(Session).values(auth_time=datetime.now(UTC)))
        after = offline.refresh(browser, before["refresh_token"]).get_json()
        claims = offline.read(browser, after["id_token"])
    assert set(after) == {"access_token", "token_type", "expires_in", "scope", "refresh_token", "id_token"}
    assert after["refresh_token"] != before["refresh_token"]
    assert after["access_token"] != before["access_token"]
    same = ("iss", "sub", "aud", "azp", "auth_time", "sid", "acr", "amr")
    assert {name: claims[name] for name in same} == {name: before["claims"][name] for name in same}
    assert claims["iat"] >= before["claims"]["iat"] + 30
    assert "nonce" not in claims
    assert claims["at_hash"] == b64(hashlib.sha256(after["access_token"].encode()).digest()[:16])


@pytest.mark.row("T-21")
def test_a_client_may_be_registered_to_get_no_id_token_again(
    browser: FlaskClient, build: Build, session: Account
) -> None:
    # OpenID Connect Core 1.0, 12.2.
    ent = build.ent(scopes=OFFLINE, refresh_id_token=False)
    body = ent.refresh(browser, tokens_for(browser, ent, scope=OFFLINE)["refresh_token"]).get_json()
    assert set(body) == {"access_token", "token_type", "expires_in", "scope", "refresh_token"}


@pytest.mark.row("T-22")
def test_a_scope_may_be_narrowed_and_never_widened(
    browser: FlaskClient, offline: RelyingParty, session: Account
) -> None:
    # RFC 6749, 6.
    first = tokens_for(browser, offline, scope="openid email offline_access")
    for scope in ("openid email ent", "admin", "openid é"):
        refused(offline.refresh(browser, first["refresh_token"], scope=scope), "invalid_scope")
    narrow = offline.refresh(browser, first["refresh_token"], scope="openid").get_json()
    assert narrow["scope"] == "openid"
    assert set(offline.userinfo(browser, narrow["access_token"]).get_json()) == {"sub"}
    whole = offline.refresh(browser, narrow["refresh_token"]).get_json()
    assert whole["scope"] == "openid email offline_access"
    refused(offline.refresh(browser, "x" * 43, scope="openid"), "invalid_grant")


@pytest.mark.row("U-04")
def test_a_narrowed_scope_is_narrow_in_the_id_token_too(
    browser: FlaskClient, build: Build, offline: RelyingParty, session: Account
) -> None:
    # RFC 6749, 3.3.
    build.publish(offline, "1")
    first = tokens_for(browser, offline, scope=OFFLINE)
    assert "charter_accepted" in offline.read(browser, first["id_token"])
    narrow = offline.refresh(browser, first["refresh_token"], scope="openid").get_json()
    assert "charter_accepted" not in offline.read(browser, narrow["id_token"])
    other = offline.refresh(browser, narrow["refresh_token"], scope="email").get_json()
    assert "id_token" not in other
    answer = offline.userinfo(browser, other["access_token"])
    refused(answer, "insufficient_scope", 403)
    assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]


@pytest.mark.row("T-22")
def test_no_rotation_prolongs_the_absolute_life(browser: FlaskClient, offline: RelyingParty, session: Account) -> None:
    # OWASP ASVS 5, V 10.4.8; RFC 9700, 4.14.2. An unused token lives two weeks, no token a month.
    unused = tokens_for(browser, offline, scope=OFFLINE)["refresh_token"]
    with later(14 * 86_400 + 60):
        refused(offline.refresh(browser, unused), "invalid_grant")
    value = tokens_for(browser, offline, scope=OFFLINE)["refresh_token"]
    for days in (10, 20, 29):
        with later(days * 86_400):
            response = offline.refresh(browser, value)
            assert response.status_code == 200, days
            value = response.get_json()["refresh_token"]
    with later(30 * 86_400 + 60):
        refused(offline.refresh(browser, value), "invalid_grant")
    assert len(set(db.session.scalars(select(Token.family_expires_at).where(Token.kind == "r")))) == 2


@pytest.mark.row("T-23")
def test_a_replay_after_a_restart_is_detected(
    browser: FlaskClient, offline: RelyingParty, session: Account, database_url: str
) -> None:
    # RFC 9700, 4.14.2.
    first = tokens_for(browser, offline, scope=OFFLINE)
    second = offline.refresh(browser, first["refresh_token"]).get_json()
    registry.forget()
    with node(database_url) as restarted, later(15):
        after = restarted.test_client()
        refused(offline.refresh(after, first["refresh_token"]), "invalid_grant")
        refused(offline.refresh(after, second["refresh_token"]), "invalid_grant")
    assert reuses() == 1
