"""New guardians of a pupil with a suspension: they wait for the head, and no page says that they are suspended."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select

from idp.accounts.models import Guardianship, School, SchoolNotice
from idp.clock import now
from idp.db import db
from idp.operations.helpdesk import suspension
from idp.operations.helpdesk.suspension import Decision
from tests.builders import Build
from tests.rows import each_row
from tests.waiting_guardians import wait

WHY = "le juge a décidé"


@pytest.mark.row("R-14")
@each_row(("end", "admitted"), [(None, False), (timedelta(days=1), True)])
def test_a_judgement_about_a_guardian_who_waits_is_a_decision(
    build: Build, end: timedelta | None, *, admitted: bool
) -> None:
    account = build.active()
    [tie], until = account.guardianships, now() + end if end else None
    wait(account)
    school = db.session.scalars(select(School)).one()
    judged = Decision(reason=WHY, reference="RG 26/1", child=tie.child_id, school=school, until=until)
    row = suspension.suspend(account.id, judged)
    assert (row.reason, row.reference, row.awaits_head) == (WHY, "RG 26/1", False)
    assert suspension.suspend(account.id, judged).id == row.id, "a double click"
    notice = db.session.scalars(select(SchoolNotice).where(SchoolNotice.account_id == account.id)).one()
    assert (notice.settled_at is None) is admitted, "at the end of the suspension the head still decides"
    if admitted:
        suspension.admit(notice.id, "vu avec la mère")
    tie = db.session.get_one(Guardianship, (account.id, tie.child_id), populate_existing=True)
    assert tie.suspended_at is not None, "an answer about the names leaves the judgement"
    assert tie.suspended_until == until
    other = suspension.suspend(account.id, replace(judged, reference="RG 26/2"))
    assert other.id != row.id
