"""Of which guardians an import tells the head: those whom the school had excluded, and who have access again."""

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, select, update

from idp.accounts import school_notices
from idp.accounts.disputes import child_key
from idp.accounts.models import Child, Guardianship, SchoolNotice
from idp.accounts.school_notices import Kind
from idp.audit import log
from idp.audit.events import DisputeSettled
from idp.clock import now
from idp.db import db, unit_of_work
from idp.operations.helpdesk import admission
from idp.operations.helpdesk.disputes import Decision, Outcome, settle
from idp.rostering.write import ties
from idp.services import services
from tests.commands.conftest import Run
from tests.rostering.aaf_school import Year
from tests.rostering.seen import account, children_of, imported
from tests.rostering.test_disputed_ties import FATHER, set_ties, sister

pytestmark = pytest.mark.row("R-13")

MOTHER = ("9100000", "10", "1")


def confirmed(key: str) -> None:
    """Do what the school does when it confirms all disputes of a parent, with the journal entry."""
    set_ties(key, disputed_at=now())
    settle(services().settings, account(key).id, Decision(outcome=Outcome.CONFIRM, reason="vu", kind=Kind.NOT_GUARDIAN))


def readmitted() -> list[tuple[str, list[str]]]:
    """Return the open notices about excluded guardians who have access again: the account and the pupils."""
    notices = select(SchoolNotice).where(SchoolNotice.kind == "guardian_readmitted")
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


@pytest.mark.both_databases
@pytest.mark.parametrize("how", ["kinship", "left out", "pupil left", "left out and purged"])
def test_the_head_is_told_of_an_excluded_guardian_who_has_access_again(
    act: Run, year: Year, folder: Path, how: str
) -> None:
    imported(act, year.write(folder))
    confirmed(FATHER)
    imported(act, folder)
    assert readmitted() == []
    kinship = "39" if how == "kinship" else "20"
    if how == "pupil left":
        child = year.pupils.pop("9200000")
        imported(act, year.write(folder), "--force")
        year.add(child)
    elif how != "kinship":
        year.change("9200000", parents=(MOTHER,))
        imported(act, year.write(folder), "--force")
    if how == "left out and purged":
        db.session.execute(delete(Guardianship).where(Guardianship.account_id == account(FATHER).id))
        db.session.commit()
    year.change("9200000", parents=(MOTHER, (FATHER, kinship, "1")))
    for _ in range(2):
        imported(act, year.write(folder))
        assert children_of(FATHER) == ["Enfanta"]
        assert readmitted() == [(account(FATHER).id.hex, [pupil().id.hex])]


def test_a_guardian_whom_the_head_restored_returns_without_a_notice(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    confirmed(FATHER)
    restored = Decision(outcome=Outcome.REJECT, reason="vu", kind=Kind.NOT_GUARDIAN, reopens=True)
    settle(services().settings, account(FATHER).id, restored)
    returned(act, year, folder)
    assert children_of(FATHER) == ["Enfanta"]
    assert readmitted() == []


def test_the_head_is_not_told_of_a_guardian_whose_access_is_suspended(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    confirmed(FATHER)
    returned(act, year, folder)
    assert readmitted() == [(account(FATHER).id.hex, [pupil().id.hex])]
    notice = db.session.scalars(select(SchoolNotice).where(SchoolNotice.kind == "guardian_readmitted")).one()
    admission.close(notice.id, "jugement du 3 mars")
    returned(act, year, folder)
    assert (children_of(FATHER), readmitted()) == ([], [])


def test_the_head_is_told_of_a_guardian_whose_suspension_ends_by_itself(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    confirmed(FATHER)
    set_ties(FATHER, suspended_at=now(), suspended_until=now() + timedelta(days=30))
    returned(act, year, folder)
    assert children_of(FATHER) == []
    assert readmitted() == [(account(FATHER).id.hex, [pupil().id.hex])]


def test_the_head_is_not_told_of_a_tie_that_the_school_excludes_during_the_import(
    act: Run, year: Year, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported(act, year.write(folder))
    year.change("9200000", parents=(MOTHER,))
    imported(act, year.write(folder), "--force")
    year.change("9200000", parents=(MOTHER, (FATHER, "20", "1")))
    his, lock = account(FATHER).id, ties.lock_accounts

    def excluding(accounts: Iterable[str]) -> None:
        lock(accounts)
        ours = update(Guardianship).where(Guardianship.account_id == his, ~Guardianship.is_excluded)
        if db.session.scalars(ours.values(excluded_at=now()).returning(Guardianship.child_id)).all():
            log.record(
                DisputeSettled(
                    account_id=his, dispute="not_guardian", outcome="confirm", before="ended", after="excluded",
                    reason="vu", children=[child_key(pupil())],
                )
            )  # fmt: skip

    monkeypatch.setattr(ties, "lock_accounts", excluding)
    imported(act, year.write(folder))
    assert (children_of(FATHER), readmitted()) == ([], [])


def test_the_head_who_kept_the_access_is_not_asked_again(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    confirmed(FATHER)
    returned(act, year, folder)
    notice = db.session.scalars(select(SchoolNotice).where(SchoolNotice.kind == "guardian_readmitted")).one()
    assert act("school", "notices", "--settle", str(notice.id), "--sentence", "jugement du 3 mars").code == 0
    returned(act, year, folder)
    assert (children_of(FATHER), readmitted()) == (["Enfanta"], [])
    confirmed(FATHER)
    returned(act, year, folder)
    assert readmitted() == [(account(FATHER).id.hex, [pupil().id.hex])], "the school has excluded him since"


def test_the_head_who_rejected_is_told_when_the_suspension_has_an_end(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    confirmed(FATHER)
    returned(act, year, folder)
    notice = db.session.scalars(select(SchoolNotice).where(SchoolNotice.kind == "guardian_readmitted")).one()
    admission.close(notice.id, "jugement du 3 mars")
    set_ties(FATHER, suspended_until=now() + timedelta(days=30))
    returned(act, year, folder)
    assert readmitted() == [(account(FATHER).id.hex, [pupil().id.hex])]


@pytest.mark.both_databases
def test_the_notice_is_settled_when_the_tie_ends_again(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    confirmed(FATHER)
    returned(act, year, folder)
    year.change("9200000", parents=(MOTHER,))
    imported(act, year.write(folder), "--force")
    [notice] = db.session.scalars(select(SchoolNotice).where(SchoolNotice.kind == "guardian_readmitted"))
    assert (notice.settled_by, notice.sentence) == ("import", "Le lien avec l’élève a de nouveau fini.")
    returned(act, year, folder)
    assert readmitted() == [(account(FATHER).id.hex, [pupil().id.hex])], "the head has not answered"


def test_the_notice_stays_open_about_the_pupil_whose_tie_has_not_ended(act: Run, year: Year, folder: Path) -> None:
    year.add(sister(year.pupils["9200000"].uai))
    imported(act, year.write(folder))
    him, brother = account(FATHER), pupil()
    [other] = [child.id for child in him.children if child.id != brother.id]
    with unit_of_work():
        school_notices.add(Kind.GUARDIAN_READMITTED, him.id, {brother.school_id: [brother.id, other]})
    year.change("9200000", parents=(MOTHER,))
    imported(act, year.write(folder), "--force")
    assert readmitted() == [(him.id.hex, [other.hex])]


def test_the_head_rejects_after_the_tie_has_ended(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    confirmed(FATHER)
    returned(act, year, folder)
    [notice] = db.session.scalars(select(SchoolNotice).where(SchoolNotice.kind == "guardian_readmitted"))
    set_ties(FATHER, ended_at=now())
    admission.close(notice.id, "jugement du 3 mars")
    assert readmitted() == []
    returned(act, year, folder)
    assert readmitted() == [(account(FATHER).id.hex, [pupil().id.hex])], "nothing was suspended"
