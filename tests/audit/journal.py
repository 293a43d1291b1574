"""Helpers for tests of the journal's chain: write events, seal them, run `idp audit verify`."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, text

from idp.accounts.models import Account
from idp.audit import log, sealing
from idp.audit.events import SignInFailed, SignInSucceeded
from idp.audit.log import Origin
from idp.audit.models import AuditEntry
from idp.db import db
from idp.services import services_of
from tests.builders import PASSWORD, Build
from tests.commands.conftest import Run
from tests.databases import settings_for
from tests.pages import sign_in
from tests.protocol.flow import tokens_for

ORIGIN = Origin(ip="203.0.113.7", request_id="ABCD-EFGH")


def write(account: Account | None, count: int = 1) -> None:
    with log.acting_for(ORIGIN):
        for number in range(count):
            key = account.id if account else None
            log.record(SignInSucceeded(account_id=key, sid=f"sid {number}", device="phone-ios-safari"))
    db.session.commit()


def fail(account: Account | None, count: int = 1) -> None:
    with log.acting_for(ORIGIN):
        for number in range(count):
            key = account.id if account else None
            log.record(SignInFailed(account_id=key, reason="wrong", username_digest=f"digest {number}"))
    db.session.commit()


def seal(app: Flask) -> int:
    return sealing.seal_all(services_of(app).settings.secrets)


def a_day(app: Flask, build: Build, browser: FlaskClient) -> Account:
    """Sign a parent in, first with a wrong password, then at an ENT; return the account."""
    ent = build.ent()
    account = build.active()
    sign_in(browser, "/connexion", account.username, "faux")
    sign_in(browser, "/connexion", account.username, PASSWORD)
    tokens_for(browser, ent)
    db.session.rollback()
    return account


@contextmanager
def at(moment: datetime) -> Iterator[None]:
    with time_machine.travel(moment, tick=True):
        yield


def verified(act: Run, *arguments: str) -> tuple[int, list[dict[str, Any]], dict[str, Any]]:
    answer = act("audit", "verify", "--json", *arguments)
    *findings, summary = [json.loads(line) for line in answer.out.splitlines()]
    assert summary["type"] == "summary"
    assert summary["findings"] == len(findings)
    assert answer.code == (1 if findings else 0)
    return answer.code, findings, summary


def list_findings(act: Run, *arguments: str) -> list[tuple[int | None, int | None, str]]:
    return [(f["seal"], f["entry"], f["what"]) for f in verified(act, *arguments)[1]]


def ids(*conditions: Any) -> list[int]:
    keys = list(db.session.scalars(select(AuditEntry.id).where(*conditions).order_by(AuditEntry.id)))
    db.session.rollback()
    return keys


def tamper(statement: str, **values: Any) -> None:
    db.session.rollback()
    with db.engine.begin() as connection:
        assert connection.execute(text(statement), values).rowcount > 0


def other_secret(database_url: str, **more: Any) -> Any:
    return settings_for(database_url, secret_key="another secret key, of more than 32 bytes: 9876543210", **more)
