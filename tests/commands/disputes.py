"""Disputed accounts, created with the pages."""

import json
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from idp.accounts.models import Account, Child, Guardianship, School, SchoolNotice
from idp.accounts.one_time_links import Purpose
from idp.db import db
from idp.families import acts
from idp.families.refusals import Code
from idp.operations import blocked_passwords
from tests.activation.steps import open_activation
from tests.builders import PASSWORD, Build
from tests.commands.conftest import Run
from tests.my_account.changes import change_email, enter, links, path_of
from tests.pages import heading, submit
from tests.settlements import refused

REPORTED = "Merci, c’est noté"
CLOSED = "Ce compte est fermé pour le moment"


def apply_change(app: Flask, build: Build, account: Account) -> None:
    phone = app.test_client()
    path = path_of(build.settings, links(account, Purpose.CHANGE_EMAIL)[-1])
    assert "Votre nouvelle adresse est confirmée." in submit(phone, phone.get(path), mot_de_passe=PASSWORD).text


def alarms(build: Build, account: Account) -> list[str]:
    """Return the paths of the links « Ce n’était pas moi », oldest first."""
    return [path_of(build.settings, link) for link in links(account, Purpose.CONTEST_EMAIL)]


def contested(app: Flask, build: Build, **more: Any) -> Account:
    """Return an account whose change of address, from OLD to NEW, was applied and then contested from OLD."""
    account = build.active(**more)
    change_email(enter(app.test_client(), account))
    apply_change(app, build, account)
    former = app.test_client()
    assert heading(submit(former, former.get(alarms(build, account)[-1]))) == "Le compte est fermé"
    return account


def question(browser: FlaskClient, account: Account) -> TestResponse:
    """Sign in with the letter's secret and open « Je ne suis pas le représentant légal »."""
    page = open_activation(browser, account)
    return browser.get(page.request.full_path.replace("/activation?", "/activation/non-representant?"))


def dispute(browser: FlaskClient, account: Account, *children: Child) -> TestResponse:
    """Dispute, with the letter of `account`, that its holder is the guardian of `children`."""
    page = submit(browser, question(browser, account), enfant=[child.id.hex for child in children])
    assert heading(page) == REPORTED
    return page


def tie(account: Account, child: Child) -> Guardianship:
    guardianship = db.session.get_one(Guardianship, (account.id, child.id), populate_existing=True)
    db.session.rollback()
    return guardianship


def tried(build: Build, account: Account, act: str) -> None:
    """Try an act that must not open a disputed account: `unlock` and `enable` are refused."""
    if act == "block":
        for _ in blocked_passwords.block(None, lambda _batch: None):
            pass
        return
    with refused(Code.CLOSED_BY_DISPUTE if act == "unlock" else Code.NOT_DISABLED):
        if act == "unlock":
            acts.unlock(account.id)
        else:
            acts.enable(build.settings, account.id)


def printed(act: Run, uai: str, out: Path) -> dict[str, Any]:
    """Print the letters of a school; return the JSON output."""
    answer = act("letters", "print", "--school", uai, "--out", str(out), "--json")
    assert answer.code == 0, answer.err
    report: dict[str, Any] = json.loads(answer.out)
    return report


def notices(account: Account) -> list[tuple[str, str, list[str], bool, str]]:
    """Return the school notices about an account: school, kind, children, whether settled, and the sentence."""
    rows = db.session.execute(
        select(School.uai, SchoolNotice)
        .join(School, School.id == SchoolNotice.school_id)
        .where(SchoolNotice.account_id == account.id)
        .order_by(School.uai, SchoolNotice.created_at)
    ).all()
    summaries = [(uai, n.kind, list(n.child_ids), n.settled_at is not None, n.sentence) for uai, n in rows]
    db.session.rollback()
    return summaries
