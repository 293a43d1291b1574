"""The evening on PostgreSQL: against as many workers as the machine has cores, then against half of them."""

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import cycle
from pathlib import Path
from statistics import median, quantiles

import click
from sqlalchemy import select, update

from bench import databases, machine
from bench.driver import slow
from bench.driver.provider import Person, Provider
from bench.driver.relying_party import Party
from bench.driver.transport import Connection, runner
from bench.evening.curve import MIX, SHAPE, Arrival, arrivals
from bench.evening.visits import People, Visit, visit
from bench.population import populate
from bench.servers import process, product
from idp.accounts.models import Account
from idp.accounts.passwords.hasher import Hasher
from idp.app import create_app
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.letters import provisional
from idp.services import services_of

_LETTERS = 4_000
"""The accounts that nobody has activated when the evening begins."""
_FILES = 20_000
_THREADS = 32
"""Of a worker, as `idp serve` has them by default: those who wait for a password hash hold a thread each."""
_SEED = 1
"""The same arrivals in each run, so that two runs differ by the service alone."""
_ENOUGH_FOR_PERCENTILES = 20


@dataclass(frozen=True)
class _Evening:
    """What people met from the first arrival to the last answer, and what it cost.

    Attributes:
        server: processor time of the service in cores; the same for `database` and `driver`.
        written: by the database.
    """

    visits: Sequence[Visit]
    seconds: float
    server: float
    database: float
    driver: float
    written: databases.Written


def run(seconds: float, peak: float, folder: Path) -> list[str]:
    """Drive the evening at `peak` sign-ins per second, each phase of `seconds`; print the report, return the faults.

    Raises:
        databases.UnavailableError: there is no PostgreSQL.
        process.StartError: the service does not answer within a minute.
    """
    slow.allow_files(_FILES)  # the server inherits it
    cores = os.cpu_count() or 1
    faults: list[str] = []
    with databases.postgresql(folder) as url:
        settings = product.settings_for(url, process.free_port())
        provider = populate(settings)
        secret = provisional.draw()
        everyone, letters = _people(settings, {person.username for person in provider.people}, secret)
        click.echo(f"{databases.version(url)}: an evening with {peak:g} sign-ins per second at its peak")
        click.echo(
            f"for each sign-in: {', '.join(f'{share:g} {purpose}' for purpose, share in MIX.items() if share < 1)}"
        )
        planned = list(arrivals(peak, seconds, random.Random(_SEED)))
        people = People(cycle(everyone), cycle(provider.people), letters, secret)
        for workers in sorted({cores, max(1, cores // 2)}, reverse=True):
            with product.running(settings, None, folder / "evening.log", workers, _THREADS) as server, runner() as loop:
                evening = loop.run(_drive(provider, people, planned, server.pid, url))
            click.echo("\n".join(("", *_report(evening, workers, cores, seconds))))
            faults += _faults(evening.visits)
    return faults


async def _drive(provider: Provider, people: People, planned: Sequence[Arrival], server: int, url: str) -> _Evening:
    connection = Connection(provider.port)
    party = await Party.discover(provider, connection)
    connection.close()
    roots = (server, databases.server_pid(url))
    before = databases.Written.read(url)
    began, used, own = time.monotonic(), [machine.used_seconds(root) for root in roots], machine.own_seconds()
    visits = []
    for arrival in planned:
        await asyncio.sleep(began + arrival.at - time.monotonic())
        visits.append(asyncio.create_task(visit(party, people, arrival.purpose, arrival.phase)))
    met = await asyncio.gather(*visits)
    elapsed = time.monotonic() - began
    served, stored = ((machine.used_seconds(root) - was) / elapsed for root, was in zip(roots, used, strict=True))
    driver = (machine.own_seconds() - own) / elapsed
    return _Evening(met, elapsed, served, stored, driver, databases.Written.read(url) - before)


def _people(settings: Settings, with_session: set[str], secret: str) -> tuple[list[Person], Iterator[Person]]:
    """Give some accounts a letter with `secret` instead of a password; return who has a password, and who a letter."""
    stored = Hasher(settings).hash(secret, "activation")
    app = create_app(settings)
    with app.app_context(), unit_of_work():
        names = [name for name in db.session.scalars(select(Account.username)) if name not in with_session]
        random.Random(_SEED).shuffle(names)
        letters, others = names[:_LETTERS], names[_LETTERS:]
        db.session.execute(
            update(Account)
            .where(Account.username.in_(letters))
            .values(
                provisional_hash=stored,
                provisional_expires_at=now() + timedelta(days=365),
                password_hash=None,
                password_changed_at=None,
                activated_at=None,
                email=None,
                email_confirmed_at=None,
            )
        )
    with app.app_context():
        db.engine.dispose()
    services_of(app).close()
    return [Person(name) for name in others], iter([Person(name) for name in letters])


def _report(evening: _Evening, workers: int, cores: int, seconds: float) -> Iterator[str]:
    """Yield the lines about an evening: a row for each phase and purpose, and what the pages said."""
    yield (
        f"{workers} worker(s) on {cores} cores, phases of {seconds:g} s: {len(evening.visits)} people in"
        f" {evening.seconds:.0f} s; service {evening.server:.2f} cores, database {evening.database:.2f},"
        f" driver {evening.driver:.2f}"
    )
    people = len(evening.visits)
    yield (
        f"PostgreSQL wrote {evening.written.wal / people / 1024:.1f} KiB of its log and"
        f" {evening.written.commits / people:.1f} transactions for a person,"
        f" {evening.written.commits / evening.seconds:.0f} transactions a second"
    )
    yield (
        f"{'phase':6} {'for':11} {'arrived':>8} {'per s':>6} {'done':>6} {'asked to wait':>13} {'left':>5}"
        f" {'p50 s':>6} {'p95 s':>6} {'longest s':>9}"
    )
    for phase in SHAPE:
        for purpose in MIX:
            some = [each for each in evening.visits if (each.phase, each.purpose) == (phase, purpose)]
            if some:
                yield _row(phase, purpose, some, seconds)
    shown = Counter(heading for each in evening.visits for heading in each.shed)
    yield from (f"{times} times the page « {heading} »" for heading, times in shown.most_common())


def _row(phase: str, purpose: str, some: Sequence[Visit], seconds: float) -> str:
    done = sorted(each.seconds for each in some if each.outcome == "done") or [0.0]
    many = len(done) >= _ENOUGH_FOR_PERCENTILES
    p95 = quantiles(done, n=20)[18] if many else done[-1]
    asked = sum(bool(each.shed) for each in some)
    left = sum(each.outcome == "left" for each in some)
    finished = sum(each.outcome == "done" for each in some)
    return (
        f"{phase:6} {purpose:11} {len(some):8} {len(some) / seconds:6.1f} {finished:6} {asked:13} {left:5}"
        f" {median(done):6.2f} {p95:6.2f} {done[-1]:9.2f}"
    )


def _faults(visits: Sequence[Visit]) -> list[str]:
    """Return a sentence for each kind of wrong answer. To be asked to wait, or to leave, is none."""
    wrong = Counter(each.outcome for each in visits if each.outcome not in {"done", "left"})
    return [f"evening: {times} times {outcome}" for outcome, times in wrong.most_common(5)]
