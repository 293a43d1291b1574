"""The school desk of the demonstration: a person in each role, and notices to settle."""

import pytest
from flask import Flask

from demo import desk
from demo.ents import DemoEnt, ents_at
from idp.accounts.models import Child, SchoolNotice
from idp.accounts.school_notices import Kind
from idp.clock import now
from idp.config import Settings
from idp.db import db
from idp.desk.staff import posts
from idp.desk.staff.models import Role, StaffAccount
from idp.desk.team import invitations
from tests.builders import Build


@pytest.fixture
def ents(app: Flask, build: Build, settings: Settings, tmp_path: object) -> list[DemoEnt]:
    """The first ENT of the demonstration with the school that it serves, and two families."""
    ents = ents_at(8000, tmp_path)  # type: ignore[arg-type]
    uai = ents[0].uais[0]
    build.school(uai)
    build.ent(uais=[uai])
    client = db.session.execute(db.text("SELECT id FROM client")).scalar_one()
    db.session.execute(
        db.text("UPDATE client SET client_id = :name WHERE id = :key"), {"name": ents[0].client_id, "key": client}
    )
    db.session.commit()
    for _ in range(3):
        build.never_activated(children=[build.child(uai=uai)])
    return list(ents)


def test_there_is_a_person_in_each_role_with_a_link_until_it_is_used(ents: list[DemoEnt], settings: Settings) -> None:
    people = desk.invite(settings, ents)
    assert [colleague.role for colleague in people] == list(Role)
    assert all(colleague.link.startswith(f"{settings.desk_url}/invitation/") for colleague in people)
    assert [list(colleague.schools) for colleague in people] == [[ents[0].uais[0]]] * 2 + [[]] * 4
    staff = db.session.query(StaffAccount).filter_by(email=people[0].mail).one()
    staff.enrolled_at = now()
    db.session.commit()
    again = desk.invite(settings, ents)
    assert again[0].row() == {
        "role": "secretary",
        "name": "Sylvie Marchand",
        "mail": "secretariat@bureau.test",
        "schools": [ents[0].uais[0]],
        "link": None,
    }
    assert all(colleague.link for colleague in again[1:])
    assert invitations.look_up(people[1].link.rpartition("/")[2]) is None, "a younger link replaces it"
    assert [len(posts.of_staff(person.id)) for person in db.session.query(StaffAccount)] == [1] * 6


def test_a_few_notices_wait_at_the_first_start_only(ents: list[DemoEnt], build: Build) -> None:
    build.never_activated(children=[db.session.query(Child).limit(1).one()], given_name="Karim")
    desk.open_notices(ents)
    desk.open_notices(ents)
    notices = {Kind(notice.kind): notice for notice in db.session.query(SchoolNotice)}
    assert set(notices) == {Kind.LETTER_GUESSED, Kind.LETTER_DOUBT, Kind.RECTIFICATION}
    doubt = notices[Kind.LETTER_DOUBT]
    assert doubt.other_account_id not in {None, doubt.account_id}, "the two people whose names differ"
    assert notices[Kind.RECTIFICATION].note
    assert len({notice.account_id for notice in notices.values()} | {doubt.other_account_id}) == 4
