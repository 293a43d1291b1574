"""I-27: successful sign-ins have a limit, and an account has few open sessions."""

from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from sqlalchemy import func, select

from idp.accounts.models import Account
from idp.clock import now
from idp.db import db
from idp.sessions.models import Session
from idp.throttle import limits
from tests.builders import PASSWORD
from tests.pages import heading, sign_in

pytestmark = pytest.mark.row("I-27")


def count_open(account: Account) -> int:
    opened = Session.account_id == account.id, Session.ended_at.is_(None)
    number = db.session.scalar(select(func.count()).select_from(Session).where(*opened)) or 0
    db.session.rollback()
    return number


def test_an_account_signs_in_sixty_times_an_hour_and_keeps_the_thirty_youngest_sessions(
    app: Flask, parent: Account
) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        browsers = [app.test_client() for _ in range(limits.SIGN_INS.tries)]
        for number, browser in enumerate(browsers, 1):
            assert heading(sign_in(browser, "/connexion", parent.username, PASSWORD)) == "Gérer mon compte"
            assert count_open(parent) == min(number, limits.MOST_SESSIONS)
            clock.shift(timedelta(seconds=1))
        assert heading(browsers[30].get("/mon-compte")) == "Gérer mon compte"
        assert browsers[29].get("/mon-compte").status_code == 303, "the oldest one ended"
        for _ in range(limits.SIGN_IN_ACCOUNT.free + 1):  # a right password is no failure
            refused = sign_in(app.test_client(), "/connexion", parent.username, PASSWORD)
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, str(3600 - limits.SIGN_INS.tries))
        assert heading(refused) == "Un peu de patience"
        assert count_open(parent) == limits.MOST_SESSIONS
        clock.shift(timedelta(hours=1))
        assert heading(sign_in(app.test_client(), "/connexion", parent.username, PASSWORD)) == "Gérer mon compte"
