"""B-05 and B-06: the life of a session by the server's clock, its cookie, and what may use it."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given, strategies as st
from sqlalchemy import ColumnElement, bindparam, false, select, text, true

from idp.accounts.closings import Closing
from idp.accounts.models import Account
from idp.clock import now
from idp.config import Settings
from idp.db import UtcDateTime, db
from idp.opaque import InvalidValueError, Signer
from idp.sessions import liveness
from idp.sessions.models import Session
from tests.builders import PASSWORD, Build
from tests.pages import cookie_value, follow, heading, sign_in
from tests.relying_party import Attempt, RelyingParty
from tests.rows import each_row

_OPEN, _CLOSED = "Gérer mon compte", "Connexion"


def _shown(browser: FlaskClient) -> str:
    return heading(follow(browser, browser.get("/mon-compte")))


@pytest.mark.row("B-05")
def test_an_hour_without_a_request_ends_a_session(browser: FlaskClient, ent: RelyingParty, parent: Account) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        sign_in(browser, "/connexion", parent.username, PASSWORD)
        clock.shift(timedelta(minutes=60) - timedelta(seconds=1))
        assert _shown(browser) == _OPEN
        clock.shift(timedelta(minutes=60))
        assert _shown(browser) == _CLOSED
        assert ent.answer(browser.get(ent.url(Attempt(), prompt="none")))["error"] == "login_required"


@pytest.mark.row("B-05")
def test_a_session_ends_after_twelve_hours_of_use(browser: FlaskClient, ent: RelyingParty, parent: Account) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        sign_in(browser, "/connexion", parent.username, PASSWORD)
        for _ in range(12 * 60 // 45 - 1):
            clock.shift(timedelta(minutes=45))
            assert _shown(browser) == _OPEN
        clock.shift(timedelta(minutes=45) - timedelta(seconds=1))
        assert "code" in ent.answer(browser.get(ent.url(Attempt(), prompt="none")))
        clock.shift(timedelta(seconds=1))
        assert _shown(browser) == _CLOSED
        assert ent.answer(browser.get(ent.url(Attempt(), prompt="none")))["error"] == "login_required"


@pytest.mark.row("B-05")
def test_clocks_that_go_back_do_not_extend_a_session(browser: FlaskClient, parent: Account) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        sign_in(browser, "/connexion", parent.username, PASSWORD)
        clock.shift(timedelta(hours=13))
        answer = browser.get("/mon-compte", headers={"Date": "Tue, 01 Jan 2019 00:00:00 GMT"})
        assert heading(follow(browser, answer)) == _CLOSED
        sign_in(browser, "/connexion", parent.username, PASSWORD)
        clock.shift(timedelta(hours=-1))
        assert _shown(browser) == _OPEN, "a clock that is put right signs nobody out"
        [session] = db.session.scalars(select(Session).where(Session.ended_at.is_(None), Session.expires_at > now()))
        assert session.expires_at - now() <= timedelta(hours=13)


@pytest.mark.row("B-06")
def test_garbage_in_any_cookie_is_anonymous_and_causes_no_error(app: Flask, build: Build) -> None:
    browser = app.test_client()
    sign_in(browser, "/connexion", build.active().username, PASSWORD)
    value = cookie_value(browser)
    garbage = [
        "",
        "x" * 4_096,
        "\xff" * 43,
        '"' + value,
        value + ";" + "x" * 43,
        value[:-1],
        "é" * 43,
        "%00" * 14 + "x",
    ]
    for value_sent in garbage:
        for name in ("__Host-ss", "__Host-tx", "__Host-profil", "lang"):
            stranger = app.test_client(use_cookies=False)
            answer = stranger.get("/mon-compte", headers={"Cookie": f"{name}={value_sent}"})
            assert answer.status_code in {200, 303}
            if answer.status_code == 200:
                assert name == "__Host-ss", "only the session's own value opens"
                assert value in value_sent
            page = stranger.get("/connexion?compte=autre", headers={"Cookie": f"{name}={value_sent}"})
            assert (page.status_code, heading(page)) == (200, _CLOSED)


@pytest.mark.row("B-06")
def test_a_planted_second_cookie_gains_nothing(app: Flask, build: Build) -> None:
    browser = app.test_client()
    sign_in(browser, "/connexion", build.active().username, PASSWORD)
    value, stranger = cookie_value(browser), app.test_client(use_cookies=False)
    for pair in ((value, "A" * 43), ("A" * 43, value), (value, value)):
        answer = stranger.get("/mon-compte", headers={"Cookie": "; ".join(f"__Host-ss={cookie}" for cookie in pair)})
        assert answer.status_code in {200, 303}
        assert answer.status_code == 303 or "LEROY-VANDEPUTTE" in answer.text


KEY, FORMER = b"k" * 43, b"f" * 43
SIGNER = Signer((KEY,), "test")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(JSON)
def test_a_value_comes_back_with_the_time_of_its_signature(value: object) -> None:
    text = SIGNER.dumps(value)
    assert text.replace("-", "").replace("_", "").replace(".", "").isalnum(), "it needs no encoding in a URL"
    read, signed_at = SIGNER.loads(text, 60)
    assert read == value
    assert timedelta(0) <= now() - signed_at < timedelta(seconds=5)


@given(st.integers(min_value=0), st.characters(codec="ascii"))
def test_a_changed_text_is_refused(place: int, other: str) -> None:
    text = SIGNER.dumps({"b": "value"})
    at = place % len(text)
    changed = text[:at] + other + text[at + 1 :]
    if changed != text:
        try:
            assert SIGNER.loads(changed)[0] == {"b": "value"}, "only unused bits of the last letter of the signature"
            assert at == len(text) - 1
        except InvalidValueError:
            pass


@given(st.text() | st.binary().map(lambda value: value.decode("latin-1")))
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidValueError):
        SIGNER.loads(text)


def test_a_value_serves_one_purpose_and_one_key() -> None:
    text = SIGNER.dumps("value")
    for stranger in (Signer((KEY,), "another"), Signer((FORMER,), "test")):
        with pytest.raises(InvalidValueError):
            stranger.loads(text)


def test_values_under_a_former_key_are_read_and_not_written() -> None:
    both = Signer((KEY, FORMER), "test")
    assert both.loads(Signer((FORMER,), "test").dumps("value"))[0] == "value"
    assert SIGNER.loads(both.dumps("value"))[0] == "value"


@each_row(("seconds", "is_read"), [(60, True), (61, False), (-1, True), (-300, True), (-301, False), (-86_400, False)])
def test_a_value_is_read_for_a_time_and_by_a_clock_that_is_five_minutes_behind(
    seconds: int,
    is_read: bool,  # noqa: FBT001 - a parameter
) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        text = SIGNER.dumps("value")
        clock.shift(seconds)
        if is_read:
            assert SIGNER.loads(text, 60)[0] == "value"
        else:
            with pytest.raises(InvalidValueError):
                SIGNER.loads(text, 60)
        assert SIGNER.loads(text)[0] == "value", "without a limit it has no age"


IDLE = timedelta(hours=1)
ALL = {"used", "ended", "disabled", "suspended", "reopened", "outdated", "expired", "just expired", "idle", "just idle"}
HOLDING = {"used", "reopened", "expired", "just expired", "idle", "just idle"}


@pytest.fixture
def moment(app: Flask, build: Build) -> Iterator[datetime]:
    """Insert one session of each kind; `sid` is its kind. Return the current time."""
    with time_machine.travel(now(), tick=False):
        moment = now()
        for number, kind in enumerate(sorted(ALL)):
            account = build.active()
            session = Session(
                digest=bytes([number]) * 32,
                sid=kind,
                account_id=account.id,
                generation=account.generation,
                auth_time=moment,
                amr=["pwd"],
                last_seen_at=moment,
                expires_at=moment + timedelta(hours=1),
            )
            match kind:
                case "disabled":
                    account.disabled_at = moment
                case "suspended" | "reopened":
                    until = moment if kind == "reopened" else None
                    db.session.add(Closing(account_id=account.id, reason="", begun_by="", until=until))
                case "ended":
                    session.ended_at = moment
                case "outdated":
                    account.credentials_changed()
                case "expired":
                    session.expires_at = moment - timedelta(seconds=1)
                case "just expired":
                    session.expires_at = moment
                case "idle":
                    session.last_seen_at = moment - IDLE - timedelta(seconds=1)
                case "just idle":
                    session.last_seen_at = moment - IDLE
            db.session.add(session)
        db.session.commit()
        yield moment


def admitted(condition: ColumnElement[bool]) -> set[str]:
    statement = select(Session.sid).join(Account, Account.id == Session.account_id).where(condition)
    return set(db.session.scalars(statement))


def admitted_by_text(condition: str, moment: datetime) -> set[str]:
    parameters = {"now": moment, "idle_since": moment - IDLE}
    statement = text(f"SELECT s.sid FROM session s JOIN account a ON a.id = s.account_id WHERE {condition}")  # noqa: S608
    used = {name: value for name, value in parameters.items() if f":{name}" in condition}
    typed = [bindparam(name, type_=UtcDateTime()) for name in used]
    return set(db.session.scalars(statement.bindparams(*typed), used))


def rows() -> list[tuple[Session, Account]]:
    statement = select(Session, Account).join(Account, Account.id == Session.account_id)
    return [(session, account) for session, account in db.session.execute(statement)]


def test_a_session_holds_until_it_is_ended_or_credentials_change_or_the_account_is_disabled(moment: datetime) -> None:
    assert admitted(liveness.holding(moment)) == HOLDING
    assert admitted_by_text(liveness.holding_sql("s", "a", moment=":now"), moment) == HOLDING
    assert {session.sid for session, account in rows() if liveness.is_holding(session, account, moment)} == HOLDING


@pytest.mark.row("B-05")
def test_a_live_session_holds_and_is_neither_expired_nor_idle(settings: Settings, moment: datetime) -> None:
    written = liveness.live_sql("s", "a", moment=":now", idle_since=":idle_since")
    assert liveness.idle_since(settings, moment) == moment - IDLE
    assert admitted(liveness.live(settings, moment)) == {"used", "reopened"}
    assert admitted_by_text(written, moment) == {"used", "reopened"}


def test_a_sign_in_continues_an_idle_session_and_no_expired_one(moment: datetime) -> None:
    assert admitted(liveness.resumable(moment)) == {"used", "reopened", "idle", "just idle"}


def test_a_session_is_listed_while_it_is_live_or_a_client_can_renew_its_tokens(
    settings: Settings, moment: datetime
) -> None:
    assert admitted(liveness.listed(settings, moment, false())) == {"used", "reopened"}
    assert admitted(liveness.listed(settings, moment, true())) == HOLDING


def test_ended_sessions_are_those_signed_out(moment: datetime) -> None:
    assert admitted(liveness.unended()) == ALL - {"ended"}
    assert admitted(liveness.ended_since(moment)) == {"ended"}
    assert admitted(liveness.ended_since(moment + timedelta(seconds=1))) == set()


def test_a_session_row_reports_its_expiry(settings: Settings, moment: datetime) -> None:
    over = {session.sid for session, _ in rows() if liveness.is_out_of_time(session, settings, moment)}
    assert over == {"expired", "just expired", "idle", "just idle"}
    assert admitted(~liveness.unexpired(moment)) == {"expired", "just expired"}


def test_a_request_is_noted_once_the_last_noted_one_is_five_minutes_old() -> None:
    moment = now()
    noted = [moment - liveness.TOUCH_AFTER, moment - liveness.TOUCH_AFTER - timedelta(microseconds=1)]
    assert [liveness.is_touch_due(Session(last_seen_at=last_seen_at), moment) for last_seen_at in noted] == [
        False,
        True,
    ]
