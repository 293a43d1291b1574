"""A whole account that one school closed: which heads are told, what other schools read, and who reopens it."""

import pytest
from sqlalchemy import select

from idp.accounts import school_notices
from idp.accounts.closings import Closing
from idp.accounts.models import Account, Guardianship, School, SchoolNotice
from idp.clock import now, today
from idp.db import db, unit_of_work
from idp.desk.alerts import ALERT
from idp.desk.staff.models import Role
from idp.families import closing
from idp.families.closing import Decision
from idp.outbox.queue import OutboxMessage
from idp.rostering.write import moving
from tests.builders import COLLEGE, LYCEE, Build
from tests.desk.colleagues import Colleagues, post
from tests.desk.test_suspension import WHY, path_of, rows, text_of


def siblings(build: Build) -> Account:
    return build.active(children=[build.child("Malo"), build.child("Zoé", uai=LYCEE)])


def closed(build: Build) -> Closing:
    """Have the collège close the account of a person of two schools."""
    return closing.close(siblings(build).id, Decision(reason=WHY, reference="RG 26/1", school=build.school()))


def leave(row: Closing, given_name: str) -> None:
    ties = db.session.scalars(select(Guardianship).where(Guardianship.account_id == row.account_id))
    [tie] = [tie for tie in ties if tie.child.given_name == given_name]
    tie.ended_at = tie.child.left_at = now()
    db.session.commit()


def written() -> list[tuple[str, str]]:
    notices = select(SchoolNotice.kind, School.uai).join(School, School.id == SchoolNotice.school_id)
    return sorted((kind, uai) for kind, uai in db.session.execute(notices))


@pytest.mark.row("K-35")
def test_the_heads_of_the_schools_that_remain_reopen(colleagues: Colleagues, build: Build) -> None:
    row = closed(build)
    path = f"/comptes/{row.account_id}/suspension/{row.id}/reouverture"
    here, there = colleagues.signed_in(Role.HEAD), colleagues.signed_in(Role.HEAD, uai=LYCEE)
    assert (here.get(path).status_code, there.get(path).status_code) == (200, 404)
    leave(row, "Malo")
    pages = [
        text_of(there, shown) for shown in (f"/comptes/{row.account_id}", f"/comptes/{row.account_id}/suspension", path)
    ]
    for page in pages:
        assert "L’accès est suspendu" in page
        for hidden in (WHY, "RG 26/1", "a suspendu", build.school().name):
            assert hidden not in page
    assert path in pages[0]
    post(there, path, reason="le jugement est levé")
    assert rows()[0].ended_at is not None


@pytest.mark.row("K-35")
@pytest.mark.parametrize("is_purged", [False, True])
def test_a_closing_keeps_its_school_in_scope(colleagues: Colleagues, build: Build, *, is_purged: bool) -> None:
    row, head, secretary = closed(build), colleagues.signed_in(Role.HEAD), colleagues.signed_in()
    leave(row, "Malo")
    if is_purged:
        db.session.delete(db.session.scalars(select(Guardianship).where(~Guardianship.is_unended)).one())
        db.session.commit()
    path = f"/comptes/{row.account_id}/suspension/{row.id}/reouverture"
    assert (path in text_of(head, "/suspensions")) is is_purged
    assert "Suspensions : 1" in text_of(secretary, "/suspensions")
    answer = post(head, path, reason="réglé")
    assert text_of(head, answer.headers["Location"])
    assert rows()[0].ended_at is not None


@pytest.mark.row("K-35")
def test_the_schools_that_remain_and_the_help_desk_are_told_once(colleagues: Colleagues, build: Build) -> None:
    row = closed(build)
    for leaves, notices in ((False, []), (True, [("closing_passed_on", LYCEE)])):
        if leaves:
            leave(row, "Malo")
        for _ in range(2):
            with unit_of_work():
                moving.tell_heirs()
        assert written() == notices
    assert "Un accès suspendu que la direction peut rouvrir" in text_of(
        colleagues.signed_in(Role.HELPDESK), "/signalements"
    )
    with unit_of_work():
        school_notices.settle(row.account_id, by="head", sentence="vu")
        moving.tell_heirs()
    closing.reopen(row.id, "réglé")
    with unit_of_work():
        moving.tell_heirs()
    assert written() == [("closing_passed_on", LYCEE)]


@pytest.mark.parametrize(
    ("role", "schools", "until", "uais"),
    [
        (Role.SECRETARY, [COLLEGE], "", [COLLEGE]),
        (Role.SECRETARY, [COLLEGE], f"{today()}", []),
        (Role.SECRETARY, [COLLEGE, LYCEE], f"{today()}", [COLLEGE, LYCEE]),
        (Role.HEAD, [COLLEGE, LYCEE], "", []),
    ],
)
def test_heads_are_told_of_an_account_that_a_secretary_closed(
    colleagues: Colleagues, build: Build, *, role: Role, schools: list[str], until: str, uais: list[str]
) -> None:
    account = build.active(children=[build.child(uai, uai=uai) for uai in schools])
    heads = {}
    for uai in (COLLEGE, LYCEE):
        heads[uai] = colleagues.person(uai)
        colleagues.grant(heads[uai], Role.HEAD, uai=uai)
    browser = colleagues.signed_in(role)
    filled = {"scope": "compte", "reason": WHY, "end": "jour" if until else "ouverte", "until": until}
    for _ in range(2):
        post(browser, path_of(account), **filled)
    assert written() == [("account_closed", uai) for uai in uais]
    mails = db.session.scalars(select(OutboxMessage).where(OutboxMessage.kind == ALERT)).all()
    assert sorted(mail.payload["recipient"] for mail in mails) == sorted(str(heads[uai].id) for uai in uais)


def test_a_reopening_settles_the_notices_of_all_schools_without_its_reason(
    colleagues: Colleagues, build: Build
) -> None:
    account = siblings(build)
    post(colleagues.signed_in(), path_of(account), scope="compte", reason=WHY, end="ouverte")
    post(
        colleagues.signed_in(Role.HEAD),
        f"{path_of(account)}/{rows()[0].id}/reouverture",
        reason="le père est parti au Canada",
    )
    page = text_of(colleagues.signed_in(Role.HEAD, uai=LYCEE), "/signalements")
    assert "L’accès est rouvert." in page
    assert "Canada" not in page
