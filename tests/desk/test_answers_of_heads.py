"""Answers of the head about new guardians of a pupil with a suspension."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from idp.accounts.closings import Closing
from idp.accounts.models import Account, SchoolNotice
from idp.accounts.school_notices import Kind
from idp.clock import now
from idp.db import db
from idp.desk.decisions.words import WORDS, Answer
from idp.desk.staff.models import Role
from tests.builders import Build
from tests.desk.colleagues import Colleagues, post
from tests.desk.test_suspension import text_of
from tests.pages import hidden
from tests.waiting_guardians import wait

WHY = "le juge a décidé"


@pytest.mark.row("R-14")
@pytest.mark.parametrize("answer", list(WORDS[Kind.GUARDIAN_WAITS].answers))
def test_an_answer_is_about_the_pupils_that_the_head_has_read(
    colleagues: Colleagues, build: Build, answer: Answer
) -> None:
    """A file adds another pupil to the notice while its page is open."""
    account = build.active(children=[build.child("Malo"), build.child("Zoé")])
    [first, second] = [tie.child_id for tie in account.guardianships]
    wait(account, first)
    [notice] = db.session.scalars(select(SchoolNotice))
    head, path = colleagues.signed_in(Role.HEAD), f"/signalements/{notice.id}/{answer.value}"
    old = hidden(head.get(path))
    wait(account, second)
    for seen in (old["seen"], ""):
        page = head.post(path, data={**old, "seen": seen, "sentence": WHY})
        assert (page.status_code, "D’autres élèves sont concernés" in page.get_data(as_text=True)) == (200, True)
    db.session.expire_all()
    waiting = db.session.scalars(select(Closing).where(Closing.where_waiting(now()))).all()
    assert {row.child_id for row in waiting} == {first, second}, "nothing is decided"
    answered = head.post(path, data={**hidden(page), "sentence": WHY})
    assert answered.headers["Location"].endswith(f"?fait={answer.value}")


@pytest.mark.row("R-14")
@pytest.mark.parametrize("answer", list(WORDS[Kind.GUARDIAN_WAITS].answers))
def test_only_the_head_decides_about_a_guardian_who_waits(colleagues: Colleagues, build: Build, answer: Answer) -> None:
    account = build.active(children=[build.child("Malo"), build.child("Zoé")])
    wait(account)
    [notice] = db.session.scalars(select(SchoolNotice))
    is_settled = select(SchoolNotice.settled_at.is_not(None))
    page = f"/signalements/{notice.id}/{answer.value}"
    label = str(WORDS[Kind.GUARDIAN_WAITS].answers[answer].label).partition(" :")[0]
    secretary = colleagues.signed_in()
    listed = text_of(secretary, "/signalements")
    assert "Malo" in listed
    assert "La direction seule répond à : 1." in listed
    tile = '<span class="count">1</span><span><b>Signalements{}</b><small>{}'
    of_head = tile.format(" pour la direction", "Seule la direction y répond : prévenez-la.")
    of_post = tile.format("", "Ils attendent votre réponse.")
    for role, own, other in ((Role.SECRETARY, of_head, of_post), (Role.HEAD, of_post, of_head)):
        today = text_of(colleagues.signed_in(role), "/")
        assert (own in today, other in today) == (True, False)
    assert label not in listed
    assert secretary.get(page).status_code == 404
    assert post(secretary, page, "/", sentence=WHY).status_code == 404
    stale = colleagues.signed_in(Role.HEAD, proof_age=timedelta(minutes=11))
    assert stale.get(page).headers["Location"].startswith("/preuve?")
    assert not db.session.scalars(is_settled).one()
    head = colleagues.signed_in(Role.HEAD)
    assert label in text_of(head, "/signalements")
    assert post(head, page, sentence=WHY).headers["Location"].endswith(f"?fait={answer.value}")
    assert db.session.scalars(is_settled).one()
    db.session.expire_all()
    names = [child.given_name for child in db.session.get_one(Account, account.id).children]
    assert names == (["Malo", "Zoé"] if answer is Answer.ADMIT else [])
    holding = db.session.scalars(select(Closing).where(Closing.ended_at.is_(None))).all()
    assert [(row.awaits_head, WHY in row.reason) for row in holding] == (
        [] if answer is Answer.ADMIT else [(False, True)] * 2
    ), "the answer of the head is a decision"
