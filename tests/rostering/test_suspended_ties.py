"""An import leaves suspensions as they are."""

import csv
from pathlib import Path

import pytest
from sqlalchemy import select

from idp.accounts.closings import Closing
from idp.clock import now
from idp.db import db
from idp.families import closing
from idp.families.closing import Decision
from tests.commands.conftest import Run
from tests.rostering.aaf_school import Year
from tests.rostering.seen import account, children_of, codes, imported
from tests.rostering.test_disputed_ties import FATHER

pytestmark = pytest.mark.row("R-13")


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
