"""A letter typed into another account: what the school's answer does, now and a month later."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from idp.accounts import school_notices
from idp.accounts.models import SchoolNotice
from idp.accounts.school_notices import Kind
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.db import db
from idp.families import admission, merging
from idp.families.refusals import Code
from tests.builders import LYCEE, Build
from tests.closed import suspend
from tests.families.notices import noticed
from tests.settlements import REASON, refused

APART = (["Léa"], ["Zoé", "Lou"])
TOGETHER: tuple[list[str], list[str]] = (["Léa", "Zoé", "Lou"], [])


class Doubt:
    """An account, the account of a letter that was typed into it, and the notice of the collège."""

    def __init__(self, build: Build) -> None:
        self.build = build
        self.mine = build.active(children=[build.child("Léa")])
        self.other = build.never_activated(children=[build.child("Zoé"), build.child("Lou", uai=LYCEE)])
        self.schools = build.school(), build.school(LYCEE)
        self.notice = noticed(Kind.LETTER_DOUBT, self.other, *self.schools, other=self.mine)

    def answer(self, *, is_one_person: bool, seen: str = "") -> None:
        """Answer on a page that shows the notice as it is now, or as it was."""
        shown = seen or self.seen()
        merging.decide(self.build.settings, self.notice.id, REASON, shown, is_one_person=is_one_person)

    def seen(self) -> str:
        db.session.refresh(self.notice)
        return admission.pupils_asked(self.notice)

    def children(self) -> tuple[list[str], list[str]]:
        db.session.expire_all()
        mine, other = ([child.given_name for child in row.children] for row in (self.mine, self.other))
        return mine, other


@pytest.fixture
def doubt(build: Build) -> Doubt:
    return Doubt(build)


@pytest.mark.row("R-16")
def test_yes_merges_and_asks_the_other_school(doubt: Doubt) -> None:
    doubt.answer(is_one_person=True)
    assert doubt.children() == TOGETHER
    [elsewhere] = db.session.scalars(select(SchoolNotice).where(school_notices.is_open()))
    assert (elsewhere.kind, elsewhere.school_id) == (Kind.LETTER_DOUBT, doubt.schools[1].id)
    [linked] = db.session.scalars(select(AuditEntry).where(AuditEntry.kind == "letter.linked"))
    assert linked.details["notice"] == str(doubt.notice.id)


@pytest.mark.row("R-16")
def test_a_month_later_no_takes_the_children_back_and_settles_for_both_schools(doubt: Doubt) -> None:
    doubt.answer(is_one_person=True)
    db.session.execute(update(SchoolNotice).values(settled_at=now() - timedelta(days=31)))
    db.session.commit()
    doubt.answer(is_one_person=False)
    assert doubt.children() == APART
    assert not db.session.scalars(select(SchoolNotice).where(school_notices.is_open())).all()


def test_an_answer_to_a_page_from_before_another_answer_changes_nothing(doubt: Doubt) -> None:
    seen = doubt.seen()
    doubt.answer(is_one_person=True)
    with refused(Code.SETTLED):
        doubt.answer(is_one_person=False, seen=seen)
    assert doubt.children() == TOGETHER


@pytest.mark.parametrize("is_mine", [True, False])
@pytest.mark.parametrize("changed", ["disabled_at", "suspended", "activated_at"])
def test_yes_is_refused_once_an_account_has_changed(doubt: Doubt, changed: str, *, is_mine: bool) -> None:
    account = doubt.mine if is_mine else doubt.other
    if changed == "suspended":
        suspend(account.id)
    else:
        setattr(account, changed, None if is_mine and changed == "activated_at" else now())
        db.session.commit()
    with refused(Code.CHANGED):
        doubt.answer(is_one_person=True)
    assert (doubt.children(), doubt.notice.settled_at) == (APART, None)


def test_the_notice_about_an_erased_account_is_settled_by_no_alone(doubt: Doubt) -> None:
    doubt.notice.other_account_id = None
    db.session.commit()
    with refused(Code.CHANGED):
        doubt.answer(is_one_person=True)
    doubt.answer(is_one_person=False)
    assert doubt.children() == APART
    assert doubt.notice.settled_at is not None
