"""Corrections of names by a file: none makes a suspended person of a guardian, nor hides one."""

from pathlib import Path

import pytest
from sqlalchemy import select

from idp.accounts.models import SchoolNotice
from idp.accounts.suspensions.models import Suspension
from idp.db import db
from idp.operations.helpdesk import admission, suspension
from idp.operations.helpdesk.suspension import Decision
from tests.commands.conftest import Run
from tests.rostering.aaf_school import COLLEGE, Parent, Pupil, Year
from tests.rostering.seen import account, children_of, codes, imported
from tests.rostering.test_disputed_ties import FATHER


@pytest.mark.row("R-14")
@pytest.mark.both_databases
@pytest.mark.parametrize(
    ("first", "corrected", "wait"),
    [
        (("Paul", "FAMILLEAA"), ("Pèrea", "FAMILLEAA"), "check"),
        (("Pèrea", "AUTRE"), ("Pèrea", "FAMILLEAA"), "check"),
        (("Paul", "FAMILLEAA"), ("Jean", "FAMILLEAA"), ""),
    ],
    ids=["given name", "family name", "another person"],
)
def test_a_corrected_name_makes_no_suspended_person_of_another_school_without_the_head(
    act: Run, year: Year, folder: Path, first: tuple[str, str], corrected: tuple[str, str], wait: str
) -> None:
    pupil = Pupil("9299999", "Enfanta", "FAMILLEAA", uai=COLLEGE, parents=(("9999", "20", "1"),))
    year.add(Parent("9999", *first, civility="M."), pupil)
    imported(act, year.write(folder))
    father = account(FATHER)
    suspension.suspend(father.id, Decision(reason="jugement", child=father.guardianships[0].child_id))
    assert children_of("9999") == ["Enfanta"]
    year.change("9999", given=corrected[0], family=corrected[1])
    for waiting in (int(wait != ""), 0):
        report = imported(act, year.write(folder))
        assert (account("9999").given_name, account("9999").family_name) == corrected
        assert (children_of("9999") == []) is (wait != ""), "the tie itself waits"
        assert report["waiting"]["people"] == waiting
        assert not {"suspended", "guardian_waits", "name_in_doubt"}.intersection(codes(report))
    assert db.session.scalars(select(Suspension.wait).where(Suspension.wait != "")).all() == [wait] * (wait != "")
    for notice in db.session.scalars(select(SchoolNotice)).all():
        admission.admit(notice.id, "vu avec la famille")
        assert imported(act, folder)["waiting"]["people"] == 0
    assert children_of("9999") == ["Enfanta"]


@pytest.mark.row("R-14")
@pytest.mark.parametrize("is_erased", [False, True])
def test_a_suspended_person_is_recognised_under_the_names_before_a_correction(
    act: Run, year: Year, folder: Path, *, is_erased: bool
) -> None:
    imported(act, year.write(folder))
    father, former = account(FATHER), year.parents[FATHER]
    suspension.suspend(father.id, Decision(reason="jugement", child=father.guardianships[0].child_id))
    year.change(FATHER, family="ZIDANI")
    for corrected in ("ZIDANI", "OTMANI"):
        year.change(FATHER, family=corrected)
        imported(act, year.write(folder))
        assert account(FATHER).family_name == corrected
    if is_erased:
        assert act("account", "erase", father.username, "--yes", "--reason", "demande 12").code == 0
    year.add(Parent("9999", former.given, former.family, civility="M."))
    year.add(Pupil("9299999", "Zoé", "AUTRE", uai=year.pupils["9200000"].uai, parents=(("9999", "20", "1"),)))
    assert codes(imported(act, year.write(folder))).count("suspended") == 1 + is_erased
    assert children_of("9999") == []
