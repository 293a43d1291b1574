"""Guardians whom the school had excluded wait for the head when a file brings them back."""

from pathlib import Path

import pytest
from sqlalchemy import select

from idp.accounts.models import Child, SchoolNotice
from idp.accounts.school_notices import Kind
from idp.clock import now
from idp.db import db
from idp.families import admission
from idp.services import services
from tests.commands.conftest import Run
from tests.rostering.aaf_school import Year
from tests.rostering.seen import account, children_of, imported
from tests.rostering.test_disputed_ties import FATHER, set_ties
from tests.settlements import CONFIRM, REJECT, settle

pytestmark = pytest.mark.row("R-13")

MOTHER = ("9100000", "10", "1")


def confirmed(key: str) -> None:
    """Do what the school does when it confirms all disputes of a parent, with the journal entry."""
    set_ties(key, disputed_at=now())
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


def test_an_excluded_guardian_whom_the_head_keeps_out_stays_out(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    confirmed(FATHER)
    returned(act, year, folder)
    notice = db.session.scalars(select(SchoolNotice).where(SchoolNotice.kind == "guardian_waits")).one()
    admission.keep_out(notice.id, "jugement du 3 mars")
    returned(act, year, folder)
    assert (children_of(FATHER), waiting()) == ([], [])


def test_a_guardian_whom_the_head_restored_returns_without_a_question(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    confirmed(FATHER)
    settle(services().settings, account(FATHER), REJECT, reopens=True)
    returned(act, year, folder)
    assert (children_of(FATHER), waiting()) == (["Enfanta"], [])
