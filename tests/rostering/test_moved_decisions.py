"""A decision about a tie follows its pupil to another school."""

from pathlib import Path

import pytest
from sqlalchemy import select

from idp.accounts.models import School, SchoolNotice
from idp.accounts.suspensions.models import Suspension
from idp.db import db
from idp.operations.helpdesk import suspension
from idp.operations.helpdesk.suspension import Decision
from tests.commands.conftest import Run
from tests.rostering.aaf_school import COLLEGE, LYCEE, Parent, Year
from tests.rostering.seen import account, imported
from tests.rostering.test_disputed_ties import FATHER


def _school(uai: str) -> School:
    return db.session.scalars(select(School).where(School.uai == uai)).one()


@pytest.mark.row("R-14")
@pytest.mark.both_databases
def test_the_decision_and_the_notice_of_a_guardian_who_waits_go_to_the_new_school(
    act: Run, year: Year, folder: Path
) -> None:
    imported(act, year.write(folder))
    father, pupil = account(FATHER), year.pupils["9200000"]
    child_id = father.guardianships[0].child_id
    suspension.suspend(father.id, Decision(reason="jugement", child=child_id, school=_school(LYCEE)))
    year.add(Parent("9999", "Paul", "AUTRE", civility="M."))
    year.change(pupil.key, parents=(*pupil.parents, ("9999", "90", "1")))
    imported(act, year.write(folder))
    year.change(pupil.key, uai=COLLEGE)
    for _ in range(2):
        imported(act, year.write(folder))
        db.session.expire_all()
        assert set(db.session.scalars(select(Suspension.school_id))) == {_school(COLLEGE).id}
        [notice] = db.session.scalars(select(SchoolNotice).where(SchoolNotice.settled_at.is_(None)))
        assert (notice.school_id, notice.account_id) == (_school(COLLEGE).id, account("9999").id)
        assert notice.child_ids == [child_id.hex]
    [former] = db.session.scalars(select(SchoolNotice).where(SchoolNotice.settled_at.is_not(None)))
    assert (former.school_id, former.settled_by) == (_school(LYCEE).id, "import")
