"""A clock that goes back between two requests makes nothing usable a second time."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from idp.accounts.models import Account
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.db import db
from idp.oidc.models import Token
from tests.builders import PASSWORD, Build
from tests.pages import follow, form_token, heading, submit
from tests.protocol.flow import OFFLINE, code_for, refused, tokens_for
from tests.protocol.nodes import moved, node
from tests.recovery.steps import CHOSEN, DONE, USED, enters, mailed_link
from tests.relying_party import Attempt, RelyingParty

pytestmark = pytest.mark.both_databases

STEP = 120
"""By how many seconds a clock is wrong, as in `make chaos`."""


@pytest.fixture
def ent(build: Build) -> RelyingParty:
    """An ENT with offline access."""
    return build.ent(scopes=OFFLINE)


@pytest.fixture
def right() -> Iterator[None]:
    """The right clock. It stands still, so that no result depends on how fast a test runs."""
    with time_machine.travel(now(), tick=False):
        yield


@contextmanager
def wrong(step: float) -> Iterator[None]:
    """Let the clock be wrong by `step` seconds."""
    with time_machine.travel(now() + timedelta(seconds=step), tick=False):
        yield


@pytest.fixture
def without_grace(database_url: str, app: Flask) -> Iterator[Flask]:
    """A node at which each refresh token can be used once."""
    with node(database_url, refresh_grace=0) as other:
        yield other


def reuses() -> int:
    """Return how many replays of a refresh token the journal has."""
    return len(db.session.scalars(select(AuditEntry).where(AuditEntry.kind == "refresh.reused")).all())


@pytest.mark.row("T-20")
@pytest.mark.parametrize("back", [1, STEP])
def test_a_refresh_token_is_redeemed_once_when_the_clock_goes_back(
    right: None, browser: FlaskClient, session: Account, ent: RelyingParty, without_grace: Flask, back: int
) -> None:
    """RFC 9700, 4.14.2. By the clock that went back, the token will be used only later."""
    browser = moved(browser, without_grace)
    first = tokens_for(browser, ent, scope=OFFLINE)
    second = ent.refresh(browser, first["refresh_token"])
    assert second.status_code == 200
    with wrong(-back):
        refused(ent.refresh(browser, first["refresh_token"]), "invalid_grant")
        refused(ent.refresh(browser, second.get_json()["refresh_token"]), "invalid_grant")
    assert reuses() == 1
    tokens = db.session.scalars(select(Token)).all()
    assert len(tokens) == 4, "two pairs"
    assert all(token.revoked_at for token in tokens)


@pytest.mark.row("T-02")
def test_a_code_is_redeemed_once_when_the_clock_goes_back(
    right: None, browser: FlaskClient, session: Account, ent: RelyingParty
) -> None:
    """RFC 6749, 4.1.2. A code that expired may be valid again, but no code is used again."""
    attempt, late = Attempt(), Attempt()
    code, unused = code_for(browser, ent, attempt), code_for(browser, ent, late)
    assert ent.exchange(browser, code, attempt).status_code == 200
    with wrong(-STEP):
        refused(ent.exchange(browser, code, attempt), "invalid_grant")
    with wrong(STEP):
        refused(ent.exchange(browser, unused, late), "invalid_grant")
    assert ent.exchange(browser, unused, late).status_code == 200
    refused(ent.exchange(browser, unused, late), "invalid_grant")


def test_a_one_time_link_is_used_once_when_the_clock_goes_back(
    right: None, app: Flask, browser: FlaskClient, parent: Account
) -> None:
    link = mailed_link(app, browser, parent)
    page = browser.get(link)
    assert heading(submit(browser, page, nouveau=CHOSEN)) == DONE
    with wrong(-STEP):
        again = app.test_client()
        assert heading(again.get(link)) == USED
        data = {"csrf_token": form_token(again.get("/connexion")), "nouveau": PASSWORD}
        assert heading(follow(again, again.post(link, data=data))) == USED
    assert enters(app, parent, CHOSEN)
