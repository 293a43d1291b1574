"""V-08 and V-18: how often a letter's secret may be guessed at."""

from datetime import timedelta

import time_machine
from flask import Flask
from flask.testing import FlaskClient

from idp.clock import now
from idp.throttle import limits
from tests.activation.steps import ACTIVATION, kept, without_token
from tests.builders import PROVISIONAL, Build
from tests.pages import heading, sign_in


def test_v08_fifty_wrong_secrets_in_a_row_from_anywhere_end_a_letter(
    app: Flask, browser: FlaskClient, build: Build
) -> None:
    account = build.never_activated(provisional_expires_at=now() + timedelta(days=60))
    other = build.never_activated(provisional_expires_at=now() + timedelta(days=60))
    with time_machine.travel(now(), tick=False) as clock:
        for n in range(limits.NEW_LETTER_AT):
            assert kept(account.id).letter
            guesser = app.test_client()
            guesser.environ_base["REMOTE_ADDR"] = f"203.0.113.{n}"
            assert sign_in(guesser, "/connexion", account.username, f"7K4M-QX2P-{n:04}").status_code == 200
            clock.shift(timedelta(minutes=11))
        assert not kept(account.id).letter
        page = sign_in(browser, "/connexion", account.username, PROVISIONAL)
        assert "La connexion n’a pas abouti" in page.text
        assert "demandez un nouveau courrier au secrétariat" in page.text
        assert heading(sign_in(browser, "/connexion", other.username, PROVISIONAL)) == ACTIVATION


def test_v18_who_guesses_identifiers_is_stopped_at_the_same_count_whether_they_exist_or_not(
    app: Flask, build: Build
) -> None:
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
