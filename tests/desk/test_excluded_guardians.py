"""A corrected name beside a person whom the school excluded: the head is asked, as about a new guardian."""

import pytest
from sqlalchemy import select

from idp.accounts import school_notices
from idp.accounts.models import Account, SchoolNotice
from idp.accounts.school_notices import Kind
from idp.clock import now
from idp.db import db, unit_of_work
from idp.desk.staff.models import Role
from tests.builders import Build
from tests.desk.colleagues import Colleagues, post
from tests.desk.school_files import families, imported, row, sheet


@pytest.mark.row("R-14")
@pytest.mark.parametrize("is_active", [False, True])
@pytest.mark.parametrize(("family", "asks"), [("MARCHEND", True), ("TIERS", False)])
def test_a_name_that_the_desk_corrects_is_compared_with_people_whom_the_school_excluded(
    colleagues: Colleagues, build: Build, family: str, *, asks: bool, is_active: bool
) -> None:
    malo = build.child("Malo", family_name="LEROY")
    father = build.active(children=[malo], given_name="Gaston", family_name="MARCHAND", civility="M.")
    father.guardianships[0].ended_at = father.guardianships[0].excluded_at = now()
    account = (build.active if is_active else build.never_activated)(children=[malo], given_name="Paul", civility="M.")
    db.session.commit()
    with unit_of_work():
        school_notices.add(Kind.NAME_IN_DOUBT, account.id, [build.school().id])
    [doubt] = db.session.scalars(select(SchoolNotice.id))
    answer = {"sentence": "vu avec la famille", "given_name": "Gaston", "family_name": family}
    assert post(colleagues.signed_in(), f"/signalements/{doubt}/raison", **answer).status_code == 303
    kinds = db.session.scalars(select(SchoolNotice.kind).where(SchoolNotice.settled_at.is_(None))).all()
    asked = ["name_compared"] if is_active else ["guardian_waits"]
    assert kinds == (asked if asks else [])
    assert bool(db.session.get_one(Account, account.id, populate_existing=True).children) is (is_active or not asks)


@pytest.mark.row("R-14")
@pytest.mark.parametrize("is_active", [False, True])
def test_a_name_that_a_file_corrects_is_compared_with_people_whom_the_school_excluded(
    colleagues: Colleagues, build: Build, *, is_active: bool
) -> None:
    head, child = colleagues.signed_in(Role.HEAD), "1001;FAMILLE1;Léa;6A"
    father = row(98, given="Gaston", family="MARCHAND", civility="M.", child=child)
    imported(head, sheet(*families(30), father, row(99, given="Gaston", family="MARTEAU", civility="M.", child=child)))
    of = {account.family_name: account for account in db.session.scalars(select(Account))}
    of["MARCHAND"].guardianships[0].ended_at = of["MARCHAND"].guardianships[0].excluded_at = now()
    if is_active:
        of["MARTEAU"].activated_at = now()
    db.session.commit()
    imported(head, sheet(*families(30), father, row(99, given="Gaston", family="MARCHEND", civility="M.", child=child)))
    kinds = db.session.scalars(select(SchoolNotice.kind).where(SchoolNotice.settled_at.is_(None))).all()
    assert kinds == (["name_compared"] if is_active else ["guardian_waits"])
