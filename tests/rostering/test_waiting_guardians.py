"""A new guardian waits for the head of the school where the school has closed somebody's access."""

from pathlib import Path

import pytest
from sqlalchemy import select

from idp.accounts.closings import Closing
from idp.accounts.models import Account, SchoolNotice
from idp.db import db
from idp.families import admission, closing
from idp.families.closing import Decision
from idp.families.refusals import RefusedError
from tests.commands.conftest import Run
from tests.rostering.aaf_school import COLLEGE, Parent, Pupil, Year
from tests.rostering.seen import account, children_of, codes, imported
from tests.rostering.test_disputed_ties import FATHER, excluded

pytestmark = pytest.mark.row("R-14")
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
    """Return why each person waits, by the key of the file."""
    rows = db.session.execute(
        select(Account.roster_key, Closing.kind)
        .join(Closing, Closing.account_id == Account.id)
        .where(Closing.awaits_head)
    )
    return {(key or "").rpartition(":")[2]: wait for key, wait in rows}


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


def test_a_suspended_person_waits_for_a_further_pupil_of_the_school(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    close_the_father()
    name(year, OTHER, FATHER)
    imported(act, year.write(folder))
    assert waits() == {FATHER: "recognised"}
    assert children_of(FATHER) == []


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
