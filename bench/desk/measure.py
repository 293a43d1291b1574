"""The pages of the desk at the size of an académie: search, board of classes, journal, figures, a school's file.

A person's browser asks for one page after the other, over loopback: the time is that of the server, and the least of
the network. The goals are those for a quiet machine; time depends on the machine and is no fault.
"""

import random
import statistics
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, Popen

import click
from sqlalchemy import create_engine, func, make_url, select

from bench import databases, machine, process as processes
from bench.academy.produce import Order, produce
from bench.desk import browser, rows
from bench.desk.browser import Browser
from bench.driver.relying_party import WrongAnswerError
from bench.driver.transport import HOST
from bench.results import goals
from bench.results.table import aligned
from bench.servers import process, product
from idp import schema
from idp.accounts.models import Account, Child, Degree, Guardianship, School
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.desk.staff.models import Role
from idp.desk.statistics import tables
from idp.desk_app import create_desk
from idp.families.standing import Group
from idp.oidc.keys import rotation
from idp.outbox.queue import OutboxMessage

PUPILS = 800_000
COLLEGE = 800
"""The pupils of each school."""
_ENTRIES_OF_PUPIL = 15 / 8
_STATES = [group.value for group in Group]
_SHORTEST = 5
"""The letters of a name in which two are exchanged."""
_TIMES = 40
_WARM = 5
_FILES = 5
_POLL = 0.02
_PATIENCE = 60.0


@dataclass(frozen=True)
class Measured:
    """The times of a page in milliseconds, and its goal.

    Attributes:
        cpu: processor time of the desk and of the database for one page, which changes less with other load; 0 if
            unknown.
    """

    name: str
    times: Sequence[float]
    goal: float
    cpu: float = 0.0

    @property
    def p95(self) -> float:
        """The 95th percentile."""
        return statistics.quantiles(self.times, n=20)[18] if len(self.times) > 1 else self.times[0]


def run(pupils: int, folder: Path) -> list[str]:
    """Measure on a PostgreSQL of `pupils` pupils, created in `folder`; print the figures, and return the faults.

    Raises:
        databases.UnavailableError: no PostgreSQL is given, and none can be started.
        process.StartError: the desk did not start.
    """
    server_core, driver_core = machine.split()
    with machine.pinned(driver_core), databases.postgresql(folder) as url:
        click.echo(f"desk on {databases.version(url)}")
        port = process.free_port()
        settings = product.settings_for(url, process.free_port(), desk_url=f"http://localhost:{port}")
        schema.upgrade(settings)
        began = time.monotonic()
        _fill(url, pupils)
        entries = int(pupils * _ENTRIES_OF_PUPIL)
        click.echo(
            f"  {pupils:,} pupils, {2 * pupils:,} guardians and {entries:,} entries of the journal, filled in"
            f" {time.monotonic() - began:.0f} s"
        )
        with create_desk(settings).app_context(), _serving(settings, port, server_core, folder) as desk:
            try:
                measured = [*_pages(desk), *_files(desk, folder)]
            except (WrongAnswerError, processes.ProcessFailedError) as failure:
                return [f"desk: {failure}"]
            finally:
                db.session.remove()
                db.engine.dispose()
    click.echo(_table(measured))
    click.echo()
    return []


def _fill(url: str, pupils: int) -> None:
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        rows.fill(connection, pupils, max(1, pupils // COLLEGE), int(pupils * _ENTRIES_OF_PUPIL))
    engine.dispose()


@dataclass(frozen=True)
class _Desk:
    """The desk that is measured: its settings, its port, its process and the database's."""

    settings: Settings
    port: int
    pids: tuple[int | None, ...]

    def used(self) -> float:
        """Return the processor time of both in seconds."""
        return sum(map(machine.used_seconds, self.pids))

    def signed_in(self, role: Role, school: uuid.UUID | None = None) -> Browser:
        """Return a browser in which a new person with this role is signed in."""
        return browser.signed_in(self.settings, self.port, role, school)

    def timed(self, page: str, person: Browser, goal: float, path: str, **typed: Sequence[str]) -> Measured:
        """Ask for a page again and again, with one typed value after the other; the first times do not count.

        Raises:
            WrongAnswerError: the page leads to another one.
        """
        times: list[float] = []
        before = 0.0
        for number in range(_WARM + _TIMES):
            if number == _WARM:
                before = self.used()
            answer = person.get(path, **{name: values[number % len(values)] for name, values in typed.items()})
            if answer.location:
                raise WrongAnswerError(f"{path} leads to {answer.location}")
            times.append(answer.duration)
        return Measured(page, times[_WARM:], goal, (self.used() - before) * 1000 / _TIMES)


@contextmanager
def _serving(settings: Settings, port: int, core: int | None, folder: Path) -> Iterator[_Desk]:
    """Run `idp desk serve` during the block."""
    rotation.rotate(settings)
    arguments = [product.IDP, "desk", "serve", "--bind", f"{HOST}:{port}"]
    command = process.Command(arguments, product.environment(settings), "/readyz")
    with process.running(command, port, core, folder / "desk.log") as server:
        yield _Desk(settings, port, (server.pid, databases.server_pid(settings.database_url)))


def _pages(desk: _Desk) -> Iterator[Measured]:
    school = db.session.scalars(select(School.id).order_by(School.id).limit(1)).one()
    secretary, helpdesk = desk.signed_in(Role.SECRETARY, school), desk.signed_in(Role.HELPDESK)
    for person, where in ((secretary, "school"), (helpdesk, "académie")):
        for kind, terms in _terms(school).items():
            if kind == "class" and person is helpdesk:
                continue  # an académie has hundreds of classes of this name: the page asks for a name or a school
            yield desk.timed(f"search, {where}: {kind}", person, goals.DESK_SEARCH, "/recherche", q=terms)
    yield desk.timed("search, school: a state", secretary, goals.DESK_SEARCH, "/recherche", etat=_STATES)
    yield desk.timed("board of classes", secretary, goals.DESK_BOARD, "/classes")
    yield desk.timed("« Aujourd’hui »", secretary, goals.DESK_PAGE, "/")
    officer = desk.signed_in(Role.DPO)
    yield desk.timed("journal", officer, goals.DESK_PAGE, "/journal")
    yield desk.timed("journal: a person", officer, goals.DESK_PAGE, "/journal", qui=["marie"])
    yield desk.timed("journal: a rare act", officer, goals.DESK_PAGE, "/journal", acte=["client.changed"])
    tables.hand_over(OutboxMessage())
    yield desk.timed("figures of the académie", officer, goals.DESK_PAGE, "/activation")


def _terms(school: uuid.UUID) -> dict[str, list[str]]:
    """Return what is typed, by its kind: people of the school, and their names as they are mistyped."""
    draw = random.Random(7)
    people = db.session.execute(
        select(Child.given_name, Child.family_name, Child.class_name, Account.username)
        .join(Guardianship, Guardianship.child_id == Child.id)
        .join(Account, Account.id == Guardianship.account_id)
        .where(Child.school_id == school, func.length(Child.family_name) > _SHORTEST)
        .order_by(Child.id)
        .limit(4 * _TIMES)
    ).all()
    people = draw.sample(people, min(_TIMES, len(people)))
    return {
        "exact": [f"{family} {given}" for given, family, _, _ in people],
        "with accents": [f"{family} {given}".replace("E", "É").replace("a", "à") for given, family, _, _ in people],
        "a typing error": [_mistyped(family, draw) for _, family, _, _ in people],
        "class": [name for _, _, name, _ in people],
        "identifier": [username for _, _, _, username in people],
    }


def _mistyped(name: str, draw: random.Random) -> str:
    """Return a name with two different neighbours exchanged, not the first letters."""
    place = draw.choice([place for place in range(2, len(name) - 1) if name[place] != name[place + 1]] or [2])
    return name[:place] + name[place + 1] + name[place] + name[place + 2 :]


def _files(desk: _Desk, folder: Path) -> Iterator[Measured]:
    """Measure from the upload of a school's files until the page with their difference, before and after an import."""
    produce(Order(out=folder / "siecle", pupils=COLLEGE, schools=1, format="siecle"))
    [place] = [path for path in (folder / "siecle").iterdir() if path.is_dir()]
    content = {path.name: path.read_bytes() for path in place.iterdir()}
    school = School(id=uuid.uuid4(), uai=place.name, name=f"Collège {place.name}", degree=Degree.SECONDARY)
    with unit_of_work():
        db.session.add(school)
    head, environment = desk.signed_in(Role.HEAD, school.id), product.environment(desk.settings)
    worker = Popen([product.IDP, "worker"], env=environment, stdout=DEVNULL, stderr=DEVNULL)
    try:
        yield _compared("difference of 800 new pupils", head, content)
        processes.run([product.IDP, "roster", "import", str(place)], environment)
        yield _compared("difference of 800 known pupils", head, content)
    finally:
        worker.terminate()
        worker.wait()


def _compared(name: str, head: Browser, files: dict[str, bytes]) -> Measured:
    return Measured(
        name,
        [_until_shown(lambda: head.upload("/fichiers", files).location, head) for _ in range(_FILES)],
        goals.DESK_DIFFERENCE,
    )


def _until_shown(upload: Callable[[], str], head: Browser) -> float:
    """Return the milliseconds from an upload until the page with the difference is there."""
    began = time.perf_counter()
    location = upload()
    while time.perf_counter() - began < _PATIENCE:
        page = head.get(location)
        if page.location.startswith("/fichiers/"):
            shown = head.get(page.location)
            if "difference" not in shown.text and "Importer" not in shown.text:
                raise WrongAnswerError("the page of the difference has no button")
            return (time.perf_counter() - began) * 1000
        time.sleep(_POLL)
    raise WrongAnswerError("a school's files were not compared within a minute")


def _table(measured: Sequence[Measured]) -> str:
    lines: list[tuple[str, ...]] = [("page", "p50 ms", "p95 ms", "best ms", "CPU ms", "goal", "")]
    for each in measured:
        p95, verdict = each.p95, "" if each.p95 <= each.goal else "above its goal"
        numbers = (f"{value:,.1f}" for value in (statistics.median(each.times), p95, min(each.times)))
        cpu = f"{each.cpu:.1f}" if each.cpu else "–"
        lines.append((each.name, *numbers, cpu, f"≤ {each.goal:,.0f}", verdict))
    return aligned(lines, text_at_end=True)
