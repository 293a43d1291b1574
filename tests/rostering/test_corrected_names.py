"""Corrections of names by a file: none makes a suspended person of a guardian, nor hides one."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from idp.accounts.models import SchoolNotice
from idp.accounts.suspensions.models import FormerPupilName, Suspension
from idp.clock import now
from idp.db import db
from idp.families import admission, suspension
from idp.families.suspension import Decision
from tests.commands.conftest import Run
from tests.rostering.aaf_school import COLLEGE, LYCEE, Parent, Pupil, Year
from tests.rostering.seen import account, children_of, codes, imported
from tests.rostering.test_disputed_ties import FATHER


@pytest.mark.row("R-14")
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
    father, printed = account(FATHER), account("9999")
    if first[0] == "Pèrea":  # no letter hides a correction: the wait closes it
        printed.generation, printed.provisional_hash, printed.provisional_expires_at = 1, "x", now()
        db.session.commit()
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
@pytest.mark.parametrize("then", ["nothing", "erased", "decided again"])
def test_a_suspended_person_is_recognised_under_the_names_before_a_correction(
    act: Run, year: Year, folder: Path, then: str
) -> None:
    imported(act, year.write(folder))
    father, former = account(FATHER), year.parents[FATHER]
    decision = Decision(reason="jugement", child=father.guardianships[0].child_id, until=now() + timedelta(days=9))
    suspension.suspend(father.id, decision)
    for corrected in ("ZIDANI", "OTMANI"):
        year.change(FATHER, family=corrected, street="9 rue Neuve")
        imported(act, year.write(folder))
        assert account(FATHER).family_name == corrected
    year.change(FATHER, street="8 rue Neuve")
    if then == "erased":
        assert act("account", "erase", father.username, "--yes", "--reason", "demande 12").code == 0
    elif then == "decided again":
        for again in (replace(decision, reference="RG 26/1"), replace(decision, until=None)):
            suspension.suspend(father.id, again)
    year.add(Parent("9999", former.given, former.family, civility="M."))
    year.add(Pupil("9299999", "Zoé", "AUTRE", uai=year.pupils["9200000"].uai, parents=(("9999", "20", "1"),)))
    assert codes(imported(act, year.write(folder))).count("suspended") == 1 + (then == "erased")
    assert children_of("9999") == []
    for names in db.session.scalars(select(Suspension.former_names).where(Suspension.wait == "")):
        assert [family for _, _, family, _ in names] == [former.family, "ZIDANI"], "an address is no correction"


@pytest.mark.row("R-14")
def test_a_person_who_waits_is_recognised_under_the_former_names_after_the_refusal(
    act: Run, year: Year, folder: Path
) -> None:
    imported(act, year.write(folder))
    father, pupil = account(FATHER), year.pupils["9200000"]
    suspension.suspend(father.id, Decision(reason="jugement", child=father.guardianships[0].child_id))
    year.add(Parent("9999", "Paul", "AUTRE", civility="M."))
    year.change(pupil.key, parents=(*pupil.parents, ("9999", "20", "1")))
    imported(act, year.write(folder))
    year.change("9999", family="OTMANI")
    imported(act, year.write(folder))
    assert account("9999").family_name == "OTMANI"
    [notice] = db.session.scalars(select(SchoolNotice))
    admission.keep_out(notice.id, "c’est lui")
    year.add(Parent("9998", "Paul", "AUTRE", civility="M."))
    year.add(Pupil("9299999", "Zoé", "TIERS", uai=pupil.uai, parents=(("9998", "20", "1"),)))
    imported(act, year.write(folder))
    assert children_of("9998") == []


@pytest.mark.row("R-14")
@pytest.mark.parametrize("is_erased", [False, True])
def test_a_pupil_is_recognised_under_the_names_before_a_correction(
    act: Run, year: Year, folder: Path, *, is_erased: bool
) -> None:
    imported(act, year.write(folder))
    father, pupil = account(FATHER), year.pupils["9200000"]
    suspension.suspend(father.id, Decision(reason="jugement", child=father.guardianships[0].child_id))
    if is_erased:
        assert act("account", "erase", father.username, "--yes", "--reason", "demande 12").code == 0
    year.change(pupil.key, family="MARTIN").change("9200001", family="MARTIN")
    imported(act, year.write(folder))
    [kept] = db.session.scalars(select(FormerPupilName))
    assert (kept.given_name, kept.family_name) == (pupil.given, pupil.family)
    year.add(Parent("9999", "Pèrea", "FAMILLEAA", civility="M."))
    year.add(Pupil("9299999", pupil.given, pupil.family, uai=COLLEGE, parents=(("9999", "20", "1"),)))
    assert imported(act, year.write(folder))["waiting"]["people"] == 1
    assert children_of("9999") == []


@pytest.mark.row("R-14")
@pytest.mark.parametrize(
    ("person", "is_elsewhere", "pupil", "wait"),
    [
        (("Pèrea", "FAMILLEAA"), True, "FAMILLEAA", "check"),
        (("Pèrea", "AUTRE"), True, "FAMILLEAA", "check"),
        (("Pèrea", "FAMILLEAA"), True, "AUTREE", ""),
        (("Paul", "MARTIN"), False, "FAMILLEAA", "new_guardian"),
    ],
)
def test_the_corrected_name_of_a_pupil_completes_no_pair_without_the_head(
    act: Run, year: Year, folder: Path, person: tuple[str, str], pupil: str, wait: str, *, is_elsewhere: bool
) -> None:
    uai = COLLEGE if is_elsewhere else year.pupils["9200000"].uai
    year.add(Parent("9999", *person, civility="M."))
    year.add(Pupil("9299999", "Enfanta", "AUTRE", uai=uai, parents=(("9999", "20", "1"),)))
    imported(act, year.write(folder))
    father = account(FATHER)
    suspension.suspend(father.id, Decision(reason="jugement", child=father.guardianships[0].child_id))
    year.change("9299999", family=pupil).change("9999", family=person[1].replace("AUTRE", "FAMILLEAA"))
    for waiting in (int(wait != ""), 0):
        report = imported(act, year.write(folder))
        assert report["waiting"]["people"] == waiting
        assert ("guardian_waits" in codes(report)) is (wait == "new_guardian" and waiting == 1)
    assert db.session.scalars(select(Suspension.wait).where(Suspension.wait != "")).all() == [wait] * (wait != "")
    assert children_of("9999") == ["Enfanta"] * (wait == "")
    assert children_of("9100000") == ["Enfanta"], "who was known before keeps the access"


@pytest.mark.row("R-14")
@pytest.mark.parametrize(
    ("first", "corrected", "asks"),
    [
        (("AUTRE", LYCEE, "Zoé", "TIERS"), {"9999": "FAMILLEAA"}, True),
        (("AUTRE", COLLEGE, "Enfanta", "FAMILLEAA"), {"9999": "FAMILLEAA"}, True),
        (("FAMILLEAA", COLLEGE, "Enfanta", "AUTRE"), {"9299999": "FAMILLEAA"}, True),
        (("AUTRE", COLLEGE, "Enfanta", "AUTRE"), {"9999": "FAMILLEAA"}, False),
        (("AUTRE", COLLEGE, "Enfanta", "AUTRE"), {"9299999": "FAMILLEAA"}, False),
    ],
    ids=["in the school", "elsewhere", "the pupil", "another pupil", "another person"],
)
def test_the_head_is_asked_once_about_the_corrected_name_of_an_activated_account(
    act: Run, year: Year, folder: Path, first: tuple[str, str, str, str], corrected: dict[str, str], *, asks: bool
) -> None:
    family, uai, given, pupils_family = first
    year.add(Parent("9999", "Pèrea", family, civility="M."))
    year.add(Pupil("9299999", given, pupils_family, uai=uai, parents=(("9999", "20", "1"),)))
    imported(act, year.write(folder))
    father, active = account(FATHER), account("9999")
    active.generation, active.activated_at = 2, now()
    db.session.commit()
    suspension.suspend(father.id, Decision(reason="jugement", child=father.guardianships[0].child_id))
    for key, name in corrected.items():
        year.change(key, family=name)
    for settled_by in ("", "direction"):
        report = imported(act, year.write(folder))
        assert report["waiting"]["people"] == 0
        assert not {"suspended", "guardian_waits", "name_in_doubt"}.intersection(codes(report)), "secretaries read them"
        notices = db.session.scalars(select(SchoolNotice)).all()
        assert [(notice.kind, notice.settled_by) for notice in notices] == [("name_compared", settled_by)] * asks
        for notice in notices:
            notice.settled_at, notice.settled_by = now(), "direction"
        db.session.commit()
    assert len(children_of("9999")) == 1, "the account stays open"
    year.change("9299999", uai=LYCEE if uai == COLLEGE else COLLEGE)
    for notice in db.session.scalars(select(SchoolNotice)).all():
        notice.settled_at = None
        db.session.commit()
        imported(act, year.write(folder))
        [moved] = db.session.scalars(select(SchoolNotice).where(SchoolNotice.settled_at.is_(None)))
        assert moved.school_id != notice.school_id, "the notice follows the pupil"
