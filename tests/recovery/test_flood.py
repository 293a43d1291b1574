"""A flood of requests: a rate-limited form writes nothing to the database."""

import pytest
from flask import Flask
from sqlalchemy import func, select

from idp.audit.models import AuditEntry
from idp.db import db
from idp.services import services_of
from tests.builders import Build
from tests.pages import form_token
from tests.recovery.steps import PASSWORD, USERNAME, from_ip, journal
from tests.statements.heard import heard

pytestmark = pytest.mark.row("O-07")


def count_entries() -> int:
    db.session.rollback()
    number = db.session.scalar(select(func.count()).select_from(AuditEntry)) or 0
    db.session.rollback()
    return number


@pytest.mark.parametrize(("path", "field"), [(PASSWORD, "identifiant"), (USERNAME, "mail")])
def test_refused_requests_leave_one_entry_an_hour(app: Flask, build: Build, path: str, field: str, few: int) -> None:
    browser = from_ip(app, "203.0.113.7")
    token = form_token(browser.get(path))
    statuses = [
        browser.post(path, data={"csrf_token": token, field: f"parent{number}@exemple.fr"}).status_code
        for number in range(60)
    ]
    assert (statuses[:few], set(statuses[few:])) == ([303] * few, {429})
    assert len(journal("recovery.throttled")) == 1, "many refusals, one entry"
    before = count_entries()
    with heard() as run:
        for number in range(60):
            browser.post(path, data={"csrf_token": token, field: f"autre{number}@exemple.fr"})
    assert [line for line in run if not line.startswith("SELECT")] == []
    assert count_entries() == before


@pytest.mark.usefixtures("few")
def test_refusals_after_a_restart_write_no_more_entries(app: Flask, build: Build) -> None:
    browser = from_ip(app, "203.0.113.7")
    token = form_token(browser.get(PASSWORD))
    for number in range(40):
        services_of(app).refusals.clear()  # another worker, or ten seconds later
        browser.post(PASSWORD, data={"csrf_token": token, "identifiant": f"parent{number}"})
    assert len(journal("recovery.throttled")) == 1


def test_each_refused_subject_has_its_own_entry(app: Flask, build: Build) -> None:
    for number in range(3):
        browser = from_ip(app, f"203.0.113.{number}")
        token = form_token(browser.get(PASSWORD))
        for _ in range(3):
            browser.post(PASSWORD, data={"csrf_token": token, "identifiant": f"parent{number}"})
    assert len(journal("recovery.throttled")) == 3


def test_a_refused_sign_in_leaves_one_entry_an_hour(app: Flask, build: Build) -> None:
    browser = from_ip(app, "203.0.113.7")
    token = form_token(browser.get("/connexion"))
    for _ in range(12):
        services_of(app).refusals.clear()
        browser.post("/connexion", data={"csrf_token": token, "identifiant": "x.inconnu", "mot-de-passe": "faux"})
    results = [entry.result for entry in journal("sign_in")]
    assert results == ["refused"] * 5 + ["throttled"]
