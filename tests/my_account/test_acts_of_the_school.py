"""« Mes connexions » lists what the school or the service did to the account, in equal words for desk and command."""

import uuid

import pytest
from flask.testing import FlaskClient

from idp.accounts.closings import Closing
from idp.accounts.models import Account
from idp.audit import log
from idp.audit.data_events import AccessClosed, AccessReopened
from idp.audit.events import AccountChanged, AccountRead, DisputeSettled, LetterDrawn, LetterReissued
from idp.audit.kinds import Event
from idp.audit.registry_events import NoticeSettled
from idp.db import db, unit_of_work
from idp.my_account import connections
from tests.builders import PASSWORD, Build
from tests.closed import dispute_tie, exclude_tie, suspend
from tests.pages import sign_in


def write(event: Event, role: str) -> None:
    """Record an event of a person of the desk, or of a command for an empty role."""
    desk = log.Desk(uuid.uuid4(), None, {"role": role}) if role else None
    with log.acting_for(log.Origin(actor=f"desk {role}" if role else "uid 0 (root)", desk=desk)), unit_of_work():
        log.record(event)


def listed(browser: FlaskClient, build: Build, event: object, role: str) -> str:
    """Write the event that `event` returns for an account; return the page of its person."""
    account = build.active()
    write(event(account.id), role)  # type: ignore[operator]
    sign_in(browser, "/connexion", account.username, PASSWORD)
    return browser.get("/mon-compte/sessions").get_data(as_text=True).replace("\u00a0", " ")


@pytest.mark.parametrize(
    ("role", "who"),
    [
        ("secretary", "Le secrétariat"),
        ("head", "La direction de l’établissement"),
        ("helpdesk", "L’assistance de l’académie"),
        ("", "L’équipe du service"),
    ],
)
@pytest.mark.parametrize(
    ("event", "what"),
    [
        (lambda key: LetterDrawn(account_id=key), "a imprimé un courrier aujourd’hui à"),
        (lambda key: AccountChanged(account_id=key, change="unlocked"), "a débloqué votre compte"),
        (lambda key: NoticeSettled(account_id=key, notice="x", about="letter_doubt"), "a réglé un signalement"),
    ],
)
def test_acts_are_listed_in_words(
    build: Build, browser: FlaskClient, event: object, what: str, role: str, who: str
) -> None:
    assert f"{who} {what}" in listed(browser, build, event, role)


@pytest.mark.parametrize(
    "event",
    [
        lambda key: AccountRead(account_id=key),
        lambda key: LetterReissued(account_id=key, reason="secret-reason"),
        lambda key: AccountChanged(account_id=key, change="left"),
    ],
)
def test_reading_and_files_are_not_listed(build: Build, browser: FlaskClient, event: object) -> None:
    page = listed(browser, build, event, "secretary")
    assert "Rien ces derniers mois." in page
    assert "secret-reason" not in page


def test_a_reason_is_not_shown_to_the_person(build: Build, browser: FlaskClient) -> None:
    page = listed(
        browser,
        build,
        lambda key: DisputeSettled(
            account_id=key, dispute="not_guardian", outcome="reject", before="", after="", reason="secret-reason"
        ),
        "secretary",
    )
    assert "a répondu à un signalement" in page
    assert "secret-reason" not in page


@pytest.mark.parametrize("state", ["suspended", "disputed", "excluded", "waited", "another's"])
def test_an_act_about_one_tie_names_the_own_child_alone(build: Build, browser: FlaskClient, state: str) -> None:
    account, malo = build.active(children=[build.child("Malo")]), build.child("Malo")
    [tie] = account.guardianships
    if state == "suspended":
        suspend(account.id, tie.child_id)
    elif state == "waited":
        db.session.add(Closing(account_id=account.id, child_id=tie.child_id, reason="", begun_by="", kind="recognised"))
    elif state != "another's":
        {"disputed": dispute_tie, "excluded": exclude_tie}[state](tie)
    db.session.commit()
    child = str(malo.id if state == "another's" else tie.child_id)
    write(AccessClosed(account_id=account.id, closing="x", child=child, reason="secret-reason"), "head")
    write(AccessReopened(account_id=account.id, closing="x", child=child, reason="secret-reason"), "head")
    write(AccessClosed(account_id=account.id, closing="y", reason="secret-reason"), "secretary")
    sign_in(browser, "/connexion", account.username, PASSWORD)
    page = browser.get("/mon-compte/sessions").get_data(as_text=True).replace("\u00a0", " ")
    if state == "disputed":
        assert "Mes connexions" not in page
        assert "pour Malo" not in str(connections.acts_of_others(account.id))
        return
    name = "Malo" if state == "suspended" else "un élève"
    assert f"La direction de l’établissement a suspendu votre accès pour {name} aujourd’hui à" in page
    assert f"La direction de l’établissement a rouvert votre accès pour {name} aujourd’hui à" in page
    assert "Le secrétariat a suspendu votre accès aujourd’hui à" in page
    assert "secret-reason" not in page


def test_own_acts_are_not_listed(browser: FlaskClient, parent: Account) -> None:
    with unit_of_work():
        log.record(LetterDrawn(account_id=parent.id))  # without an actor
    sign_in(browser, "/connexion", parent.username, PASSWORD)
    assert "Rien ces derniers mois." in browser.get("/mon-compte/sessions").get_data(as_text=True)
