"""The sessions that each liveness rule accepts, as a condition, as SQL text and on a row."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
import time_machine
from flask import Flask
from sqlalchemy import ColumnElement, bindparam, false, select, text, true

from idp.accounts.closings import Closing
from idp.accounts.models import Account
from idp.clock import now
from idp.config import Settings
from idp.db import UtcDateTime, db
from idp.sessions import liveness
from idp.sessions.models import Session
from tests.builders import Build

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
