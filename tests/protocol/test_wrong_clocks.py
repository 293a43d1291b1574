"""Wrong clocks: one that goes back between two requests, and two nodes whose clocks are two minutes apart."""

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
from tests.pages import follow, form_token, heading, sign_in, submit
from tests.protocol.flow import OFFLINE, code_for, refused, tokens_for
from tests.protocol.nodes import moved, node
from tests.recovery.steps import CHOSEN, DONE, USED, enters, mailed_link
from tests.relying_party import Attempt, RelyingParty

STEP = 120
"""By how many seconds a clock is wrong, as in `make chaos`."""
HOME = "Gérer mon compte"
ahead_and_behind = pytest.mark.parametrize("step", [STEP, -STEP], ids=["ahead", "behind"])


@pytest.fixture
def ent(build: Build) -> RelyingParty:
    return build.ent(scopes=OFFLINE)


@pytest.fixture
def right() -> Iterator[None]:
    """The right clock. It stands still, so that no result depends on how fast a test runs."""
    with time_machine.travel(now(), tick=False):
        yield


@contextmanager
def wrong(step: float) -> Iterator[None]:
    """Let the clock be wrong by `step` seconds: for a time, or for the requests to one node."""
    with time_machine.travel(now() + timedelta(seconds=step), tick=False):
        yield


@pytest.fixture
def without_grace(database_url: str, app: Flask) -> Iterator[Flask]:
    """A node at which each refresh token can be used once."""
    with node(database_url, refresh_grace=0) as other:
        yield other


@pytest.fixture
def other(database_url: str, app: Flask) -> Iterator[Flask]:
    with node(database_url) as other:
        yield other


def reuses() -> int:
    return len(db.session.scalars(select(AuditEntry).where(AuditEntry.kind == "refresh.reused")).all())


@pytest.mark.row("T-20")
@pytest.mark.parametrize("back", [1, STEP])
def test_a_refresh_token_is_redeemed_once_when_the_clock_goes_back(
    right: None, browser: FlaskClient, session: Account, ent: RelyingParty, without_grace: Flask, back: int
) -> None:
    # RFC 9700, 4.14.2. By the clock that went back, the token will be used only later.
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
    # RFC 6749, 4.1.2. A code that expired may be valid again, but no code is used again.
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
    assert heading(submit(browser, browser.get(link), nouveau=CHOSEN)) == DONE
    with wrong(-STEP):
        again = app.test_client()
        assert heading(again.get(link)) == USED
        data = {"csrf_token": form_token(again.get("/connexion")), "nouveau": PASSWORD}
        assert heading(follow(again, again.post(link, data=data))) == USED
    assert enters(app, parent, CHOSEN)


@pytest.mark.row("X-05")
@ahead_and_behind
def test_a_session_of_one_node_is_valid_at_the_other(
    right: None, app: Flask, browser: FlaskClient, parent: Account, ent: RelyingParty, other: Flask, step: int
) -> None:
    sign_in(browser, "/connexion", parent.username, PASSWORD)
    there = moved(browser, other)
    with wrong(step):
        assert heading(there.get("/mon-compte")) == HOME
        second = other.test_client()
        sign_in(second, "/connexion", parent.username, PASSWORD)
    here = moved(second, app)
    assert heading(here.get("/mon-compte")) == HOME
    assert tokens_for(here, ent)
    assert here.post("/logout", data={"csrf_token": form_token(here.get("/logout"))}).status_code == 200
    with wrong(step):
        assert second.get("/mon-compte").status_code == 303
        assert heading(there.get("/mon-compte")) == HOME, "the other session goes on"


@pytest.mark.row("X-05")
@ahead_and_behind
def test_a_refresh_token_rotates_at_both_nodes_and_a_replay_ends_its_family_at_both(
    right: None, browser: FlaskClient, session: Account, ent: RelyingParty, without_grace: Flask, step: int
) -> None:
    # RFC 9700, 4.14.2.
    here, there = moved(browser, without_grace), moved(browser, without_grace)
    first = tokens_for(here, ent, scope=OFFLINE)
    with wrong(step):
        second = ent.refresh(there, first["refresh_token"])
        assert second.status_code == 200
    third = ent.refresh(here, second.get_json()["refresh_token"])
    assert third.status_code == 200
    assert reuses() == 0
    with wrong(step):
        refused(ent.refresh(there, second.get_json()["refresh_token"]), "invalid_grant")
    refused(ent.refresh(here, third.get_json()["refresh_token"]), "invalid_grant")
    assert reuses() == 1


@pytest.mark.row("X-05", "T-21")
@ahead_and_behind
def test_the_grace_period_is_longer_or_shorter_by_the_difference(
    right: None, browser: FlaskClient, session: Account, ent: RelyingParty, other: Flask, step: int
) -> None:
    # RFC 9700, 4.14.2. A node that is ahead takes a repetition for a replay; one behind gives the same successor.
    there = moved(browser, other)
    first = tokens_for(browser, ent, scope=OFFLINE)
    second = ent.refresh(browser, first["refresh_token"]).get_json()
    with wrong(step):
        again = ent.refresh(there, first["refresh_token"])
        if step > 0:
            refused(again, "invalid_grant")
        else:
            assert again.get_json()["refresh_token"] == second["refresh_token"]
    assert reuses() == (1 if step > 0 else 0)


@pytest.mark.row("X-05")
@ahead_and_behind
def test_a_form_and_its_request_from_one_node_are_accepted_by_the_other(
    right: None, app: Flask, browser: FlaskClient, parent: Account, ent: RelyingParty, other: Flask, step: int
) -> None:
    # The browser's cookie, the form's token and the interaction are signed values with a time.
    for here, there, at_first, then in ((app, other, 0, step), (other, app, step, 0)):
        with wrong(at_first):
            first = here.test_client()
            page = follow(first, first.get(ent.url(Attempt())))
        assert heading(page) == "Connexion"
        with wrong(then):
            answer = submit(moved(first, there), page, identifiant=parent.username, mot_de_passe=PASSWORD)
            assert answer.status_code == 303, heading(answer)
            assert ent.answer(answer)["code"]


@pytest.mark.row("X-05")
@ahead_and_behind
def test_a_sign_in_at_a_node_that_is_behind_is_not_the_one_that_the_client_demanded(
    right: None, app: Flask, browser: FlaskClient, parent: Account, ent: RelyingParty, other: Flask, step: int
) -> None:
    # OpenID Connect Core 1.0, 3.1.2.1. By its time the sign-in was before the request: one more is needed.
    page = follow(browser, browser.get(ent.url(Attempt(), prompt="login")))
    with wrong(step):
        answer = submit(moved(browser, other), page, identifiant=parent.username, mot_de_passe=PASSWORD)
    if step > 0:
        assert ent.answer(answer)["code"]
    else:
        assert heading(answer) == "Connexion"
