"""An import leaves suspensions as they are."""

from pathlib import Path

import pytest
from sqlalchemy import select

from idp.accounts.models import Account
from idp.accounts.same_person import name_traces
from idp.accounts.suspensions.models import KeptSuspension, Suspension
from idp.clock import now
from idp.db import db
from idp.operations.helpdesk import suspension
from idp.operations.helpdesk.suspension import Decision
from tests.builders import Build
from tests.commands.conftest import Run
from tests.rostering.aaf_school import Parent, Year
from tests.rostering.seen import account, children_of, codes, imported
from tests.rostering.test_disputed_ties import FATHER, set_ties
from tests.rows import each_row

pytestmark = pytest.mark.row("R-13")


def test_an_import_keeps_a_suspended_tie_and_a_suspended_account(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    [tie, *_] = account(FATHER).guardianships
    suspension.suspend(account(FATHER).id, Decision(reason="jugement", child=tie.child_id))
    suspension.suspend(account(FATHER).id, Decision(reason="jugement"))
    before = children_of(FATHER)
    imported(act, folder)
    db.session.expire_all()
    assert children_of(FATHER) == before
    assert account(FATHER).is_suspended_at(now())
    assert len(db.session.scalars(select(Suspension).where(Suspension.ended_at.is_(None))).all()) == 2


def test_a_suspended_tie_that_a_file_brings_back_is_still_suspended(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    [tie, *_] = account(FATHER).guardianships
    suspension.suspend(account(FATHER).id, Decision(reason="jugement", child=tie.child_id))
    set_ties(FATHER, ended_at=now())
    imported(act, folder)
    db.session.expire_all()
    [tie, *_] = account(FATHER).guardianships
    assert tie.is_unended
    assert not tie.holds_at(now())


def test_a_suspended_account_without_ties_is_opened_by_no_school(
    act: Run, year: Year, folder: Path, build: Build
) -> None:
    father = year.parents[FATHER]
    names = {"civility": "M.", "given_name": father.given.upper(), "family_name": "X", "birth_name": father.family}
    suspended = build.active(children=[], roster_key="aaf:1", **names)
    suspension.suspend_for_a_day(suspended.id, "jugement", "")
    report = imported(act, year.write(folder))
    assert codes(report).count("suspended") == 1
    assert db.session.query(Account).filter_by(roster_key=f"aaf:{FATHER}").count() == 0


def test_an_erased_person_gets_no_suspended_access_back(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    father = account(FATHER)
    suspension.suspend(father.id, Decision(reason="jugement", child=father.guardianships[0].child_id))
    answer = act("account", "erase", father.username, "--yes", "--reason", "demande 12")
    assert answer.code == 0, answer.err
    assert "stays: the school's file names the person" in answer.out
    assert codes(imported(act, folder)).count("suspended") == 1
    names = year.parents[FATHER]
    renamed = Parent("9999", names.given.upper(), "AUTRE", birth=names.family, civility="M.")
    [pupil] = [p for p in year.pupils.values() if any(key == FATHER for key, *_ in p.parents)]
    year.add(renamed).change(pupil.key, parents=(*pupil.parents, ("9999", "20", "1")))
    year.change(FATHER, family="ZIDANI")
    refused = imported(act, year.write(folder), "--force")
    assert codes(refused).count("suspended") == 2, "by the key, and by other names under another key"
    assert db.session.scalars(select(Account).where(Account.roster_key.in_([f"aaf:{FATHER}", "aaf:9999"]))).all() == []
    [kept] = db.session.scalars(select(KeptSuspension))
    key, person = str(kept.id), kept.person
    kept.person = b"0" * len(person)
    db.session.commit()
    stopped = act("roster", "import", str(folder))
    assert (stopped.code, "IDP_SECRET_KEY_FALLBACKS" in stopped.err) == (1, True)
    assert act("account", "end-kept-suspension", key, "--reason", "jugement levé").code == 0
    assert "suspended" not in codes(imported(act, folder))
    assert children_of("9999") == [pupil.given]


def _traces(civility: str, given: str, family: str, birth: str = "") -> frozenset[str]:
    person = Account(civility=civility, given_name=given, family_name=family, birth_name=birth)
    return name_traces(person)


PERSON = _traces("Mme", "Anne Marie", "LE GOFF-DURAND", "Nguyễn")


@each_row(
    ("other", "is_met"),
    [
        (_traces("MME", "anne marie", "le goff durand"), True),
        (_traces("Mlle", "Marie", "NGUYEN"), True),
        (_traces("", "Marie-Anne", "NGUYEN"), False),
        (_traces("", "Anne", "GOFF"), True),
        (_traces("Mme", "Durand", "Anne"), True),
        (_traces("Mme", "Anne", "Autre", "DURAND"), True),
        (_traces("M.", "Anne Marie", "LE GOFF-DURAND"), False),
        (_traces("Mme", "Anne", "LE ROUX"), False),
        (_traces("Mme", "Julie", "LE GOFF-DURAND"), False),
        (_traces("Mme", "Anne", ""), False),
        (_traces("", "", ""), False),
    ],
)
def test_names_are_compared_in_all_their_forms(*, other: frozenset[str], is_met: bool) -> None:
    assert bool(PERSON & other) is is_met
