"""Imports while a tie is disputed and the school has not decided."""

import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select, text, update

from idp.accounts import directory, disputes
from idp.accounts.models import Account, Child, Guardianship
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.families import disputes as operators
from tests import forked
from tests.builders import PASSWORD, Build
from tests.commands.accounts import living
from tests.commands.conftest import Run
from tests.commands.processes import environment
from tests.databases import LOCK_WAITS
from tests.pages import sign_in
from tests.protocol.flow import OFFLINE, tokens_for
from tests.rostering.aaf_school import COLLEGE, LYCEE, Pupil, Year
from tests.rostering.seen import account, children_of, imported
from tests.settlements import REJECT, decision_about

pytestmark = pytest.mark.row("R-13")

FATHER, CHILD = "9150000", "9200000"
BOTH, MOTHER_ALONE = (("9100000", "10", "1"), (FATHER, "20", "1")), (("9100000", "10", "1"),)


def dispute(key: str) -> Account:
    """Dispute all ties of an account, as the holder of its letter does."""
    person = account(key)
    db.session.execute(update(Guardianship).where(Guardianship.account_id == person.id).values(disputed_at=now()))
    disputes.revoke_credentials([person.id])
    db.session.commit()
    return person


def activate(person: Account) -> None:
    own = {"password_hash": "x", "activated_at": now(), "email": "lui@exemple.fr"}
    db.session.execute(update(Account).where(Account.id == person.id).values(**own))
    db.session.commit()


def test_a_file_that_names_a_disputed_tie_keeps_the_dispute(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    him = dispute(FATHER)
    year.change(CHILD, group="5EME2")
    imported(act, year.write(folder))
    assert children_of(FATHER) == []
    assert disputes.is_disputed(him.id)


def test_a_tie_ended_by_the_file_settles_the_dispute(act: Run, year: Year, folder: Path) -> None:
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


def test_a_returning_disputed_tie_closes_the_account_again(act: Run, year: Year, folder: Path) -> None:
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


def test_a_dispute_opened_by_an_import_closes_the_account(
    act: Run, app: Flask, build: Build, year: Year, folder: Path
) -> None:
    """One school's letter is disputed, another's is used; then a sibling joins the first school."""
    ent = build.ent(uais=[COLLEGE, LYCEE], scopes=OFFLINE)
    year.add(Pupil("88", "Frère", "FAMILLEAA", uai=COLLEGE, parents=BOTH))
    imported(act, year.write(folder))
    him = account(FATHER)
    [here] = [tie for tie in him.guardianships if tie.child.school.uai == LYCEE]
    here.disputed_at = now()
    db.session.commit()
    pupil = year.pupils.pop(CHILD)
    imported(act, year.write(folder), "--force")
    own = {"password_hash": build.hash(PASSWORD), "activated_at": now(), "email": "lui@exemple.fr"}
    db.session.execute(update(Account).where(Account.id == him.id).values(**own))
    db.session.commit()
    phone = app.test_client()
    sign_in(phone, "/connexion", him.username, PASSWORD)
    issued = tokens_for(phone, ent, scope=OFFLINE)
    assert living(him) == 1
    year.add(Pupil("89", "Sœur", "FAMILLEAA", uai=pupil.uai, parents=BOTH))
    imported(act, year.write(folder))
    assert disputes.is_disputed(him.id)
    assert living(him) == 0
    assert ent.userinfo(phone, issued["access_token"]).status_code == 401
    assert ent.refresh(phone, issued["refresh_token"]).status_code == 400
    assert children_of(FATHER) == ["Frère"]


def _someone_waits() -> bool:
    with db.engine.connect() as connection:
        return bool(connection.scalar(text(LOCK_WAITS)))


def test_an_import_and_a_settlement_lock_in_the_same_order(
    act: Run, build: Build, settings: Settings, year: Year, folder: Path
) -> None:
    """The import changes one tie and closes the account for another tie, while an operator settles the first."""
    year.add(Pupil("88", "Frère", "FAMILLEAA", uai=LYCEE, parents=BOTH))
    imported(act, year.write(folder))
    him = dispute(FATHER)
    brother = year.pupils.pop("88")
    imported(act, year.write(folder), "--force")
    year.add(brother)
    year.change(CHILD, parents=(("9100000", "10", "1"), (FATHER, "39", "1")))
    command = (forked.IDP, "roster", "import", str(year.write(folder)), "--force")
    child = db.session.scalars(select(Child).where(Child.roster_key == f"aaf:{CHILD}")).one()
    decision = decision_about(him, REJECT, child=child)
    with ExitStack() as started:
        with unit_of_work():
            db.session.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            account = directory.get_for_change(him.id)
            assert account is not None
            run = started.enter_context(forked.Program(*command, env=environment(settings)))
            for _ in range(300):
                if run.poll() is not None or _someone_waits():
                    break
                time.sleep(0.1)
            assert run.poll() is None, "it waits for the account"
            with db.engine.connect() as connection:  # a tie that the import has locked would be refused
                ties = text("SELECT child_id FROM guardianship WHERE account_id = :account FOR UPDATE NOWAIT")
                assert len(connection.execute(ties, {"account": him.id}).all()) == 2
            operators._settle(settings, account, decision)
        _, err = run.communicate(timeout=60)
        assert run.returncode == 0, err[-2000:]
    assert disputes.is_disputed(him.id), "the brother's tie was never settled"
    assert children_of(FATHER) == ["Enfanta"]
