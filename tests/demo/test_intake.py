"""The school files of the demonstration, written once and imported when they change; the people of its desk."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select

from demo import desk, school_file
from demo.commands import Announcement
from demo.ents import DemoEnt, ents_at
from demo.families import GUARDIANS
from demo.intake import write_files
from demo.siecle_files import ENCODING
from idp.accounts.models import Account, Child, SchoolNotice
from idp.accounts.school_notices import Kind
from idp.clock import now
from idp.config import Settings
from idp.db import db
from idp.desk.school_files import policy
from idp.desk.school_files.policy import Decision, Findings
from idp.desk.staff import posts
from idp.desk.staff.models import Role, StaffAccount
from idp.desk.team import invitations
from idp.rostering import imports
from idp.rostering.files.sources import InMemory
from idp.rostering.imports import Steps
from tests.builders import Build
from tests.demo.house import House, account, count


def change(path: Path, form: str, by: str, encoding: str) -> None:
    text, changes = re.subn(form, by, path.read_text(encoding))
    assert changes
    path.write_text(text, encoding)


def test_a_file_that_a_visitor_changed_is_imported_at_the_next_start(house: House) -> None:
    farid = next(guardian for guardian in GUARDIANS if guardian.given_name == "Farid")
    tie = rf"(<PERSONNE_ID>{farid.key}</PERSONNE_ID>\s*<CODE_PARENTE>20</CODE_PARENTE>\s*<NIVEAU_RESPONSABILITE>)1"
    for people in house.files.glob("siecle/*/Responsables*.xml"):
        change(people, tie, r"\g<1>3", ENCODING)
    letters = house.seed()
    assert account(letters["f.haddad"]).disabled_at is not None
    assert {name for name, letter in letters.items() if not letter.usable} == {"f.haddad"}


def test_files_are_written_once_and_all_or_none(tmp_path: Path) -> None:
    files, part = tmp_path / "fichiers", tmp_path / ".fichiers.part"
    (part / "aaf").mkdir(parents=True)  # an interrupted start
    (part / "aaf" / "half.xml").touch()
    write_files(files)
    written = {path: path.stat().st_mtime_ns for path in files.rglob("*.xml")}
    assert len(written) == 7
    with time_machine.travel(now() + timedelta(days=1)):
        write_files(files)
    assert {path: path.stat().st_mtime_ns for path in files.rglob("*.xml")} == written
    assert not part.exists()


def test_the_secretary_may_import_the_next_file_and_a_start_does_not_undo_it(house: House) -> None:
    house.seed()
    path = school_file.write(house.folder)
    assert path.stat().st_mode & 0o077 == 0
    upload = [InMemory(path.name, path.read_bytes())]
    form = policy.form({"school": school_file.SCHOOL.uai, "role": Role.SECRETARY.value}, writes=True)
    checked = imports.check(house.settings, upload, form, Steps(), policy.terms(Role.SECRETARY, ()))
    findings = Findings(settings=house.settings, school=school_file.SCHOOL.uai, leaving=policy.leaving(checked))
    assert policy.decide(Role.SECRETARY, findings).decision is Decision.IMPORT
    checked.staging.close()
    result = imports.run(house.settings, upload, form, Steps(), policy.terms(Role.SECRETARY, ()))
    people = result.counts["students"], result.counts["guardians"]
    result.staging.close()
    assert [(counted.created, counted.changed, counted.left) for counted in people] == [(1, 1, 1), (2, 0, 0)]
    assert not result.mistakes
    house.seed()
    classes = {
        (child.given_name, child.class_name)
        for child in db.session.scalars(select(Child).where(Child.family_name.in_(("SIMON", "SCHMITT", "NGUYEN"))))
        if child.left_at is None
    }
    assert classes == {("Lila", "6e 2"), ("Anna", "5e 1"), ("Théo", "3e 2"), ("Minh-Anh", "4e 1"), ("Thao", "6e 2")}
    assert count(Account) == 42
    written = path.stat().st_mtime_ns
    assert school_file.write(house.folder).stat().st_mtime_ns == written


def test_the_next_school_file_is_announced(house: House) -> None:
    path, ents = house.folder / "siecle-0599001N.zip", ents_at(8000, house.folder)
    announced = Announcement(house.settings, ents, house.paper, [], [], house.files, path, 8000)
    assert announced.index()["desk"]["school_file"] == str(path)
    assert f"  {path}" in announced.summary().splitlines()


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
    with pytest.raises(invitations.UsedError):  # a younger link replaces it
        invitations.person_of(people[1].link.rpartition("/")[2])
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
