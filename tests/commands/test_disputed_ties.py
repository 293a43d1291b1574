"""« Je ne suis pas le représentant légal »: what the dispute closes, and how the school opens it again."""

from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update

from idp.accounts.models import Account
from idp.audit import log
from idp.clock import now
from idp.db import db
from idp.families import telephone
from idp.families.refusals import Code
from idp.operations.purge import unused_accounts as purge
from tests.activation.steps import ACTIVATION, EMAIL, activate, fill_in, open_activation
from tests.builders import COLLEGE, LYCEE, PASSWORD, PROVISIONAL, Build
from tests.closed import closed_as
from tests.commands.accounts import OPERATOR, reload_account
from tests.commands.conftest import Events, Run
from tests.commands.disputes import dispute, notices, printed, question, tie, tried
from tests.commands.families import pages, secret_on
from tests.email_confirmation.post import post_office
from tests.pages import heading, sign_in, submit
from tests.recovery.steps import answers, ask_password
from tests.settlements import CONFIRM, REASON, REJECT, refused, settle

pytestmark = pytest.mark.row("V-19")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "lettres.pdf"


def _print_from(account: Account, build: Build, uai: str) -> None:
    school = build.school(uai)
    db.session.execute(update(Account).where(Account.id == account.id).values(letter_school_id=school.id))
    db.session.commit()


def test_the_statement_concerns_the_children_of_the_letters_school(browser: FlaskClient, build: Build) -> None:
    malo, ines = build.child(), build.child("Inès", uai=LYCEE)
    account = build.never_activated(children=[malo, ines])
    _print_from(account, build, COLLEGE)
    page = question(browser, account)
    assert "Malo" in page.text
    assert "Inès" not in page.text
    submit(browser, page)
    assert "disputed" in closed_as(tie(account, malo))
    assert "disputed" not in closed_as(tie(account, ines))
    assert notices(account) == [(COLLEGE, "not_guardian", [malo.id.hex], False, "")]


def test_a_letter_of_unknown_school_lists_all_children_and_one_can_be_chosen(
    browser: FlaskClient, build: Build
) -> None:
    malo, ines = build.child(), build.child("Inès", uai=LYCEE)
    account = build.never_activated(children=[malo, ines])
    dispute(browser, account, ines)
    assert "disputed" not in closed_as(tie(account, malo))
    assert "disputed" in closed_as(tie(account, ines))
    assert notices(account) == [(LYCEE, "not_guardian", [ines.id.hex], False, "")]


@pytest.mark.parametrize("sent", ["nothing", "another family's child", "noise"])
def test_the_form_requires_at_least_one_child(browser: FlaskClient, build: Build, sent: str) -> None:
    malo, ines = build.child(), build.child("Inès")
    account = build.never_activated(children=[malo, ines])
    stranger = build.child("Tom")
    values = {"nothing": [], "another family's child": [stranger.id.hex], "noise": ["é" * 500, "x"]}[sent]
    page = submit(browser, question(browser, account), enfant=values)
    assert "Cochez au moins un élève" in page.text
    assert reload_account(account).provisional_hash is not None
    assert notices(account) == []


def test_the_print_keeps_the_school_of_the_letter(act: Run, build: Build, out: Path, tmp_path: Path) -> None:
    build.ent(uais=[COLLEGE, LYCEE])
    account = build.never_activated(
        children=[build.child(), build.child("Inès", uai=LYCEE)], provisional_hash=None, provisional_expires_at=None
    )
    assert printed(act, LYCEE, out)["printed"] == 1
    assert reload_account(account).letter_school_id == build.school(LYCEE).id
    named = act("letters", "print", "--username", account.username, "--out", str(tmp_path / "autre.pdf"))
    assert named.code == 0
    assert reload_account(account).letter_school_id == build.school(COLLEGE).id, "that of the first child"


def test_a_disputed_account_is_closed_for_every_school(
    act: Run, app: Flask, browser: FlaskClient, build: Build, out: Path
) -> None:
    build.ent(uais=[COLLEGE, LYCEE])
    malo, ines = build.child(), build.child("Inès", uai=LYCEE)
    account = build.never_activated(children=[malo, ines], school_email="ecole@exemple.fr")
    other = app.test_client()
    begun = open_activation(other, account)
    dispute(browser, account, malo)
    assert heading(fill_in(other, begun)) == "Ce courrier ne sert plus"
    for _ in range(2):
        right = sign_in(browser, "/connexion", account.username, PROVISIONAL)
        assert heading(right) == "Ce courrier a été signalé"
        assert "Allez au secrétariat de l’établissement" in right.text
        purge.remove_expired_secrets(now() + timedelta(days=1))
        db.session.commit()
    wrong = sign_in(browser, "/connexion", account.username, "7K4M-QX2P-9RTE")
    assert heading(wrong) == "Connexion"
    assert "signalé" not in wrong.text
    for uai in (COLLEGE, LYCEE):
        report = printed(act, uai, out)
        assert report["printed"] == 0
        assert [row["username"] for row in report["skipped"]] == [account.username]
        assert "must settle first" in report["skipped"][0]["reason"]
    named = act("letters", "print", "--username", account.username, "--reason", REASON, "--out", str(out))
    assert (named.code, named.out) == (1, "")
    assert "must settle first" in named.err
    with post_office(app) as office:
        ask_password(app.test_client(), account.username)
        assert office.deliver() == []
    assert answers() == ["disputed"] * 2, "one for the right secrets of a minute, one for the request"
    assert not out.exists()


@pytest.mark.parametrize("command", ["unlock", "enable", "block"])
def test_other_acts_keep_a_dispute_open(act: Run, browser: FlaskClient, build: Build, command: str) -> None:
    child = build.child()
    account = build.never_activated(children=[child])
    dispute(browser, account, child)
    tried(build, account, command)
    assert "disputed" in closed_as(tie(account, child))
    assert "disputed" in act("account", "show", account.username).out
    assert [notice[3] for notice in notices(account)] == [False]


def test_the_school_notes_that_a_caller_is_not_the_guardian(browser: FlaskClient, build: Build, events: Events) -> None:
    malo = build.child()
    account = build.active(children=[malo])
    with log.acting_for(log.Origin(actor=OPERATOR)):
        telephone.note_not_guardian(account.id, malo.id, malo.school, may_repeat=True)
    assert "disputed" in closed_as(tie(account, malo))
    assert notices(account) == [(COLLEGE, "not_guardian", [malo.id.hex], False, "")]
    [event] = events("guardianship.disputed")
    assert (event.actor, event.details["by_telephone"]) == (OPERATOR, True)
    closed = sign_in(browser, "/connexion", account.username, PASSWORD)
    assert heading(closed) == "Ce compte est fermé pour le moment"
    settle(build.settings, account, REJECT)
    opened = sign_in(browser, "/connexion", account.username, PASSWORD)
    assert opened.request.path == "/mon-compte", "with the same password"
    with refused(Code.TIE_NOT_HOLDING):
        telephone.note_not_guardian(build.never_activated().id, malo.id, malo.school, may_repeat=True)


def test_a_rejected_dispute_gives_the_parent_a_new_letter(
    act: Run, app: Flask, browser: FlaskClient, build: Build, out: Path, events: Events
) -> None:
    build.ent()
    malo = build.child()
    account = build.never_activated(children=[malo])
    dispute(browser, account, malo)
    settle(build.settings, account, REJECT)
    settled = tie(account, malo)
    assert (closed_as(settled), settled.ended_at) == (set(), None)
    assert notices(account) == [(COLLEGE, "not_guardian", [malo.id.hex], True, REASON)]
    [event] = events("dispute.settled")
    assert event.account_id == account.id
    assert event.details == {
        "dispute": "not_guardian",
        "outcome": "reject",
        "before": "disputed",
        "after": "holds",
        "reason": REASON,
        "children": [malo.student_id],
    }
    assert printed(act, COLLEGE, out)["printed"] == 1
    parent = app.test_client()
    page = sign_in(parent, "/connexion", account.username, secret_on(pages(out)[0]))
    assert heading(page) == ACTIVATION
    assert heading(fill_in(parent, page)) == "Consultez votre messagerie"
    assert reload_account(account).pending_email == EMAIL


def test_a_confirmed_dispute_ends_only_the_disputed_tie(
    act: Run, browser: FlaskClient, build: Build, out: Path
) -> None:
    build.ent(uais=[COLLEGE, LYCEE])
    malo, ines = build.child(), build.child("Inès", uai=LYCEE)
    account = build.never_activated(children=[malo, ines])
    dispute(browser, account, malo)
    settle(build.settings, account, CONFIRM)
    ended = tie(account, malo)
    assert (closed_as(ended), ended.ended_at is None) == ({"excluded"}, False)
    assert reload_account(account).disabled_at is None
    report = printed(act, LYCEE, out)
    assert report["printed"] == 1
    assert "Malo" not in pages(out)[0]
    assert printed(act, COLLEGE, out.with_name("autre.pdf"))["printed"] == 0


def test_a_confirmed_dispute_about_the_last_child_disables_the_account(
    act: Run, browser: FlaskClient, build: Build
) -> None:
    malo = build.child()
    account = build.never_activated(children=[malo])
    dispute(browser, account, malo)
    settle(build.settings, account, CONFIRM)
    assert reload_account(account).has_left


def test_a_dispute_is_settled_for_a_single_child(act: Run, browser: FlaskClient, build: Build) -> None:
    malo, ines = build.child(), build.child("Inès")
    account = build.never_activated(children=[malo, ines])
    dispute(browser, account, malo, ines)
    settle(build.settings, account, CONFIRM, child=malo)
    assert db.session.get_one(Account, account.id, populate_existing=True).has_disputed_tie, "it stays closed"
    assert [notice[3] for notice in notices(account)] == [False], "the school has to decide about the other child"
    settle(build.settings, account, REJECT)
    assert "excluded" in closed_as(tie(account, malo))
    assert (closed_as(tie(account, ines)), tie(account, ines).ended_at) == (set(), None)
    assert [notice[3] for notice in notices(account)] == [True]


def test_a_school_settles_only_its_own_ties(act: Run, browser: FlaskClient, build: Build) -> None:
    malo, ines = build.child(), build.child("Inès", uai=LYCEE)
    account = build.never_activated(children=[malo, ines])
    dispute(browser, account, malo, ines)
    settle(build.settings, account, REJECT, uai=LYCEE)
    assert "disputed" in closed_as(tie(account, malo))
    assert [(notice[0], notice[3]) for notice in notices(account)] == [(COLLEGE, False), (LYCEE, True)]
    with refused(Code.SETTLED):
        settle(build.settings, account, REJECT, uai=LYCEE)


def test_a_dispute_is_settled_once(act: Run, browser: FlaskClient, build: Build, events: Events) -> None:
    malo = build.child()
    account = build.never_activated(children=[malo])
    dispute(browser, account, malo)
    settle(build.settings, account, REJECT)
    with refused(Code.SETTLED):
        settle(build.settings, account, CONFIRM)
    assert tie(account, malo).ended_at is None
    assert len(events("dispute.settled")) == 1


def test_a_dispute_by_a_pupil_does_not_lock_the_parent_out(act: Run, app: Flask, build: Build, out: Path) -> None:
    """After any number of disputes with the letter, one command and one new letter open the account again."""
    build.ent()
    malo = build.child()
    account = build.never_activated(children=[malo])
    dispute(app.test_client(), account, malo)
    settle(build.settings, account, REJECT)
    printed(act, COLLEGE, out)
    pupil = app.test_client()
    page = sign_in(pupil, "/connexion", account.username, secret_on(pages(out)[0]))
    submit(pupil, pupil.get(page.request.full_path.replace("/activation?", "/activation/non-representant?")))
    settle(build.settings, account, REJECT)
    again = out.with_name("encore.pdf")
    assert printed(act, COLLEGE, again)["printed"] == 1
    parent = app.test_client()
    page = sign_in(parent, "/connexion", account.username, secret_on(pages(again)[0]))
    assert heading(fill_in(parent, page)) == "Consultez votre messagerie"


def test_an_active_account_cannot_dispute_a_tie(browser: FlaskClient, app: Flask, build: Build) -> None:
    account = build.never_activated()
    page = question(browser, account)
    activate(app.test_client(), account)
    assert submit(browser, page).status_code == 410
    assert reload_account(account).activated_at is not None
