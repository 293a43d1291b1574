"""What many processes send at once is accepted once: codes, refresh tokens, requests, proofs (rows Z-01, Z-02)."""

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select, update
from werkzeug.test import TestResponse

from idp import opaque
from idp.accounts.models import Account
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.config import Settings
from idp.db import db
from idp.oidc.authorization import par
from idp.oidc.models import AuthorizationCode, SpentProof, Token
from tests import forked
from tests.builders import Build, commit
from tests.databases import LOCK_WAITS, settings_for
from tests.dpop_party import KeyedParty
from tests.protocol.flow import HOST, OFFLINE, code_for
from tests.relying_party import Attempt, RelyingParty
from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]
PROCESSES = 16


@pytest.fixture
def settings(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Codes and pushed requests are valid for ten minutes, because fifty rounds may take longer than one minute."""
    monkeypatch.setattr(par, "_LIFETIME_SECONDS", 599)
    return settings_for(database_url, code_lifetime=600)


def rush(
    database_url: str, issuer: str, requests: list[dict[str, Any]], processes: int = PROCESSES
) -> list[list[list[Any]]]:
    """Send each request from all processes at once; return the answers of each round."""
    order = {"database": database_url, "issuer": issuer, "requests": requests, "processes": processes}
    done = forked.run("tests.protocol.rush", cwd=ROOT, timeout=300, stdin=json.dumps(order))
    assert done.returncode == 0, done.stderr[-2000:]
    rounds: list[list[list[Any]]] = json.loads(done.stdout)
    assert len(rounds) == len(requests)
    return rounds


def at_token(ent: RelyingParty, form: dict[str, str]) -> dict[str, Any]:
    return {"path": "/token", "method": "POST", "data": form, "headers": ent.basic()}


@pytest.mark.row("Z-01")
@pytest.mark.parametrize("rounds", [10, pytest.param(50, marks=pytest.mark.long)])
def test_sixteen_processes_redeem_one_code_and_one_wins(
    browser: FlaskClient, build: Build, ent: RelyingParty, session: Account, database_url: str, rounds: int
) -> None:
    # RFC 6749, 4.1.2.
    attempts = [Attempt() for _ in range(rounds)]
    forms = [
        {
            "grant_type": "authorization_code",
            "code": code_for(browser, ent, attempt),
            "redirect_uri": ent.redirect_uri,
            "code_verifier": attempt.verifier,
        }
        for attempt in attempts
    ]
    db.session.remove()
    for answers in rush(database_url, ent.issuer, [at_token(ent, form) for form in forms]):
        counted = Counter((status, error) for status, error, _token in answers)
        assert counted == {(200, None): 1, (400, "invalid_grant"): PROCESSES - 1}
        [winner] = [token for _status, _error, token in answers if token]
        assert ent.userinfo(browser, winner).status_code == 401  # fifteen replays revoked its tokens
    assert db.session.scalar(select(func.count()).select_from(Token)) == rounds
    assert db.session.scalar(select(func.count()).select_from(Token).where(Token.revoked_at.is_(None))) == 0
    reused = select(func.count()).select_from(AuditEntry).where(AuditEntry.kind == "code.reused")
    # the replay that revoked is recorded, and the first of the hour, which may be another
    assert rounds <= (db.session.scalar(reused) or 0) <= 2 * rounds


@pytest.mark.row("Z-02")
@pytest.mark.parametrize("rounds", [4, pytest.param(10, marks=pytest.mark.long)])
def test_sixteen_processes_refresh_one_token_and_no_chain_outlives_a_replay(
    browser: FlaskClient, build: Build, session: Account, database_url: str, rounds: int
) -> None:
    # RFC 9700, 4.14.2. Concurrent refreshes belong to the same family, and one late replay revokes it.
    ent = build.ent(scopes=OFFLINE)
    forms = []
    for _ in range(rounds):
        attempt = Attempt()
        tokens = ent.tokens(browser, code_for(browser, ent, attempt, scope=OFFLINE), attempt)
        forms.append({"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]})
    db.session.remove()
    for answers in rush(database_url, ent.issuer, [at_token(ent, form) for form in forms]):
        # concurrent requests count as retries: siblings of one family, which a late replay revokes
        assert {(status, error) for status, error, _token in answers} <= {(200, None), (400, "invalid_grant")}
        assert any(token for _status, _error, token in answers)
    families = select(func.count(func.distinct(Token.family)))
    assert db.session.scalar(families) == len(forms)
    commit(update(Token).values(used_at=now() - timedelta(minutes=1)).where(Token.used_at.is_not(None)))
    alive = families.where(Token.revoked_at.is_(None))
    for left, form in enumerate(reversed(forms)):
        assert db.session.scalar(alive) == len(forms) - left
        assert ent.refresh(browser, form["refresh_token"]).get_json()["error"] == "invalid_grant"
    assert db.session.scalar(alive) == 0


def in_a_thread(app: Flask, ent: RelyingParty, refresh_token: str) -> TestResponse:
    with app.app_context():
        return ent.refresh(app.test_client(), refresh_token)


def wait_until_somebody_waits_for_a_lock(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as watcher:
        wait_for(lambda: watcher.execute(LOCK_WAITS).fetchone() != (0,))


@pytest.mark.row("Z-02")
def test_a_rotation_under_way_does_not_outlive_the_replay_that_ends_its_family(
    browser: FlaskClient, app: Flask, build: Build, session: Account, database_url: str
) -> None:
    # RFC 9700, 4.14.2.
    ent, attempt = build.ent(scopes=OFFLINE), Attempt()
    first = ent.tokens(browser, code_for(browser, ent, attempt, scope=OFFLINE), attempt)["refresh_token"]
    second = ent.refresh(browser, first).get_json()["refresh_token"]
    long_ago = now() - timedelta(minutes=1)
    commit(update(Token).values(used_at=long_ago).where(Token.used_at.is_not(None)))
    columns = "kind, family, client_id, account_id, session_id, scope, acr, auth_time, expires_at, family_expires_at"
    with psycopg.connect(database_url) as rotation, ThreadPoolExecutor(1) as thief:
        # the statement of the rotation, in an open transaction
        rotation.execute("UPDATE token SET used_at = now() WHERE digest = %s", [opaque.digest(second)])
        rotation.execute(
            f"INSERT INTO token (digest, {columns}) SELECT %s, {columns} FROM token WHERE digest = %s",  # noqa: S608
            [b"third", opaque.digest(second)],
        )
        replay = thief.submit(in_a_thread, app, ent, first)
        wait_until_somebody_waits_for_a_lock(database_url)
        assert not replay.done()
        rotation.commit()
        assert replay.result().get_json()["error"] == "invalid_grant"
    assert db.session.scalar(select(func.count()).select_from(Token).where(Token.revoked_at.is_(None))) == 0


EIGHT, ROUNDS = 8, 20


@pytest.fixture
def party(build: Build, session: Account) -> KeyedParty:
    return KeyedParty.of(build.ent())


def test_eight_processes_open_one_pushed_request_and_it_gives_one_code(
    browser: FlaskClient, party: KeyedParty, database_url: str
) -> None:
    # RFC 9126, 7.3.
    session_cookie = browser.get_cookie("__Host-ss", domain=HOST)
    assert session_cookie
    pushed = [party.pushed(browser, Attempt()) for _ in range(ROUNDS)]
    headers = {"Cookie": f"__Host-ss={session_cookie.value}"}
    requests = [{"path": party.opened(request_uri), "method": "GET", "headers": headers} for request_uri in pushed]
    db.session.remove()
    for answers in rush(database_url, party.issuer, requests, EIGHT):
        assert Counter(status for status, _error, _brought in answers) == {303: 1, 400: EIGHT - 1}
        [location] = [brought for _status, _error, brought in answers if brought]
        assert location.startswith(f"{party.redirect_uri}?code=")
    assert db.session.scalar(select(func.count()).select_from(AuthorizationCode)) == ROUNDS


def test_eight_processes_show_one_proof_and_one_is_answered(
    browser: FlaskClient, party: KeyedParty, database_url: str, attempt: Attempt
) -> None:
    # RFC 9449, 11.1.
    code = code_for(browser, party, attempt)
    token = party.redeem(browser, code, attempt, party.fresh_proof()).get_json()["access_token"]
    url, late = f"{party.issuer}/userinfo", int(time.time()) + 50  # the maximum age of a proof
    proofs = [party.key.proof("GET", url, token, iat=late) for _ in range(ROUNDS)]
    shown = [{"Authorization": f"DPoP {token}", "DPoP": proof} for proof in proofs]
    requests = [{"path": "/userinfo", "method": "GET", "headers": headers} for headers in shown]
    db.session.remove()
    for answers in rush(database_url, party.issuer, requests, EIGHT):
        counted = Counter((status, error) for status, error, _brought in answers)
        assert counted == {(200, None): 1, (401, "invalid_dpop_proof"): EIGHT - 1}
    assert db.session.scalar(select(func.count()).select_from(SpentProof)) == ROUNDS + 1
