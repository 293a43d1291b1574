"""V-08, V-18 and V-25: rate limits of the letter's secret and of the form that follows it."""

from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from idp.accounts import school_notices
from idp.accounts.models import Account, SchoolNotice
from idp.accounts.passwords.hasher import Hasher, Lane
from idp.clock import now
from idp.db import db
from idp.throttle import limits
from tests.activation.steps import ACTIVATION, fill_in, open_activation, read_state, without_token
from tests.builders import PROVISIONAL, Build
from tests.pages import heading, sign_in


@pytest.mark.row("V-08")
def test_a_guessed_letter_stays_valid_and_the_school_is_notified_once(
    app: Flask, browser: FlaskClient, build: Build
) -> None:
    account = build.never_activated(provisional_expires_at=now() + timedelta(days=60))
    with time_machine.travel(now(), tick=False) as clock:
        for n in range(120):
            assert count_notices(account) == (1 if n >= limits.LETTER_NOTICE_AT else 0)
            guesser = app.test_client()
            guesser.environ_base["REMOTE_ADDR"] = f"203.0.113.{n}"
            assert sign_in(guesser, "/connexion", account.username, f"7K4M-QX2P-{n:04}").status_code == 200
            clock.shift(timedelta(minutes=11))
        assert read_state(account.id).letter
        assert count_notices(account) == 1
        assert heading(sign_in(browser, "/connexion", account.username, PROVISIONAL)) == ACTIVATION


@pytest.mark.row("V-08")
def test_the_school_is_notified_again_of_guesses_after_it_settled(app: Flask, newcomer: Account) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        for n in range(2 * limits.LETTER_NOTICE_AT):
            sign_in(app.test_client(), "/connexion", newcomer.username, f"7K4M-QX2P-{n:04}")
            clock.shift(timedelta(minutes=11))
            if n == limits.LETTER_NOTICE_AT:
                school_notices.settle(newcomer.id, by="test", sentence="a joke")
                db.session.commit()
    assert count_notices(newcomer) == 2


def count_notices(account: Account) -> int:
    statement = select(func.count()).select_from(SchoolNotice).where(SchoolNotice.account_id == account.id)
    count = db.session.scalar(statement.where(SchoolNotice.kind == "letter_guessed")) or 0
    db.session.rollback()
    return count


@pytest.mark.row("V-18")
def test_known_and_unknown_identifiers_are_rate_limited_at_the_same_count(app: Flask, build: Build) -> None:
    real = [build.never_activated().username for _ in range(35)]
    unknown = [f"x.inconnu{n}" for n in range(35)]
    outcomes = {}
    with time_machine.travel(now(), tick=False):
        for name, usernames in (("real", real), ("unknown", unknown)):
            guesser = app.test_client()
            guesser.environ_base["REMOTE_ADDR"] = "203.0.113.7" if name == "real" else "203.0.113.8"
            pages = [sign_in(guesser, "/connexion", username, "7K4M-QX2P-0000") for username in usernames]
            outcomes[name] = [
                (page.status_code, page.headers.get("Retry-After"), without_token(page).replace(username, ""))
                for page, username in zip(pages, usernames, strict=True)
            ]
    assert outcomes["real"] == outcomes["unknown"]
    assert [status for status, _, _ in outcomes["real"]] == [200] * 30 + [429] * 5


@pytest.mark.row("V-25")
def test_forms_of_an_activation_are_limited_before_the_hash(
    browser: FlaskClient, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = open_activation(browser, build.never_activated())
    hashed: list[str] = []
    verify = Hasher.verify

    def verify_and_note(self: Hasher, stored: str | None, password: str, lane: Lane) -> bool:
        hashed.append(password)
        return verify(self, stored, password, lane)

    monkeypatch.setattr(Hasher, "verify", verify_and_note)
    with time_machine.travel(now(), tick=False):
        most = limits.ACTIVATION_ACCOUNT.windows[0].tries
        for _ in range(most):
            assert fill_in(browser, page, mail="wrong").status_code == 200
        before = len(hashed)
        refused = fill_in(browser, page)
    assert (refused.status_code, refused.headers["Retry-After"], len(hashed)) == (429, "60", before)
