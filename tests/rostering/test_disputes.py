"""A tie that somebody disputes, and the files that come before its school has decided."""

from pathlib import Path

from sqlalchemy import update

from idp.accounts import disputes
from idp.accounts.models import Account, Guardianship
from idp.clock import now
from idp.db import db
from tests.commands.accounts import living
from tests.commands.conftest import Run
from tests.rostering.aaf_school import Pupil, Year
from tests.rostering.seen import account, children_of, imported

FATHER, CHILD = "9150000", "9200000"
BOTH, MOTHER_ALONE = (("9100000", "10", "1"), (FATHER, "20", "1")), (("9100000", "10", "1"),)


def dispute(key: str) -> Account:
    """Dispute all ties of an account, as the holder of its letter does."""
    person = account(key)
    db.session.execute(update(Guardianship).where(Guardianship.account_id == person.id).values(disputed_at=now()))
    disputes.shut([person.id])
    db.session.commit()
    return person


def activate(person: Account) -> None:
    """Let the account be its owner's."""
    own = {"password_hash": "x", "activated_at": now(), "email": "lui@exemple.fr"}
    db.session.execute(update(Account).where(Account.id == person.id).values(**own))
    db.session.commit()


def test_a_file_that_names_a_disputed_tie_drops_no_dispute(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    him = dispute(FATHER)
    year.change(CHILD, group="5EME2")
    imported(act, year.write(folder))
    assert children_of(FATHER) == []
    assert disputes.is_disputed(him.id)


def test_a_tie_that_the_file_ends_is_the_schools_answer(act: Run, year: Year, folder: Path) -> None:
    """The school corrected its file: another child that it gives the person later is not in doubt."""
    year.add(Pupil("88", "Frère", "FAMILLEAA", parents=BOTH))
    imported(act, year.write(folder))
    him = account(FATHER)
    tie = Guardianship.account_id == him.id, Guardianship.rank == 0
    db.session.execute(update(Guardianship).where(*tie).values(disputed_at=now()))
    db.session.commit()
    assert disputes.is_disputed(him.id)
    year.change(CHILD, parents=MOTHER_ALONE)
    imported(act, year.write(folder))
    assert not disputes.is_disputed(him.id)
    year.add(Pupil("89", "Sœur", "FAMILLEAA", parents=BOTH))
    imported(act, year.write(folder))
    assert children_of(FATHER) == ["Frère", "Sœur"]


def test_a_disputed_tie_that_comes_back_closes_the_account_again(act: Run, year: Year, folder: Path) -> None:
    year.add(Pupil("88", "Frère", "FAMILLEAA", parents=BOTH))
    imported(act, year.write(folder))
    him = account(FATHER)
    tie = Guardianship.account_id == him.id, Guardianship.rank == 0
    db.session.execute(update(Guardianship).where(*tie).values(disputed_at=now()))
    db.session.commit()
    year.change(CHILD, parents=MOTHER_ALONE)
    imported(act, year.write(folder))
    activate(him)
    generation = account(FATHER).generation
    year.change(CHILD, parents=BOTH)
    imported(act, year.write(folder))
    assert disputes.is_disputed(him.id)
    assert account(FATHER).generation > generation, "what was issued meanwhile is dead"
    assert living(him) == 0
