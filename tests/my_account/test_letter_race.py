"""Several processes add one letter at the same time; one succeeds."""

import pytest
from flask import Flask
from sqlalchemy import select

from idp.accounts.models import Guardianship
from idp.db import db
from tests.activation.steps import open_activation
from tests.builders import HOME, LYCEE, PASSWORD, PROVISIONAL, Build
from tests.my_account.changes import at_once, form
from tests.my_account.steps import LAPTOP, device, enter, journal
from tests.my_account.test_letter import PAGE, read_account


@pytest.mark.row("Z-03")
def test_a_letter_is_linked_once_or_activated_and_never_both(app: Flask, build: Build) -> None:
    """Four parents with the same name add the letter at the same time, each in a separate process."""
    letter = build.never_activated(children=[build.child("Inès", uai=LYCEE)], **HOME)
    parents, orders = [build.active(children=[], **HOME) for _ in range(4)], []
    for n, parent in enumerate(parents):
        browser = device(app, LAPTOP, f"203.0.113.{n}")
        enter(browser, parent)
        orders.append(form(browser, browser.get(PAGE), identifiant=letter.username, **{"mot-de-passe": PROVISIONAL}))
    for n in range(4):
        browser = device(app, LAPTOP, f"203.0.113.{100 + n}")
        page = open_activation(browser, letter)
        fields = {"nouveau": PASSWORD, "confirmation": PASSWORD, "mail": f"p{n}@exemple.fr"}
        orders.append(form(browser, page, **fields))
    answers = at_once(build.settings, orders)
    after = read_account(letter)
    moved = [answer["location"] for answer in answers if answer["status"] == 303]
    linked = [location for location in moved if location.startswith("/mon-compte")]
    activated = [location for location in moved if location.startswith("/adresse/confirmation")]
    assert len(linked) + len(activated) == 1, answers
    assert all(answer["status"] < 500 for answer in answers), answers
    assert len(moved) == 1
    owners = db.session.scalars(select(Guardianship.account_id)).all()
    if linked:
        assert linked == ["/mon-compte?fait=courrier"]
        assert (after.activated_at, after.password_hash) == (None, None)
        assert owners == [after.merged_into_id]
    else:
        assert (after.merged_into_id, after.disabled_at) == (None, None)
        assert owners == [letter.id]
    assert len(journal("letter.linked")) == len(linked)
    assert len(journal("activation.completed")) == len(activated)


@pytest.mark.row("Z-03")
def test_concurrent_parents_link_a_letter_once(app: Flask, build: Build) -> None:
    letter = build.never_activated(children=[build.child("Inès", uai=LYCEE)], **HOME)
    parents, orders = [build.active(children=[], **HOME) for _ in range(4)], []
    for n, parent in enumerate(parents):
        browser = device(app, LAPTOP, f"203.0.113.{n}")
        enter(browser, parent)
        orders.append(form(browser, browser.get(PAGE), identifiant=letter.username, **{"mot-de-passe": PROVISIONAL}))
    answers = at_once(build.settings, orders)
    assert sorted(answer["status"] for answer in answers) == [200, 200, 200, 303]
    new_home = read_account(letter).merged_into_id
    assert new_home in {parent.id for parent in parents}
    assert db.session.scalars(select(Guardianship.account_id)).all() == [new_home]
