"""The phases of an import: the tables that each reads, and imports that are killed, concurrent or overtaken."""

import ast
import inspect
import random
import re
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Engine, create_engine, event, select, update
from sqlalchemy.pool import NullPool

from idp.accounts import retired
from idp.accounts.closings import Closing
from idp.accounts.models import Account, Child, Guardianship, RosterAlias, School, SchoolNotice
from idp.accounts.notices import NOTICE
from idp.accounts.retired import RetiredName
from idp.app import create_app
from idp.clock import now
from idp.db import db
from idp.outbox.queue import OutboxMessage
from idp.rostering import imports, lock
from idp.rostering.imports import FORCED, ImportStoppedError, Steps
from idp.rostering.models import ImportBatch
from idp.rostering.reconcile import outcomes
from idp.rostering.reconcile.phases import leavers, links, order, people, records, schools
from idp.rostering.reconcile.phases.order import PHASES
from idp.rostering.reconcile.schema import create_tables
from idp.rostering.reconcile.staging import Context, Staging
from idp.rostering.records import COMPARED, Form
from idp.services import services
from tests import forked
from tests.architecture.tree import modules, parsed, shown
from tests.builders import commit
from tests.closed import exclude
from tests.commands.conftest import Run
from tests.commands.processes import environment
from tests.databases import postgresql_copy, settings_for
from tests.rostering import by_names, numbered
from tests.rostering.aaf_school import COLLEGE, LYCEE, Parent, Pupil, Year, delete, modify, small_year, write
from tests.rostering.by_names import written
from tests.rostering.numbered import MARIE, PAUL
from tests.rostering.seen import account, imported, state

if TYPE_CHECKING:
    import subprocess

OF_THE_FILE = frozenset(
    {
        "bad_mail", "delta_of_one_school", "guardian_key_case", "guardian_key_twice", "other_school", "repeated_line",
        "school_key_twice", "school_without_name", "student_key_case", "student_key_twice",
    }
)  # fmt: skip
"""Codes of issues about a school, or about what the files say of themselves."""
pytestmark = pytest.mark.usefixtures("new_connections")
with closing(sqlite3.connect("")) as _empty:
    TABLE_NAMES = set(create_tables(_empty))


class Watch:
    """What the phases read and wrote, as SQLite reports it."""

    def __init__(self) -> None:
        self.reads: defaultdict[str, set[str]] = defaultdict(set)
        self.writes: defaultdict[str, set[str]] = defaultdict(set)
        self.phase = ""

    def authorize(self, action: int, first: str | None, *_: str | None) -> int:
        """Note what a statement of the staging database is about to do."""
        if first in TABLE_NAMES:
            match action:
                case sqlite3.SQLITE_READ:
                    self.reads[self.phase].add(str(first))
                case sqlite3.SQLITE_INSERT | sqlite3.SQLITE_DELETE | sqlite3.SQLITE_UPDATE:
                    self.writes[self.phase].add(str(first))
        return sqlite3.SQLITE_OK

    def watched(self, phase: Callable[[Context], None]) -> Callable[[Context], None]:
        def run(context: Context) -> None:
            context.staging.flush()
            self.phase = phase.__name__
            context.staging.connection.set_authorizer(self.authorize)
            try:
                phase(context)
                context.staging.flush()
            finally:
                context.staging.connection.set_authorizer(None)
                self.phase = ""

        return run


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    watch = Watch()
    monkeypatch.setattr(order, "PHASES", tuple(map(watch.watched, PHASES)))
    return watch


def import_everything(act: Run, year: Year, folder: Path) -> None:
    imported(act, numbered.written(folder / "numbers", MARIE, PAUL, PAUL))
    number = f"csv:{COLLEGE}:1"
    db.session.execute(update(Account).values(generation=1))
    marie = db.session.scalars(select(Account.id).where(Account.roster_key == number)).one()
    db.session.add(RosterAlias(roster_key=f"csv:{COLLEGE}:9", account_id=marie))
    db.session.commit()
    imported(act, numbered.written(folder / "numbers", MARIE.but(number="2"), PAUL.but(number="1")), "--force")
    imported(act, numbered.written(folder / "numbers", PAUL.but(number="1", given="Jules")), "--force")
    for _ in range(2):
        imported(act, by_names.written(folder / "names", by_names.FIRST), "--force")
    imported(act, year.write(folder / "first"), "--force")
    [holder, excluded] = [account(key).id for key in ("9100000", "9150000")]
    db.session.add(RosterAlias(roster_key="aaf:77", account_id=holder))
    db.session.add(RetiredName(trace=retired.join_key("78")))
    exclude(excluded)
    year.add(*(Parent(key) for key in ("77", "78", "80", "81")), Pupil("82", group=""))
    year.add(Pupil("79", parents=tuple((key, "10", "1") for key in ("77", "78", "80", "81", "83"))))
    year.change("9100001", given="Julie", mail="none").change("9150000", mail="none")
    del year.pupils["9200002"]
    imported(act, year.write(folder / "second"), "--force")
    imported(act, folder / "second", "--school", COLLEGE, "--force")
    year.change("9200000", parents=(("9100000", "10", "1"),))
    imported(act, year.write(folder / "third"), "--force")
    changes = [modify("PersRelEleve", "9100004", {"sn": ["DURAND"]}), delete("PersRelEleve", "9150005")]
    imported(act, write(folder / "delta" / "ENT_0599001N_Delta_20260902_PersRelEleve_0000.xml", changes), "--force")
    check_for_a_school(year, folder / "fourth")


def check_for_a_school(year: Year, folder: Path) -> None:
    """Check files of a school's staff: of people of another school, of both schools, of suspended people, and alike."""
    both = account("9100009").id
    schools = {school.uai: school.id for school in db.session.scalars(select(School))}
    moved = "9200007"
    db.session.execute(update(Child).where(Child.roster_key == f"aaf:{moved}").values(school_id=schools[LYCEE]))
    elsewhere = db.session.scalars(select(Child.id).where(Child.roster_key == f"aaf:{moved}")).one()
    db.session.add(Guardianship(account_id=both, child_id=elsewhere, kinship="10", authority=1))
    suspended = Account.roster_key.in_(("aaf:9150003", "aaf:9150011"))
    for key in db.session.scalars(select(Account.id).where(suspended)):
        db.session.add(Closing(account_id=key, reason="Jugement", begun_by="test"))
    for name_of, namesake in (("9150003", "9100005"), ("9150011", "9150009")):
        person = year.parents[namesake]
        named = {"civility": person.civility, "given_name": person.given, "family_name": "ZIDANI", "birth_name": ""}
        db.session.execute(update(Account).where(Account.roster_key == f"aaf:{name_of}").values(named))
        year.change(namesake, family="ZIDANI")
    commit(update(Account).where(Account.roster_key == "aaf:9150009").values(activated_at=now()))
    parents = ("9150003", "9150011", "9100007", "9150007")
    year.add(Pupil("90", family="FAMILLEDA", uai=COLLEGE, parents=tuple((key, "20", "1") for key in parents)))
    del year.parents["9150003"], year.parents["9150007"]
    form = Form(today=date(2026, 10, 1), school=COLLEGE, refuses_others=True)
    with pytest.raises(ImportStoppedError) as stopped:
        imports.check(services().settings, [year.write(folder)], form, Steps(), FORCED)
    stopped.value.result.staging.close()


def test_a_phase_reads_only_tables_of_earlier_phases_and_columns_have_their_types(
    act: Run, year: Year, folder: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    types: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    declared: dict[tuple[str, str], set[str]] = {}
    close = Staging.close

    def close_noted(staging: Staging) -> None:
        for table in TABLE_NAMES:
            for column in staging.rows(f"PRAGMA table_info({table})"):
                types[table, column.name].update(staging.values(_TYPES.format(table=table, column=column.name)))
                declared[table, column.name] = {column.type.lower()} | (set() if column.notnull else {"null"})
        close(staging)

    monkeypatch.setattr(Staging, "close", close_noted)
    import_everything(act, year, folder)
    written = {"school", "student", "guardian", "link", "unread", "issue"}
    for phase in PHASES:
        written |= watch.writes[phase.__name__]
        assert watch.reads[phase.__name__] <= written, phase.__name__
    assert written == TABLE_NAMES
    assert [column for column, kinds in types.items() if not kinds <= declared[column]] == []
    assert {table for (table, _), kinds in types.items() if kinds} == TABLE_NAMES


_TYPES = "SELECT DISTINCT typeof({column}) FROM {table}"


def test_rows_are_read_by_name() -> None:
    staging = Staging()
    staging.insert("unread", [("student", "1")])
    assert [(row.key, row.kind) for row in staging.rows("SELECT key, kind FROM unread")] == [("1", "student")]
    staging.close()


_SQL = re.compile(r"\b(SELECT|INSERT INTO|DELETE FROM|CREATE TABLE|UPDATE \w+ SET)\b")
_BUILDERS = {
    "idp/rostering/reconcile/outcomes.py",
    "idp/rostering/reconcile/schema.py",
    "idp/rostering/reconcile/statements.py",
}
"""The modules whose functions build statements or fragments."""
_OTHER_DATABASE = {"idp/rostering/lock.py"}


def test_a_statement_in_a_function_has_no_value_of_its_caller() -> None:
    places = {
        f"{shown(path)}:{node.lineno}"
        for path in modules("idp/rostering")
        if shown(path) not in _BUILDERS | _OTHER_DATABASE
        for function in ast.walk(parsed(path))
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.JoinedStr) and _SQL.search(ast.unparse(node))
        if _names(node)
        & (_names(function, ast.Store) | {each.arg for each in ast.walk(function) if isinstance(each, ast.arg)})
    }
    assert places == set()


def _names(tree: ast.AST, context: type[ast.expr_context] = ast.Load) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, context)}


_MODULES = (leavers, links, people, records, schools)


def test_every_code_of_the_phases_is_sorted() -> None:
    codes = {consequence.code for table in outcomes.OF_TABLE.values() for consequence in table.values()} - {""}
    codes |= {code for code, *_ in links._DISPUTES} | {code for code, _ in leavers._MESSAGES.values()}
    for phase in _MODULES:
        for call in ast.walk(ast.parse(inspect.getsource(phase))):
            if isinstance(call, ast.Call) and getattr(call.func, "attr", "") in {"tell_all", "Issue"}:
                codes |= {ast.literal_eval(code) for code in call.args[1:2] if isinstance(code, ast.Constant)}
    assert len(codes) > 20
    assert codes <= COMPARED | OF_THE_FILE, "add the code to COMPARED, or to OF_THE_FILE if no person follows from it"
    assert not COMPARED & OF_THE_FILE


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
    assert [run for run in ended if not run.returncode]
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
