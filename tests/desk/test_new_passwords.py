"""A school's families choose new passwords."""

from datetime import timedelta

import pytest

from idp.accounts.models import Account
from idp.audit.models import AuditEntry
from idp.db import db
from idp.desk.staff.models import Role
from tests.builders import COLLEGE, LYCEE, Build
from tests.desk.colleagues import Colleagues, post

PATH = "/etablissement/mots-de-passe"


def blocked(account: Account) -> bool:
    db.session.expire_all()
    return db.session.get_one(Account, account.id).password_blocked_at is not None


def test_the_word_blocks_the_passwords_of_the_own_school_only(build: Build, colleagues: Colleagues) -> None:
    ours = build.active()
    theirs = build.active(children=[build.child(uai=LYCEE)], email="l@exemple.fr")
    browser = colleagues.signed_in(Role.HEAD)
    assert "Un compte actif est concerné" in browser.get(PATH).get_data(as_text=True)
    assert "Tapez le mot BLOQUER" in post(browser, PATH, word="oui", uai=COLLEGE).get_data(as_text=True)
    assert not blocked(ours)
    answer = post(browser, PATH, word="bloquer", uai=LYCEE)
    assert blocked(ours)
    assert not blocked(theirs), "a field of the form does not change the school of a head"
    assert "1 famille choisira" in browser.get(answer.headers["Location"]).get_data(as_text=True)
    entry = db.session.query(AuditEntry).filter_by(kind="desk.passwords_forced").one()
    assert (entry.details["uai"], entry.details["count"]) == (COLLEGE, 1)


def test_an_engineer_names_the_school(build: Build, colleagues: Colleagues) -> None:
    account = build.active()
    browser = colleagues.signed_in(Role.ENGINEER)
    assert "De quel établissement" in browser.get(PATH).get_data(as_text=True)
    assert "Aucun établissement" in browser.get(f"{PATH}?uai=xx").get_data(as_text=True)
    page = f"{PATH}?uai={COLLEGE.lower()}"
    assert "Collège des Tilleuls" in browser.get(page).get_data(as_text=True)
    post(browser, PATH, page, word="BLOQUER", uai=COLLEGE)
    assert blocked(account)


@pytest.mark.parametrize("role", [Role.SECRETARY, Role.HELPDESK, Role.DPO, Role.ENT_OPERATOR])
def test_others_may_not(colleagues: Colleagues, build: Build, role: Role) -> None:
    build.ent()
    assert colleagues.signed_in(role).get(PATH).status_code == 404


def test_a_fresh_proof_comes_first(colleagues: Colleagues) -> None:
    browser = colleagues.signed_in(Role.HEAD, proof_age=timedelta(minutes=6))
    assert "/preuve" in browser.get(PATH).headers["Location"]
