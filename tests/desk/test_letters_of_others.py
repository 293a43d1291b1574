"""A letter typed into another account: the school says whether both are one person's, also a month later."""

import json
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from idp.accounts import school_notices
from idp.accounts.models import Account, SchoolNotice
from idp.accounts.school_notices import Kind
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.db import db, unit_of_work
from idp.desk.notices.words import Answer
from idp.desk.staff.models import Role
from tests import forked
from tests.builders import COLLEGE, LYCEE, Build
from tests.closed import suspend
from tests.desk.colleagues import Colleagues, post
from tests.desk.test_notices import CHECKED, answered, plain, reloaded

YES, NO = Answer.ONE_PERSON, Answer.TWO_PEOPLE
ADDED = "a été ajouté au compte de"
LATE = "Un collègue a réglé ce signalement avant vous."


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
@pytest.mark.parametrize("role", [Role.SECRETARY, Role.HEAD])
def test_yes_merges_with_a_fresh_proof_and_asks_the_other_school(
    colleagues: Colleagues, build: Build, role: Role
) -> None:
    mine, other, notice = doubted(build)
    browser = colleagues.signed_in(role, proof_age=timedelta(minutes=6))
    shown = plain(browser.get(f"/signalements/{notice.id}"))
    assert [label in shown for label in ("Oui, la même personne", "Non, ce sont deux personnes")] == [True, True]
    assert "Rien n’a été ajouté." in shown
    assert browser.get(f"/signalements/{notice.id}/{YES}").headers["Location"].startswith("/preuve?")
    colleagues.age_proofs(timedelta())
    done = answered(browser, notice, YES)
    assert f"Les élèves de {other.display_name} sont dans le compte de" in plain(browser.get(done.headers["Location"]))
    assert children_of(mine) == ["Léa", "Zoé", "Lou"]
    [elsewhere] = db.session.scalars(select(SchoolNotice).where(school_notices.is_open()))
    assert (elsewhere.kind, elsewhere.school_id) == (Kind.LETTER_DOUBT, build.school(LYCEE).id)
    assert ADDED in plain(colleagues.signed_in(uai=LYCEE).get("/signalements"))
    [linked] = db.session.scalars(select(AuditEntry).where(AuditEntry.kind == "letter.linked"))
    assert (linked.details["notice"], linked.details["desk"]["role"]) == (str(notice.id), role.value)


@pytest.mark.row("R-16")
def test_no_adds_nothing_and_leads_to_another_letter(colleagues: Colleagues, build: Build) -> None:
    mine, other, notice = doubted(build)
    browser = colleagues.signed_in(proof_age=timedelta(minutes=6))
    after = plain(browser.get(answered(browser, notice, NO).headers["Location"]))
    assert f"Imprimer un courrier pour {other.display_name}" in after
    assert after.count("Imprimer un courrier pour") == 1
    assert (children_of(mine), children_of(other)) == (["Léa"], ["Zoé", "Lou"])
    assert reloaded(notice).sentence == f"Deux personnes : {CHECKED}"
    assert browser.get(f"/signalements/{notice.id}/{NO}").headers["Location"].endswith("fait=tard")


@pytest.mark.parametrize(
    ("is_mine", "changed"),
    [(True, "disabled_at"), (True, "suspended"), (True, "activated_at")]
    + [(False, name) for name in ("disabled_at", "suspended", "activated_at")],
)
def test_yes_is_refused_once_an_account_has_changed(
    colleagues: Colleagues, build: Build, changed: str, *, is_mine: bool
) -> None:
    mine, other, notice = doubted(build)
    changing = mine if is_mine else other
    if changed == "suspended":
        suspend(changing.id)
    else:
        setattr(changing, changed, None if is_mine and changed == "activated_at" else now())
        db.session.commit()
    page = plain(answered(colleagues.signed_in(), notice, YES))
    assert "le compte a changé entre-temps. Rien n’a été fait." in page
    assert reloaded(notice).settled_at is None
    assert children_of(other) == ["Zoé", "Lou"]


@pytest.mark.row("R-16")
def test_a_month_later_no_is_found_on_the_account_and_takes_the_children_back(
    colleagues: Colleagues, build: Build
) -> None:
    mine, other, notice = doubted(build)
    browser = colleagues.signed_in()
    answered(browser, notice, YES)
    db.session.execute(update(SchoolNotice).values(settled_at=now() - timedelta(days=31)))
    db.session.commit()
    assert CHECKED not in plain(browser.get("/signalements")), "the list has forgotten it"
    assert f'href="/signalements/{notice.id}"' in plain(browser.get(f"/comptes/{mine.id}"))
    page = plain(browser.get(f"/signalements/{notice.id}"))
    assert [label in page for label in ("Oui, la même personne", "Non, ce sont deux personnes")] == [False, True]
    colleagues.age_proofs()
    assert browser.get(f"/signalements/{notice.id}/{NO}").headers["Location"].startswith("/preuve?")
    colleagues.age_proofs(timedelta())
    assert ADDED in plain(browser.get(f"/signalements/{notice.id}/{NO}"))
    after = plain(browser.get(answered(browser, notice, NO).headers["Location"]))
    assert (children_of(mine), children_of(other)) == (["Léa"], ["Zoé", "Lou"])
    assert f'<a class="btn" href="/comptes/{other.id}/courrier">' in after
    assert f"/signalements/{notice.id}" not in plain(browser.get(f"/comptes/{mine.id}"))
    sentences = db.session.scalars(select(SchoolNotice.sentence)).all()
    assert set(sentences) == {f"Deux personnes : {CHECKED}"}, "the other school reads it too"


def test_an_answer_to_a_page_from_before_another_answer_changes_nothing(colleagues: Colleagues, build: Build) -> None:
    mine, _, notice = doubted(build)
    quick, slow = colleagues.signed_in(), colleagues.signed_in()
    page = slow.get(f"/signalements/{notice.id}/{NO}")
    answered(quick, notice, YES)
    slow.get = lambda *_args, **_more: page  # type: ignore[method-assign]
    late = post(slow, f"/signalements/{notice.id}/{NO}", sentence=CHECKED)
    assert late.headers["Location"].endswith("fait=tard")
    assert LATE in plain(quick.get(late.headers["Location"]))
    assert children_of(mine) == ["Léa", "Zoé", "Lou"]


@pytest.mark.parametrize("answer", [YES, NO])
def test_the_notice_about_an_erased_account_is_settled_by_no_alone(
    colleagues: Colleagues, build: Build, answer: Answer
) -> None:
    _, _, notice = doubted(build)
    db.session.execute(update(SchoolNotice).values(other_account_id=None))
    db.session.commit()
    answered(colleagues.signed_in(), notice, answer)
    assert (reloaded(notice).settled_at is None) is (answer is YES)


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
