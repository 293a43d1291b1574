"""A letter typed into another account: the school says whether both are one person's, also a month later."""

import json
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from idp.accounts import school_notices
from idp.accounts.models import Account, SchoolNotice
from idp.accounts.school_notices import Kind
from idp.clock import now
from idp.db import db, unit_of_work
from idp.desk.notices.words import Answer
from tests import forked
from tests.builders import COLLEGE, LYCEE, Build
from tests.desk.colleagues import Colleagues
from tests.desk.test_notices import CHECKED, answered, plain

YES, NO = Answer.ONE_PERSON, Answer.TWO_PEOPLE
ADDED = "a été ajouté au compte de"


def doubted(build: Build) -> tuple[Account, Account, SchoolNotice]:
    """Return an account, the account of a letter that was typed into it, and the notice of the collège."""
    mine = build.active(children=[build.child("Léa")])
    other = build.never_activated(children=[build.child("Zoé"), build.child("Lou", uai=LYCEE)])
    schools = [build.school(uai).id for uai in (COLLEGE, LYCEE)]
    with unit_of_work():
        school_notices.add(Kind.LETTER_DOUBT, other.id, schools, other_account_id=mine.id)
    at_college = SchoolNotice.account_id == other.id, SchoolNotice.school_id == schools[0]
    return mine, other, db.session.scalars(select(SchoolNotice).where(*at_college)).one()


def children_of(account: Account) -> list[str]:
    db.session.expire_all()
    return [child.given_name for child in db.session.get_one(Account, account.id).children]


@pytest.mark.row("R-16")
def test_yes_merges_with_a_fresh_proof(colleagues: Colleagues, build: Build) -> None:
    mine, other, notice = doubted(build)
    browser = colleagues.signed_in(proof_age=timedelta(minutes=6))
    assert "Rien n’a été ajouté." in plain(browser.get(f"/signalements/{notice.id}"))
    assert browser.get(f"/signalements/{notice.id}/{YES}").headers["Location"].startswith("/preuve?")
    colleagues.age_proofs(timedelta())
    done = answered(browser, notice, YES)
    assert f"Les élèves de {other.display_name} sont dans le compte de" in plain(browser.get(done.headers["Location"]))
    assert children_of(mine) == ["Léa", "Zoé", "Lou"]
    assert ADDED in plain(colleagues.signed_in(uai=LYCEE).get("/signalements"))


@pytest.mark.row("R-16")
def test_no_adds_nothing_and_leads_to_another_letter(colleagues: Colleagues, build: Build) -> None:
    mine, other, notice = doubted(build)
    browser = colleagues.signed_in(proof_age=timedelta(minutes=6))
    after = plain(browser.get(answered(browser, notice, NO).headers["Location"]))
    assert after.count(f"Imprimer un courrier pour {other.display_name}") == 1
    assert (children_of(mine), children_of(other)) == (["Léa"], ["Zoé", "Lou"])
    assert browser.get(f"/signalements/{notice.id}/{NO}").headers["Location"].endswith("fait=tard")


@pytest.mark.row("R-16")
def test_a_month_later_no_is_found_on_the_account_and_needs_a_proof(colleagues: Colleagues, build: Build) -> None:
    mine, other, notice = doubted(build)
    browser, page = colleagues.signed_in(), f"/signalements/{notice.id}"
    answered(browser, notice, YES)
    db.session.execute(update(SchoolNotice).values(settled_at=now() - timedelta(days=31)))
    db.session.commit()
    assert CHECKED not in plain(browser.get("/signalements")), "the list has forgotten it"
    assert f'href="{page}"' in plain(browser.get(f"/comptes/{mine.id}"))
    assert f'href="{page}/{YES}"' not in plain(browser.get(page))
    colleagues.age_proofs()
    assert browser.get(f"{page}/{NO}").headers["Location"].startswith("/preuve?")
    colleagues.age_proofs(timedelta())
    after = plain(browser.get(answered(browser, notice, NO).headers["Location"]))
    assert f'<a class="btn" href="/comptes/{other.id}/courrier">' in after
    assert (children_of(mine), children_of(other)) == (["Léa"], ["Zoé", "Lou"])
    assert page not in plain(browser.get(f"/comptes/{mine.id}"))


@pytest.mark.row("Z-03")
@pytest.mark.parametrize("is_added", [False, True])
def test_of_yes_and_no_at_once_one_wins(colleagues: Colleagues, build: Build, *, is_added: bool) -> None:
    rows = [doubted(build) for _ in range(3)]
    if is_added:
        for _, _, notice in rows:
            answered(colleagues.signed_in(), notice, YES)
    answers = [NO, NO] if is_added else [YES, NO]
    order = {"notices": [str(notice.id) for _, _, notice in rows], "answers": answers}
    db.session.rollback()
    done = forked.run(
        "tests.desk.notice_race", timeout=300, stdin=json.dumps({"database": build.settings.database_url, **order})
    )
    assert done.returncode == 0, done.stderr[-3000:]
    won = json.loads(done.stdout)
    for mine, _, notice in rows:
        [winner] = [answer for answer in won[str(notice.id)] if answer]
        assert children_of(mine) == (["Léa", "Zoé", "Lou"] if winner == YES else ["Léa"])
