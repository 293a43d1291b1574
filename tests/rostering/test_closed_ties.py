"""What an import makes of closed access: decisions move with the pupil, guardians wait for the head."""

import csv
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from sqlalchemy import select

from idp.accounts import school_notices
from idp.accounts.closings import Closing
from idp.accounts.models import Account, Child, Guardianship, School, SchoolNotice
from idp.accounts.school_notices import Kind, Refusal
from idp.clock import now
from idp.db import db, unit_of_work
from idp.families import admission, closing, telephone
from idp.families.closing import Decision
from idp.families.refusals import RefusedError
from idp.operations.purge.unused_accounts import LONGEST_AFTER_DEPARTURE
from idp.services import services
from tests.builders import Build
from tests.closed import dispute
from tests.commands.conftest import Run
from tests.rostering.aaf_school import COLLEGE, LYCEE, Parent, Pupil, Year
from tests.rostering.seen import account, children_of, codes, imported
from tests.rostering.test_disputed_ties import FATHER, excluded
from tests.settlements import CONFIRM, REJECT, settle


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


MOTHER = ("9100000", "10", "1")


def confirmed(key: str) -> None:
    """Do what the school does when it confirms all disputes of a parent, with the journal entry."""
    dispute(account(key).id)
    settle(services().settings, account(key), CONFIRM)


def waiting() -> list[tuple[str, list[str]]]:
    """Return the open notices about guardians who wait for the head: the account and the pupils."""
    notices = select(SchoolNotice).where(SchoolNotice.kind == Kind.GUARDIAN_WAITS.value)
    rows = db.session.scalars(notices.execution_options(populate_existing=True)).all()
    return [(row.account_id.hex, row.child_ids) for row in rows if row.settled_at is None]


def returned(act: Run, year: Year, folder: Path) -> None:
    """Import a file that leaves the father out, then one that names him again."""
    for parents in ((MOTHER,), (MOTHER, (FATHER, "20", "1"))):
        year.change("9200000", parents=parents)
        imported(act, year.write(folder), "--force")


def pupil() -> Child:
    """Return the pupil whom the file gives back to the father."""
    return db.session.scalars(select(Child).where(Child.given_name == "Enfanta")).one()


@pytest.mark.row("R-13")
@pytest.mark.parametrize("how", ["kinship", "left out", "pupil left"])
def test_an_excluded_guardian_whom_a_file_brings_back_waits_for_the_head(
    act: Run, year: Year, folder: Path, how: str
) -> None:
    imported(act, year.write(folder))
    confirmed(FATHER)
    imported(act, folder)
    assert waiting() == []
    if how == "pupil left":
        child = year.pupils.pop("9200000")
        imported(act, year.write(folder), "--force")
        year.add(child)
    elif how == "left out":
        year.change("9200000", parents=(MOTHER,))
        imported(act, year.write(folder), "--force")
    year.change("9200000", parents=(MOTHER, (FATHER, "39" if how == "kinship" else "20", "1")))
    for people in (1, 0):
        assert imported(act, year.write(folder))["waiting"]["people"] == people
        assert (children_of(FATHER), waiting()) == ([], [(account(FATHER).id.hex, [pupil().id.hex])])


@pytest.mark.row("R-13")
def test_the_head_who_admitted_an_excluded_guardian_is_not_asked_again(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    confirmed(FATHER)
    returned(act, year, folder)
    notice = db.session.scalars(select(SchoolNotice).where(SchoolNotice.kind == "guardian_waits")).one()
    admission.admit(notice.id, "jugement du 3 mars")
    assert children_of(FATHER) == ["Enfanta"]
    returned(act, year, folder)
    assert (children_of(FATHER), waiting()) == (["Enfanta"], [])
    confirmed(FATHER)
    returned(act, year, folder)
    assert waiting() == [(account(FATHER).id.hex, [pupil().id.hex])], "the school has excluded him since"


@pytest.mark.row("R-13")
def test_an_excluded_guardian_whom_the_head_keeps_out_stays_out(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    confirmed(FATHER)
    returned(act, year, folder)
    notice = db.session.scalars(select(SchoolNotice).where(SchoolNotice.kind == "guardian_waits")).one()
    admission.keep_out(notice.id, "jugement du 3 mars")
    returned(act, year, folder)
    assert (children_of(FATHER), waiting()) == ([], [])


@pytest.mark.row("R-13")
def test_a_guardian_whom_the_head_restored_returns_without_a_question(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    confirmed(FATHER)
    settle(services().settings, account(FATHER), REJECT, reopens=True)
    returned(act, year, folder)
    assert (children_of(FATHER), waiting()) == (["Enfanta"], [])


@pytest.mark.row("R-13")
def test_an_import_keeps_a_suspended_tie_and_a_suspended_account(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    [tie, *_] = account(FATHER).guardianships
    closing.close(account(FATHER).id, Decision(reason="jugement", child=tie.child_id))
    closing.close(account(FATHER).id, Decision(reason="jugement"))
    before = children_of(FATHER)
    imported(act, folder)
    db.session.expire_all()
    assert children_of(FATHER) == before
    assert account(FATHER).is_shut_at(now())
    assert len(db.session.scalars(select(Closing).where(Closing.ended_at.is_(None))).all()) == 2


def sentences_by_person(act: Run, folder: Path) -> dict[str, list[str]]:
    """Return what a check tells of each person, without the problems."""
    table = folder.parent / "difference.csv"
    table.unlink(missing_ok=True)
    assert act("roster", "check", str(folder), "--difference", str(table), "--force").code == 0
    lines: dict[str, list[str]] = {}
    for kind, person, _, sentence in csv.reader(table.read_text("utf-8-sig").splitlines(), delimiter=";"):
        if kind not in {"à corriger", "à vérifier", "sans compte"}:
            lines.setdefault(person, []).append(sentence)
    return lines


@pytest.mark.row("R-13")
def test_a_suspended_tie_that_a_file_brings_back_is_still_suspended(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    [tie, *_] = account(FATHER).guardianships
    closing.close(account(FATHER).id, Decision(reason="jugement", child=tie.child_id))
    [pupil] = [p for p in year.pupils.values() if any(key == FATHER for key, *_ in p.parents)]
    child = f"{pupil.given} {pupil.family}"
    year.change(pupil.key, parents=pupil.parents[:1])
    gone = sentences_by_person(act, year.write(folder))["FAMILLEAA Pèrea"]
    assert f"N’est plus responsable de {child} dans le fichier ; la suspension de l’accès reste." in gone
    imported(act, folder, "--force")
    year.change(pupil.key, parents=pupil.parents)
    back = sentences_by_person(act, year.write(folder))["FAMILLEAA Pèrea"]
    assert f"Devient responsable de {child} dans le fichier ; l’accès à {child} reste suspendu." in back
    assert "Responsable : a de nouveau un enfant ici, sans accès à cet enfant." in back
    whole = closing.close(account(FATHER).id, Decision(reason="jugement"))
    assert (
        "Responsable : a de nouveau un enfant ici, le compte reste suspendu."
        in sentences_by_person(act, folder)["FAMILLEAA Pèrea"]
    )
    closing.reopen(whole.id, "réglé")
    imported(act, folder)
    db.session.expire_all()
    [tie, *_] = account(FATHER).guardianships
    assert tie.is_unended
    assert not tie.holds_at(now())


@pytest.mark.row("R-13")
@pytest.mark.row("R-14")
def test_the_corrected_name_of_a_guardian_who_never_got_a_letter_is_in_doubt_beside_a_suspension(
    act: Run, year: Year, folder: Path
) -> None:
    imported(act, year.write(folder))
    father, mother = account(FATHER), year.parents["9100000"]
    year.change(mother.key, given="Julie")
    year.change("9100001", given="Julie")
    closing.close(father.id, Decision(reason="jugement", child=father.guardianships[0].child_id))
    report = imported(act, year.write(folder))
    assert account(mother.key).given_name == mother.given
    assert account("9100001").given_name == "Julie"
    assert (codes(report).count("name_in_doubt"), codes(report).count("name_corrected")) == (1, 1)


PUPIL, OTHER, ELSEWHERE = "9200000", "9200002", "9299998"
"""The pupil of a closed tie, another one of the school, and one of another school."""


def close_the_father() -> None:
    """Suspend the father's access to his child, as the head of the child's school does."""
    [tie, *_] = account(FATHER).guardianships
    closing.close(account(FATHER).id, Decision(reason="jugement", child=tie.child_id, school=tie.child.school))


def name(year: Year, pupil: str, key: str, names: tuple[str, str] | None = None) -> None:
    if names:
        year.add(Parent(key, names[0], names[1], civility="M."))
    year.change(pupil, parents=(*year.pupils[pupil].parents, (key, "20", "1")))


def waits() -> dict[str, str]:
    """Return why each person whom a file names waits, by the key of the file."""
    rows = db.session.execute(
        select(Account.roster_key, Closing.kind)
        .join(Closing, Closing.account_id == Account.id)
        .join(Guardianship, Guardianship.has_row())
        .where(Closing.awaits_head, Guardianship.is_unended)
    )
    return {(key or "").rpartition(":")[2]: wait for key, wait in rows}


@pytest.mark.row("R-14")
@pytest.mark.parametrize(
    ("pupil", "names", "reason"),
    [
        (PUPIL, ("Paul", "AUTRE"), "new_guardian"),
        ("9299999", ("Paul", "AUTRE"), "new_guardian"),
        (OTHER, ("PEREA", "Familleaa"), "recognised"),
        (OTHER, ("Pèrea", "FAMILLEAX"), ""),
        (ELSEWHERE, ("Pèrea", "FAMILLEAA"), ""),
    ],
    ids=["same pupil", "pupil under another number", "same names", "typing error", "other school"],
)
def test_a_new_guardian_waits_beside_a_suspension(
    act: Run, year: Year, folder: Path, pupil: str, names: tuple[str, str], reason: str
) -> None:
    here = year.pupils[PUPIL]
    assert here.uai != COLLEGE
    year.add(Pupil(ELSEWHERE, "Zoé", "TIERS", uai=COLLEGE, parents=(("9100000", "10", "1"),)))
    imported(act, year.write(folder))
    close_the_father()
    year.add(Pupil("9299999", here.given.upper(), here.family.lower(), uai=here.uai, parents=()))
    name(year, pupil, "9999", names)
    for count in (int(reason != ""), 0):
        report = imported(act, year.write(folder))
        assert codes(report).count("guardian_waits") == count
        assert report["waiting"]["accounts"] == count
    assert waits() == ({"9999": reason} if reason else {})
    assert (children_of("9999") == []) is (reason != "")
    assert here.given in children_of("9100000"), "who was known before keeps the access"


@pytest.mark.row("R-14")
def test_the_head_admits_a_guardian_once(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    close_the_father()
    name(year, PUPIL, "9999", ("Paul", "AUTRE"))
    imported(act, year.write(folder))
    [notice] = db.session.scalars(select(SchoolNotice))
    assert (notice.kind, notice.account_id) == ("guardian_waits", account("9999").id)
    admission.admit(notice.id, "vu avec la mère")
    assert (children_of("9999"), children_of(FATHER)) == ([year.pupils[PUPIL].given], [])
    with pytest.raises(RefusedError):
        admission.admit(notice.id, "vu avec la mère")


@pytest.mark.row("R-14")
def test_a_suspended_person_waits_for_a_further_pupil_of_the_school(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    close_the_father()
    name(year, OTHER, FATHER)
    imported(act, year.write(folder))
    assert waits() == {FATHER: "recognised"}
    assert children_of(FATHER) == []


@pytest.mark.row("R-14")
@pytest.mark.parametrize(("names", "reason"), [(("Pèrea", "FAMILLEAA"), "recognised"), (("Luc", "TIERS"), "")])
def test_a_new_account_with_the_names_of_an_excluded_person_waits(
    act: Run, year: Year, folder: Path, names: tuple[str, str], reason: str
) -> None:
    imported(act, year.write(folder))
    excluded(FATHER)
    year.change(PUPIL, parents=year.pupils[PUPIL].parents[:1])
    name(year, PUPIL, "9999", names)
    name(year, OTHER, FATHER)
    imported(act, year.write(folder), "--force")
    assert waits() == ({"9999": reason} if reason else {}), "the file may now name the right pupil of the person"


@pytest.mark.row("R-14")
def test_the_decision_about_an_erased_person_stays_with_the_pupil(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    close_the_father()
    answer = act("account", "erase", account(FATHER).username, "--yes", "--reason", "demande 12")
    assert answer.code == 0, answer.err
    [row] = db.session.scalars(select(Closing))
    assert not db.session.scalar(select(Closing.account_id)), "nothing says whose it was"
    assert (row.school_id, row.reason, row.begun_by) == (None, "", "")
    assert codes(imported(act, folder)).count("guardian_waits") == 1
    assert waits() == {FATHER: "new_guardian"}
    assert children_of(FATHER) == []
