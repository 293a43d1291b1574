"""I-05, I-07 and W-02: an attack slows unknown devices down, and does not block the parent's known device."""

from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from idp.accounts.credentials import PasswordState
from idp.accounts.models import Account
from idp.accounts.notices import NOTICE, Notice
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.db import db, release_connection
from idp.families import acts
from idp.outbox.queue import OutboxMessage
from idp.sessions import devices
from idp.throttle import guard, limits
from tests.builders import PASSWORD, PROVISIONAL, Build
from tests.databases import ISSUER
from tests.pages import cookie_value, heading, sign_in
from tests.recovery.steps import from_ip

_ACCOUNT = "Gérer mon compte"
_HOST = "connexion.exemple.test"


def _leave(browser: FlaskClient) -> None:
    """Close the browser: delete the session cookie, keep the device cookie."""
    browser.delete_cookie("__Host-ss", domain=_HOST)


def _guess(clock: time_machine.Traveller, account: Account, times: int) -> None:
    """Use up all attempts: each is counted as on the page, without a hash."""
    username = account.username
    release_connection()
    for _ in range(times):
        verdict = guard.take(limits.SIGN_IN_ACCOUNT, username)
        while isinstance(verdict, guard.Wait):
            clock.shift(timedelta(seconds=verdict.seconds))
            verdict = guard.take(limits.SIGN_IN_ACCOUNT, username)
    clock.shift(timedelta(seconds=600))


def _close(account: Account) -> None:
    """Guess once more: from then on unknown devices must wait."""
    username = account.username
    release_connection()
    assert isinstance(guard.take(limits.SIGN_IN_ACCOUNT, username), guard.Granted)


def _mails(account: Account) -> list[str]:
    rows = db.session.scalars(select(OutboxMessage).where(OutboxMessage.kind == NOTICE)).all()
    return [row.payload["notice"] for row in rows if row.payload["account"] == str(account.id)]


@pytest.mark.row("I-05")
def test_after_a_hundred_guesses_only_the_usual_phone_gets_in(app: Flask, parent: Account) -> None:
    phone = from_ip(app, "203.0.113.1")
    with time_machine.travel(now(), tick=False) as clock:
        assert heading(sign_in(phone, "/connexion", parent.username, PASSWORD)) == _ACCOUNT
        _leave(phone)
        _guess(clock, parent, limits.SHUT_AT - 1)
        stranger = from_ip(app, "198.51.100.7")
        assert heading(sign_in(stranger, "/connexion", parent.username, "faux, encore")) == "Connexion"
        assert _mails(parent) == [Notice.MANY_TRIES.value]
        clock.shift(timedelta(seconds=600))
        refused = sign_in(stranger, "/connexion", parent.username, PASSWORD)
        assert "Cet identifiant et ce mot de passe n’ouvrent pas de compte." in " ".join(refused.text.split()).replace(
            "\u00a0", " "
        )
        clock.shift(timedelta(seconds=600))
        sign_in(stranger, "/connexion", parent.username, "faux, toujours")
        assert _mails(parent) == [Notice.MANY_TRIES.value], "one mail, not one for each try"
        assert heading(sign_in(phone, "/connexion", parent.username, PASSWORD)) == _ACCOUNT
    reasons = db.session.scalars(
        select(AuditEntry.details).where(AuditEntry.account_id == parent.id, AuditEntry.result == "refused")
    ).all()
    assert [entry["reason"] for entry in reasons] == ["wrong", "shut", "wrong"]


@pytest.mark.row("I-05")
def test_a_success_on_the_phone_does_not_reset_the_limit_of_other_devices(app: Flask, parent: Account) -> None:
    phone = from_ip(app, "203.0.113.1")
    with time_machine.travel(now(), tick=False) as clock:
        sign_in(phone, "/connexion", parent.username, PASSWORD)
        _leave(phone)
        _guess(clock, parent, 9)
        _close(parent)
        assert heading(sign_in(phone, "/connexion", parent.username, PASSWORD)) == _ACCOUNT
        assert sign_in(from_ip(app, "198.51.100.7"), "/connexion", parent.username, PASSWORD).status_code == 429


@pytest.mark.row("W-02")
def test_a_parent_who_is_guessed_at_from_everywhere_signs_in_at_once_on_the_known_phone(
    app: Flask, parent: Account
) -> None:
    phone = from_ip(app, "203.0.113.1")
    with time_machine.travel(now(), tick=False) as clock:
        sign_in(phone, "/connexion", parent.username, PASSWORD)
        _leave(phone)
        for day in range(1, 8):
            _guess(clock, parent, 3)
            _close(parent)
            assert heading(sign_in(phone, "/connexion", parent.username, PASSWORD)) == _ACCOUNT, f"day {day}"
            _leave(phone)
            clock.shift(timedelta(days=1))


@pytest.mark.row("I-05")
def test_the_phone_has_its_own_rate_limit(app: Flask, parent: Account) -> None:
    phone = from_ip(app, "203.0.113.1")
    with time_machine.travel(now(), tick=False):
        sign_in(phone, "/connexion", parent.username, PASSWORD)
        _leave(phone)
        for _ in range(5):
            assert sign_in(phone, "/connexion", parent.username, "faux").status_code == 200
        held = sign_in(phone, "/connexion", parent.username, PASSWORD)
        assert (held.status_code, held.headers["Retry-After"]) == (429, "5")
        # the same attempts limit no other device
        assert heading(sign_in(from_ip(app, "198.51.100.7"), "/connexion", parent.username, PASSWORD)) == _ACCOUNT


@pytest.mark.row("I-05")
def test_known_device_is_unknown_after_a_change_of_password(app: Flask, parent: Account) -> None:
    phone = from_ip(app, "203.0.113.1")
    with time_machine.travel(now(), tick=False) as clock:
        sign_in(phone, "/connexion", parent.username, PASSWORD)
        _leave(phone)
        clock.shift(timedelta(minutes=1))
        row = db.session.get_one(Account, parent.id)
        row.password_changed_at = now()
        db.session.commit()
        _guess(clock, parent, limits.SHUT_AT)
        assert heading(sign_in(phone, "/connexion", parent.username, PASSWORD)) == "Connexion"
        username = parent.username
        release_connection()
        guard.clear(limits.SIGN_IN_ACCOUNT, username)
        assert heading(sign_in(phone, "/connexion", parent.username, PASSWORD)) == _ACCOUNT
        _leave(phone)
        _guess(clock, parent, limits.SHUT_AT)
        assert heading(sign_in(phone, "/connexion", parent.username, PASSWORD)) == _ACCOUNT, "and then known again"


@pytest.mark.row("I-05")
def test_a_forged_device_cookie_is_no_device(app: Flask, parent: Account) -> None:
    browser = from_ip(app, "203.0.113.1")
    with time_machine.travel(now(), tick=False) as clock:
        _guess(clock, parent, limits.SHUT_AT)
        for forged in ("", "x", "e30.x", "W10.AAAA", "é" * 20, "a" * 3000):
            browser.set_cookie("__Host-dv", forged, domain=_HOST, secure=True)
            assert heading(sign_in(browser, "/connexion", parent.username, PASSWORD)) == "Connexion", forged
            clock.shift(timedelta(seconds=600))


@pytest.mark.row("I-05")
def test_a_device_of_one_parent_is_unknown_for_another(app: Flask, build: Build) -> None:
    mine, other = build.active(), build.active(email="karim@exemple.fr")
    browser = from_ip(app, "203.0.113.1")
    with time_machine.travel(now(), tick=False) as clock:
        sign_in(browser, "/connexion", mine.username, PASSWORD)
        _leave(browser)
        _guess(clock, other, limits.SHUT_AT)
        assert heading(sign_in(browser, "/connexion", other.username, PASSWORD)) == "Connexion"
        assert heading(sign_in(browser, "/connexion", mine.username, PASSWORD)) == _ACCOUNT


@pytest.mark.row("I-05")
def test_a_browser_is_a_device_of_several_parents_for_ninety_days(app: Flask, build: Build) -> None:
    parents = [build.active(email=f"parent{number}@exemple.fr") for number in range(7)]
    browser = from_ip(app, "203.0.113.1")
    with time_machine.travel(now(), tick=False) as clock:
        for parent in parents:
            sign_in(browser, "/connexion", parent.username, PASSWORD)
        cookie = cookie_value(browser, "__Host-dv")
        names = [parent.username for parent in parents]
        with app.test_request_context("/", base_url=ISSUER, headers={"Cookie": f"__Host-dv={cookie}"}):
            assert [devices.known(name) is not None for name in names] == [False] + [True] * 6
        clock.shift(devices.LIFETIME + timedelta(seconds=1))
        with app.test_request_context("/", base_url=ISSUER, headers={"Cookie": f"__Host-dv={cookie}"}):
            assert devices.known(names[-1]) is None


@pytest.mark.row("I-04")
def test_an_operator_resets_the_rate_limit_of_the_parents_phone(app: Flask, parent: Account) -> None:
    phone = from_ip(app, "203.0.113.1")
    with time_machine.travel(now(), tick=False) as clock:
        sign_in(phone, "/connexion", parent.username, PASSWORD)
        _leave(phone)
        clock.shift(timedelta(minutes=1))
        for _ in range(5):
            sign_in(phone, "/connexion", parent.username, "faux")
        assert sign_in(phone, "/connexion", parent.username, PASSWORD).status_code == 429
        acts.unlock(parent.id)
        # this process caches a refusal for ten seconds at most
        clock.shift(timedelta(seconds=10))
        assert heading(sign_in(phone, "/connexion", parent.username, PASSWORD)) == _ACCOUNT


@pytest.mark.row("Z-15")
@pytest.mark.parametrize(
    ("transaction", "blocked"),
    [("idp.login.admission.admit", False), ("idp.accounts.directory.get_for_sign_in", True)],
    ids=["at once", "unit of work"],
)
def test_a_right_password_is_no_failure_when_the_database_is_unavailable(
    app: Flask,
    build: Build,
    monkeypatch: pytest.MonkeyPatch,
    transaction: str,
    blocked: bool,  # noqa: FBT001 - a row of the table above
) -> None:
    account = build.active(password_state=PasswordState.BLOCKED if blocked else PasswordState.USABLE)
    result = "Choisissez un nouveau mot de passe" if blocked else _ACCOUNT

    def away(*_arguments: object) -> None:
        raise OperationalError("", {}, Exception("away"))

    with time_machine.travel(now(), tick=False):
        with monkeypatch.context() as broken:
            broken.setattr(transaction, away)
            for number in range(7):
                browser = from_ip(app, f"203.0.113.{number}")
                assert sign_in(browser, "/connexion", account.username, PASSWORD).status_code == 503
        assert heading(sign_in(from_ip(app, "203.0.113.9"), "/connexion", account.username, PASSWORD)) == result


@pytest.mark.row("I-03")
def test_a_letters_secret_opens_an_activation_at_the_sign_in_and_a_wrong_one_counts_there(
    app: Flask, newcomer: Account
) -> None:
    browser = from_ip(app, "203.0.113.1")
    with time_machine.travel(now(), tick=False) as clock:
        for _ in range(5):
            refused = sign_in(browser, "/connexion", newcomer.username, "7K4M-QX2P-9RTX")
            assert heading(refused) == "Connexion"
        assert sign_in(browser, "/connexion", newcomer.username, PROVISIONAL).status_code == 429
        clock.shift(timedelta(seconds=10))
        assert heading(sign_in(browser, "/connexion", newcomer.username, PROVISIONAL)) == "Activez votre compte"


@pytest.mark.row("W-02")
def test_guesses_from_the_parents_network_do_not_block_the_known_phone(app: Flask, parent: Account) -> None:
    phone, neighbour = from_ip(app, "203.0.113.1"), from_ip(app, "203.0.113.1")
    with time_machine.travel(now(), tick=False):
        sign_in(phone, "/connexion", parent.username, PASSWORD)
        _leave(phone)
        release_connection()
        for _ in range(30):
            guard.take(limits.SIGN_IN_REQUESTS, "203.0.113.1")
        assert sign_in(neighbour, "/connexion", parent.username, PASSWORD).status_code == 429
        assert heading(sign_in(phone, "/connexion", parent.username, PASSWORD)) == _ACCOUNT


@pytest.mark.row("I-18")
def test_a_browser_known_before_a_change_of_password_is_reported_as_new(app: Flask, parent: Account) -> None:
    former = from_ip(app, "203.0.113.1")
    with time_machine.travel(now(), tick=False) as clock:
        sign_in(former, "/connexion", parent.username, PASSWORD)
        _leave(former)
        clock.shift(timedelta(minutes=1))
        db.session.get_one(Account, parent.id).password_changed_at = now()
        db.session.commit()
        sign_in(former, "/connexion", parent.username, PASSWORD)
        assert _mails(parent) == [Notice.NEW_DEVICE.value]
