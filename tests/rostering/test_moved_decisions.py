"""A decision or a dispute about a tie follows its pupil to another school, and outlives the pupil's row."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from sqlalchemy import select

from idp.accounts import school_notices
from idp.accounts.closings import Closing
from idp.accounts.models import Child, School, SchoolNotice
from idp.accounts.school_notices import Refusal
from idp.clock import now
from idp.db import db, unit_of_work
from idp.families import closing, telephone
from idp.families.closing import Decision
from idp.operations.purge.unused_accounts import LONGEST_AFTER_DEPARTURE
from tests.builders import Build
from tests.commands.conftest import Run
from tests.rostering.aaf_school import COLLEGE, LYCEE, Parent, Pupil, Year
from tests.rostering.seen import account, children_of, imported
from tests.rostering.test_disputed_ties import FATHER
from tests.settlements import REJECT, settle


def _school(uai: str) -> School:
    return db.session.scalars(select(School).where(School.uai == uai)).one()


@pytest.mark.row("R-14")
def test_the_decision_and_the_notice_of_a_guardian_who_waits_go_to_the_new_school(
    act: Run, year: Year, folder: Path
) -> None:
    imported(act, year.write(folder))
    father, pupil = account(FATHER), year.pupils["9200000"]
    child_id = father.guardianships[0].child_id
    closing.close(father.id, Decision(reason="jugement", child=child_id, school=_school(LYCEE)))
    year.add(Parent("9999", "Paul", "AUTRE", civility="M."))
    year.change(pupil.key, parents=(*pupil.parents, ("9999", "90", "1")))
    imported(act, year.write(folder))
    year.change(pupil.key, uai=COLLEGE)
    moved: set[Any] = set()
    for _ in range(2):
        imported(act, year.write(folder))
        db.session.expire_all()
        assert set(db.session.scalars(select(Closing.school_id))) == {_school(COLLEGE).id}
        [notice] = db.session.scalars(select(SchoolNotice).where(SchoolNotice.settled_at.is_(None)))
        assert (notice.school_id, notice.account_id) == (_school(COLLEGE).id, account("9999").id)
        assert notice.child_ids == [child_id.hex]
        arrivals = select(Child.roster_key, Child.moved_at).where(Child.moved_at.is_not(None))
        moved.update(db.session.execute(arrivals).all())
    assert [row[0] for row in moved] == [f"aaf:{pupil.key}"], "the second import brings nobody again"
    [former] = db.session.scalars(select(SchoolNotice).where(SchoolNotice.settled_at.is_not(None)))
    assert (former.school_id, former.settled_by) == (_school(LYCEE).id, "import")


@pytest.mark.row("R-13")
def test_an_open_dispute_and_who_took_the_call_go_to_the_new_school(
    act: Run, year: Year, folder: Path, build: Build
) -> None:
    imported(act, year.write(folder))
    father, pupil = account(FATHER), year.pupils["9200000"]
    tie = father.guardianships[0]
    call = telephone.note_not_guardian(father.id, tie.child_id, _school(LYCEE), may_repeat=False)
    db.session.get_one(SchoolNotice, call.notice).taken_by = takers = ["staff:1", "staff:2"]
    tie.child.school_id = _school(COLLEGE).id  # as a killed import leaves it
    db.session.commit()
    with unit_of_work():
        refusal = school_notices.settle_one(call.notice, by="lycée", sentence="parti")
    assert refusal is Refusal.DISPUTED, "nobody else could settle it afterwards"
    year.change(pupil.key, uai=COLLEGE)
    for _ in range(2):
        imported(act, year.write(folder))
        [notice] = db.session.scalars(select(SchoolNotice).where(SchoolNotice.settled_at.is_(None)))
        assert (notice.school_id, notice.kind, notice.taken_by) == (_school(COLLEGE).id, "not_guardian", takers)
    settle(build.settings, father, REJECT, uai=COLLEGE)
    assert children_of(FATHER) == [pupil.given]


@pytest.mark.row("R-14")
@pytest.mark.parametrize("whole", [False, True])
def test_a_pupil_stays_as_long_as_a_suspension(act: Run, year: Year, folder: Path, *, whole: bool) -> None:
    pupil = year.pupils["9200000"]
    imported(act, year.write(folder))
    father = account(FATHER)
    child = father.guardianships[0].child_id
    closing.close(father.id, Decision(reason="jugement", child=None if whole else child))
    del year.pupils["9200000"]
    imported(act, year.write(folder), "--force")
    with time_machine.travel(now() + timedelta(days=91)):
        act("purge")
        year.add(Parent("9999", "Paul", "AUTRE", civility="M."))
        year.add(Pupil("9200000", pupil.given, pupil.family, uai=COLLEGE, parents=(("9999", "20", "1"),)))
        imported(act, year.write(folder), "--force")
        assert children_of("9999") == []
        del year.pupils["9200000"]
        imported(act, year.write(folder), "--force")
    with time_machine.travel(now() + LONGEST_AFTER_DEPARTURE + timedelta(days=92)):
        act("purge")
        assert db.session.get(Child, child, populate_existing=True) is None
