"""A file adds a guardian to a pupil whose guardian uses the account: who is told, and what of."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from idp.accounts.models import Account, SchoolNotice
from idp.clock import now
from idp.db import db
from idp.outbox.queue import OutboxMessage
from tests.closed import suspend
from tests.commands.conftest import Run
from tests.rostering.aaf_school import Parent, Year
from tests.rostering.seen import account, children_of, imported

pytestmark = pytest.mark.row("R-15")

MOTHER = ("9100000", "10", "1")
STRANGER = ("9999", "20", "1")


@pytest.fixture(autouse=True)
def school(act: Run, year: Year, folder: Path) -> None:
    """Import a pupil with a mother, and have the mother activate her account."""
    year.change("9200000", parents=(MOTHER,))
    imported(act, year.write(folder))
    assert informed() == ([], [])
    activated("9100000")
    year.add(Parent("9999", "Luc", "TIERS", civility="M."))


def activated(number: str) -> None:
    """Have a person activate the account, and confirm an address."""
    values = {"activated_at": now(), "email": f"{number}@famille.test", "email_confirmed_at": now()}
    db.session.execute(update(Account).where(Account.id == account(number).id).values(values))
    db.session.commit()


def informed() -> tuple[list[str], list[str]]:
    """Return the accounts of the notices to schools, and those that get a mail."""
    notices = db.session.scalars(select(SchoolNotice).where(SchoolNotice.kind == "guardian_added")).all()
    mails = db.session.scalars(select(OutboxMessage).where(OutboxMessage.kind == "account.notice")).all()
    assert all(mail.payload["notice"] == "responsable_ajoute" for mail in mails)
    return [row.account_id.hex for row in notices], [mail.payload["account"] for mail in mails]


def add(act: Run, year: Year, folder: Path) -> None:
    year.change("9200000", parents=(MOTHER, STRANGER))
    imported(act, year.write(folder))


def test_a_guardian_added_beside_an_active_one_is_told_once_to_both(act: Run, year: Year, folder: Path) -> None:
    for _ in range(2):
        add(act, year, folder)
        assert children_of("9999") == ["Enfanta"]
        assert informed() == ([account("9999").id.hex], [str(account("9100000").id)])


def test_the_check_names_the_guardian_on_a_line_of_its_own(act: Run, year: Year, folder: Path) -> None:
    year.change("9200000", parents=(MOTHER, STRANGER))
    sheet = folder.parent / "changements.csv"
    assert act("roster", "check", str(year.write(folder)), "--difference", str(sheet)).code == 0
    [line] = [line for line in sheet.read_text().splitlines() if "responsable ajouté à côté d’un autre" in line]
    assert "TIERS Luc" in line
    assert "S’ajoute, pour Enfanta" in line


@pytest.mark.parametrize("why", ["not activated", "disabled", "suspended", "leaves"])
def test_nobody_is_told_beside_a_guardian_who_has_no_access(act: Run, year: Year, folder: Path, why: str) -> None:
    hers = update(Account).where(Account.id == account("9100000").id)
    if why == "not activated":
        db.session.execute(hers.values(activated_at=None))
    elif why == "disabled":
        db.session.execute(hers.values(disabled_at=now()))
    db.session.commit()
    if why == "suspended":
        mother = account("9100000")
        suspend(mother.id, mother.guardianships[0].child_id, until=now() + timedelta(days=1))
    year.change("9200000", parents=(STRANGER,) if why == "leaves" else (MOTHER, STRANGER))
    imported(act, year.write(folder), "--force")
    assert informed() == ([], [])


def test_both_parents_of_a_pupil_who_returns_are_told_nothing(act: Run, year: Year, folder: Path) -> None:
    child = year.pupils.pop("9200000")
    imported(act, year.write(folder), "--force")
    year.add(child)
    add(act, year, folder)
    assert informed() == ([], [])
