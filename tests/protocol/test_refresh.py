"""Refresh tokens (security rows T-20 to T-23)."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from idp.accounts.models import Account
from idp.app import create_app
from idp.audit.models import AuditEntry
from idp.clients import registry
from idp.config import Settings
from idp.db import db
from idp.oidc import registration
from idp.oidc.models import Token
from tests.builders import Build
from tests.pages import form_token
from tests.protocol.flow import OFFLINE, refused, tokens_for
from tests.relying_party import RelyingParty


@pytest.fixture
def offline(build: Build) -> RelyingParty:
    return build.ent(scopes=OFFLINE)


def later(seconds: float) -> time_machine.travel:
    return time_machine.travel(datetime.now(UTC) + timedelta(seconds=seconds))


def reuses() -> int:
    return len(db.session.scalars(select(AuditEntry).where(AuditEntry.kind == "refresh.reused")).all())


def test_t20_a_rotated_token_that_comes_again_late_kills_the_family(
    browser: FlaskClient, offline: RelyingParty, session: Account
) -> None:
    first = tokens_for(browser, offline, scope=OFFLINE)
    second = offline.refresh(browser, first["refresh_token"]).get_json()
    assert offline.userinfo(browser, second["access_token"]).status_code == 200
    with later(15):
        refused(offline.refresh(browser, first["refresh_token"]), "invalid_grant")
        refused(offline.refresh(browser, second["refresh_token"]), "invalid_grant")
        for token in (first, second):
            assert offline.userinfo(browser, token["access_token"]).status_code == 401
    assert reuses() == 1


def test_t21_a_lost_answer_may_be_asked_again_for_ten_seconds(
    browser: FlaskClient, offline: RelyingParty, session: Account
) -> None:
    first = tokens_for(browser, offline, scope=OFFLINE)
    offline.refresh(browser, first["refresh_token"])
    with later(2):
        again = offline.refresh(browser, first["refresh_token"])
        assert again.status_code == 200
        sibling = again.get_json()
        assert offline.userinfo(browser, sibling["access_token"]).status_code == 200
        assert offline.refresh(browser, sibling["refresh_token"]).status_code == 200
    assert reuses() == 0


def test_t21_an_answer_holds_a_new_pair_and_an_id_token_only_for_who_wants_one(
    browser: FlaskClient, build: Build, offline: RelyingParty, session: Account
) -> None:
    first = tokens_for(browser, offline, scope=OFFLINE)
    body = offline.refresh(browser, first["refresh_token"]).get_json()
    assert set(body) == {"access_token", "token_type", "expires_in", "scope", "refresh_token"}
    assert body["refresh_token"] != first["refresh_token"]
    wants = build.ent("Horizon", "horizon.test", scopes=OFFLINE, refresh_id_token=True)
    before = tokens_for(browser, wants, scope=OFFLINE)
    with later(30):
        after = wants.refresh(browser, before["refresh_token"]).get_json()
        claims = wants.read(browser, after["id_token"])
    same = ("iss", "sub", "aud", "azp", "auth_time", "sid")
    assert {name: claims[name] for name in same} == {name: before["claims"][name] for name in same}
    assert claims["iat"] > before["claims"]["iat"]
    assert "nonce" not in claims


def test_t22_a_scope_may_be_narrowed_and_never_widened(
    browser: FlaskClient, offline: RelyingParty, session: Account
) -> None:
    first = tokens_for(browser, offline, scope="openid email offline_access")
    for scope in ("openid email ent", "admin", "openid é"):
        refused(offline.refresh(browser, first["refresh_token"], scope=scope), "invalid_scope")
    narrow = offline.refresh(browser, first["refresh_token"], scope="openid").get_json()
    assert narrow["scope"] == "openid"
    assert set(offline.userinfo(browser, narrow["access_token"]).get_json()) == {"sub"}
    whole = offline.refresh(browser, narrow["refresh_token"]).get_json()
    assert whole["scope"] == "openid email offline_access"
    refused(offline.refresh(browser, "x" * 43, scope="openid"), "invalid_grant")


def test_t22_another_client_s_refresh_token_is_refused_and_stays_good(
    browser: FlaskClient, build: Build, offline: RelyingParty, session: Account
) -> None:
    other = build.ent("Horizon", "horizon.test", scopes=OFFLINE)
    first = tokens_for(browser, offline, scope=OFFLINE)
    refused(other.refresh(browser, first["refresh_token"]), "invalid_grant")
    second = offline.refresh(browser, first["refresh_token"]).get_json()
    with later(15):
        refused(other.refresh(browser, first["refresh_token"]), "invalid_grant")
        assert offline.refresh(browser, second["refresh_token"]).status_code == 200
    assert reuses() == 0


def password_changed(_browser: FlaskClient, account: Account) -> None:
    account.generation += 1
    db.session.commit()


def account_disabled(_browser: FlaskClient, account: Account) -> None:
    account.disabled_at = datetime.now(UTC)
    db.session.commit()


def signed_out(browser: FlaskClient, _account: Account) -> None:
    page = browser.get("/logout")
    assert browser.post("/logout", data={"csrf_token": form_token(page)}).status_code == 200


@pytest.mark.parametrize("happened", [password_changed, account_disabled, signed_out])
def test_t22_a_refresh_token_dies_with_what_it_stands_for(
    browser: FlaskClient,
    offline: RelyingParty,
    session: Account,
    happened: Callable[[FlaskClient, Account], None],
) -> None:
    first = tokens_for(browser, offline, scope=OFFLINE)
    happened(browser, session)
    refused(offline.refresh(browser, first["refresh_token"]), "invalid_grant")
    assert offline.userinfo(browser, first["access_token"]).status_code == 401
    assert reuses() == 0  # it was not stolen


def test_t22_a_client_that_is_shut_out_refreshes_nothing(
    browser: FlaskClient, offline: RelyingParty, session: Account
) -> None:
    first = tokens_for(browser, offline, scope=OFFLINE)
    registration.disable(offline.client_id)
    refused(offline.refresh(browser, first["refresh_token"]), "invalid_client", 401)


def test_t22_no_rotation_prolongs_the_absolute_life(
    browser: FlaskClient, offline: RelyingParty, session: Account
) -> None:
    value = tokens_for(browser, offline, scope=OFFLINE)["refresh_token"]
    for days in (10, 20, 29):
        with later(days * 86_400):
            response = offline.refresh(browser, value)
            assert response.status_code == 200, days
            value = response.get_json()["refresh_token"]
    with later(30 * 86_400 + 60):
        refused(offline.refresh(browser, value), "invalid_grant")
    ends = set(db.session.scalars(select(Token.family_expires_at).where(Token.kind == "r")))
    assert len(ends) == 1


def test_t22_a_token_that_is_not_used_for_two_weeks_dies(
    browser: FlaskClient, offline: RelyingParty, session: Account
) -> None:
    value = tokens_for(browser, offline, scope=OFFLINE)["refresh_token"]
    with later(14 * 86_400 + 60):
        refused(offline.refresh(browser, value), "invalid_grant")


def test_t23_a_replay_after_a_restart_is_detected(
    browser: FlaskClient, app: Flask, settings: Settings, offline: RelyingParty, session: Account
) -> None:
    first = tokens_for(browser, offline, scope=OFFLINE)
    second = offline.refresh(browser, first["refresh_token"]).get_json()
    db.session.remove()
    registry.forget()
    restarted = create_app(settings)
    restarted.test_client_class = app.test_client_class
    with later(15):
        after = restarted.test_client()
        refused(offline.refresh(after, first["refresh_token"]), "invalid_grant")
        refused(offline.refresh(after, second["refresh_token"]), "invalid_grant")
    with restarted.app_context():
        assert reuses() == 1
        db.session.remove()
        db.engine.dispose()
        restarted.extensions["idp.server"].store.close()
