"""The tiles of « Aujourd’hui »: each counts what its page lists to the person."""

import re

import pytest
from sqlalchemy import select

from idp.accounts import school_notices
from idp.accounts.models import SchoolNotice
from idp.accounts.school_notices import Kind
from idp.db import db, unit_of_work
from idp.desk.staff.models import Role
from idp.families import suspension
from idp.families.suspension import Decision
from tests.builders import Build
from tests.desk.colleagues import Colleagues
from tests.desk.test_notices import CHECKED, noticed, plain


@pytest.mark.parametrize(("role", "beside"), [(Role.SECRETARY, 5), (Role.HEAD, 0)])
def test_a_tile_counts_the_notices_that_its_person_may_settle(
    colleagues: Colleagues, build: Build, role: Role, beside: int
) -> None:
    school = build.school()
    for kind in Kind:
        noticed(build, kind, build.active(given_name=kind.value))
    called, child = build.active(), build.child("Malo")
    with unit_of_work():
        school_notices.add(Kind.NOT_GUARDIAN, called.id, {school.id: [child.id]}, taken_by=["staff:1"])
    doubted = build.active(children=[child])
    suspension.suspend(build.active(children=[child]).id, Decision(reason=CHECKED, child=child.id, school=school))
    noticed(build, Kind.NAME_IN_DOUBT, doubted)
    browser = colleagues.signed_in(role)
    notices = [row.id for row in db.session.scalars(select(SchoolNotice)) if row.settled_at is None]
    listed = plain(browser.get("/signalements"))
    answerable = [key for key in notices if re.search(rf'href="/signalements/{key}/[\w-]+"', listed)]
    assert len(notices) - len(answerable) == beside
    today = plain(browser.get("/"))
    counts = dict(re.findall(r'<span class="count">(\d+)</span><span><b>(Signalements[^<]*)</b>', today))
    assert counts == {str(len(answerable)): "Signalements"} | (
        {str(beside): "Signalements pour la direction"} if beside else {}
    )
