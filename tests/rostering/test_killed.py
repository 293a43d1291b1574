"""Killed imports, concurrent imports, and imports while parents act: the result is that of an undisturbed import."""

import inspect
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Engine, create_engine, event, select, update
from sqlalchemy.pool import NullPool

from idp.accounts.models import Account, SchoolNotice
from idp.accounts.notices import NOTICE
from idp.app import create_app
from idp.clock import now
from idp.db import db
from idp.outbox.queue import OutboxMessage
from idp.rostering import lock
from idp.rostering.models import ImportBatch
from tests import forked
from tests.commands.conftest import Run
from tests.commands.processes import environment
from tests.databases import postgresql_copy, settings_for
from tests.rostering.aaf_school import LYCEE, Parent, Pupil, small_year
from tests.rostering.by_names import written
from tests.rostering.seen import account, imported, state

if TYPE_CHECKING:
    import subprocess

pytestmark = pytest.mark.usefixtures("new_connections")

SEED = 20261124


def two_years(folder: Path) -> tuple[Path, Path]:
    """Write two files: a school year, and the next year with new, changed, moved and removed people."""
    year = small_year()
    first = year.write(folder / "first")
    for number in (0, 1, 2):
        del year.pupils[str(9200000 + number)]
    year.change("9200003", uai=LYCEE, group="2DE1").change("9100004", city="Valdoux")
    year.change("9200005", parents=(("9100005", "10", "1"),))
    year.add(Parent("77", "Nouvelle", "FAMILLE"), Pupil("78", "Petit", "FAMILLE", parents=(("77", "10", "1"),)))
    return first, year.write(folder / "second", "Complet_20261001")


def on(database: str, folder: Path, *statements: int) -> int:
    """Import in separate processes, killed at these statements; return the number of killed processes."""
    ended = forked.run("tests.rostering.killed", database, str(folder), *map(str, statements), timeout=300)
    assert ended.returncode == 0, ended.stderr
    return int(ended.stdout)


@pytest.fixture
def undisturbed(shared: Path, tmp_path: Path) -> Iterator[str]:
    (tmp_path / "other").mkdir()
    with postgresql_copy(shared) as url:
        yield url


@pytest.mark.row("Z-10")
def test_a_killed_import_run_again_reaches_the_same_state(
    act: Run, database_url: str, undisturbed: str, tmp_path: Path
) -> None:
    chance = random.Random(SEED)
    for folder in two_years(tmp_path):
        points = chance.sample(range(6, 36), 5)
        assert on(database_url, folder, *points) >= 3, "the points lie within the import"
        on(undisturbed, folder)
    reached = state()
    with create_app(settings_for(undisturbed)).app_context():
        assert state() == reached
        db.session.remove()
        db.engine.dispose()
    assert set(db.session.scalars(select(ImportBatch.state))) == {"done", "running"}, "cut ones are seen as such"


def test_a_killed_import_gives_each_namesake_one_account(
    act: Run, database_url: str, undisturbed: str, tmp_path: Path
) -> None:
    pairs = [(f"MARTIN;Marie{n}", f"{n} rue A;59990;R;;{LYCEE};E;Un{n};CM2", f"{n} rue Z;59992;V;;{LYCEE};F;Deux{n};CP")
             for n in range(5)]  # fmt: skip
    first = written(tmp_path / "one", *(f"{name};{before}" for name, before, _ in pairs))
    second = written(tmp_path / "two", *(f"{name};{after}" for name, _, after in pairs))
    on(database_url, first)
    on(undisturbed, first)
    own = {"activated_at": now(), "password_hash": "x", "email": "elle@exemple.fr", "generation": 3}
    former = set(db.session.scalars(update(Account).values(**own).returning(Account.id)))
    db.session.commit()
    assert on(database_url, second, 12, 20, 28, 17, 23, 9, 14) >= 4, "the points lie within the import"
    on(undisturbed, second)
    people = db.session.scalars(select(Account)).all()
    assert {person.id for person in people if person.disabled_at is not None} == former
    assert {person.generation for person in people if person.id in former} == {4}
    assert {person.roster_key is None for person in people if person.id in former} == {True}
    new = [person for person in people if person.id not in former]
    assert sorted(child.given_name for person in new for child in person.children) == [f"Deux{n}" for n in range(5)]
    notices = db.session.execute(select(SchoolNotice.account_id, SchoolNotice.other_account_id)).all()
    assert sorted(notices) == sorted((first_id, other) for first_id, other in notices if first_id in former)
    assert {other for _, other in notices} == {person.id for person in new}
    assert len(notices) == len(new) == len(former) == 5
    payloads = db.session.scalars(select(OutboxMessage.payload).where(OutboxMessage.kind == NOTICE)).all()
    assert sorted(payload["account"] for payload in payloads) == sorted(map(str, former))
    reached = state()
    with create_app(settings_for(undisturbed)).app_context():
        assert state() == reached
        db.session.remove()
        db.engine.dispose()


@pytest.mark.row("Z-07", "R-05")
def test_a_second_import_is_refused_and_a_killed_one_releases_the_lock(
    act: Run, database_url: str, tmp_path: Path
) -> None:
    first, _ = two_years(tmp_path)
    with lock.alone():
        db.session.rollback()
        answer = act("roster", "import", str(first))
        assert (answer.code, answer.out) == (1, "")
        assert "another import is running, nothing was done" in answer.err
    assert on(database_url, first, 40) == 1, "the lock died with who held it"


@pytest.mark.row("Z-07")
def test_four_concurrent_imports_run_one_at_a_time(act: Run, database_url: str, tmp_path: Path) -> None:
    first, _ = two_years(tmp_path)
    db.session.remove()
    settings = settings_for(database_url)

    def start(_: int) -> "subprocess.CompletedProcess[str]":
        return forked.run(forked.IDP, "roster", "import", str(first), env=environment(settings))

    with ThreadPoolExecutor(4) as pool:
        ended = list(pool.map(start, range(4)))
    assert {run.returncode for run in ended} <= {0, 1}
    assert all("another import is running" in run.stderr for run in ended if run.returncode)
    done = [run for run in ended if not run.returncode]
    assert done
    assert imported(act, first)["guardians"]["unchanged"] == 24
    assert len(db.session.scalars(select(Account.id)).all()) == 24


@pytest.mark.row("Z-06", "R-07")
def test_an_email_confirmed_during_the_import_is_kept(act: Run, database_url: str, tmp_path: Path) -> None:
    first, second = two_years(tmp_path)
    imported(act, first)
    other = create_engine(database_url, poolclass=NullPool)
    confirmed = (
        update(Account)
        .where(Account.roster_key == "aaf:9100004")
        .values(email="parent@exemple.fr", mailbox="parent@exemple.fr", email_confirmed_at=now())
    )
    waiting = [confirmed]

    def confirm(*_: object) -> None:
        """Confirm an email between two transactions of the import, after it has made its plan."""
        if waiting and in_apply():
            statement = waiting.pop()
            with other.begin() as connection:
                connection.execute(statement)

    def in_apply() -> bool:
        return any(frame.function == "apply" for frame in inspect.stack(0))

    event.listen(Engine, "engine_connect", confirm)
    try:
        imported(act, second, "--force")
    finally:
        event.remove(Engine, "engine_connect", confirm)
    assert not waiting, "it was confirmed in the middle"
    parent = account("9100004")
    assert (parent.email, parent.city) == ("parent@exemple.fr", "Valdoux")
