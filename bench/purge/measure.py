"""Runs `idp purge` on nights of several sizes while people sign in."""

import asyncio
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from statistics import quantiles

import click

from bench import databases
from bench.driver import slow
from bench.driver.provider import Provider
from bench.driver.relying_party import Party
from bench.driver.transport import Connection, runner
from bench.evening.visits import People, Visit, visit
from bench.population import populate
from bench.purge import rows
from bench.servers import process, product
from idp.config import Settings

NIGHTS = (10_000, 20_000, 40_000)
"""Sign-ins of a night. A quarter of an académie's 800,000 parents are 200,000."""
_RATE = 5.0
"""Sign-ins per second meanwhile: at night, when the purge runs, fewer arrive."""
_QUIET_SECONDS = 10.0
"""How long sign-ins are measured before the purge."""
_FILES = 20_000
_MIB = 1024 * 1024


@dataclass(frozen=True)
class Plan:
    """The nights to measure, one after the other.

    Attributes:
        nights: the sign-ins of each.
        accounts: how many more accounts are in the tables and stay.
        entries: how many more entries of the journal do.
    """

    nights: Sequence[int]
    accounts: int
    entries: int


@dataclass(frozen=True)
class _Purge:
    """What a purge did.

    Attributes:
        removed: rows.
        seconds: of the command, with its start.
        wal: bytes that the database wrote to its log, those of the sign-ins too.
        before: the sizes before the purge; `after`, `vacuumed`, and `refilled` by another night of that size.
        quiet: the sign-ins before it; `visits`: meanwhile.
    """

    sign_ins: int
    removed: int
    seconds: float
    wal: int
    before: rows.Size
    after: rows.Size
    vacuumed: rows.Size
    refilled: rows.Size
    quiet: Sequence[Visit]
    visits: Sequence[Visit]


def run(plan: Plan, folder: Path) -> list[str]:
    """Purge the nights; print the report, return the faults.

    Raises:
        databases.UnavailableError: there is no PostgreSQL.
        process.StartError: the service does not answer within a minute.
    """
    slow.allow_files(_FILES)
    faults: list[str] = []
    with databases.postgresql(folder) as url:
        settings = product.settings_for(url, process.free_port())
        provider = populate(settings)
        if plan.accounts or plan.entries:
            rows.kept(url, plan.accounts, plan.entries)
        click.echo(f"{databases.version(url)}: the purge of a night, with {_RATE:g} sign-ins per second")
        click.echo(f"{plan.accounts:,} more accounts and {plan.entries:,} more entries of the journal stay")
        click.echo(
            f"{'sign-ins':>9} {'rows':>9} {'s':>6} {'rows/s':>7} {'WAL MiB':>8} {'dead':>8} {'MiB':>6}"
            f" {'next night':>10} {'p95 ms':>7} {'meanwhile':>9} {'longest':>8}"
        )
        with product.running(settings, None, folder / "purge.log", os.cpu_count() or 1) as _server:
            for number, sign_ins in enumerate(plan.nights):
                measured = _measure(url, settings, provider, sign_ins, str(number))
                click.echo(_row(measured))
                faults += _faults((*measured.quiet, *measured.visits))
    return faults


def _measure(url: str, settings: Settings, provider: Provider, sign_ins: int, name: str) -> _Purge:
    rows.night(url, f"{name}kept", sign_ins, is_over=False)
    rows.night(url, f"{name}old", sign_ins, is_over=True)
    rows.vacuum(url)
    before, written = rows.size(url), databases.Written.read(url)
    with runner() as loop:
        quiet, visits, seconds, removed = loop.run(_purge(settings, provider))
    time.sleep(1)  # the statistics of a connection lag
    wal, after = (databases.Written.read(url) - written).wal, rows.size(url)
    rows.vacuum(url)
    vacuumed = rows.size(url)
    rows.night(url, f"{name}next", sign_ins, is_over=True)
    return _Purge(sign_ins, removed, seconds, wal, before, after, vacuumed, rows.size(url), quiet, visits)


async def _purge(settings: Settings, provider: Provider) -> tuple[list[Visit], list[Visit], float, int]:
    """Let people sign in, and run the command meanwhile; return the visits before and during it, and what it did."""
    connection = Connection(provider.port)
    party = await Party.discover(provider, connection)
    connection.close()
    people = People(cycle(provider.people), cycle(provider.people), iter(()), "")
    quiet = await _visits(party, people, asyncio.create_task(asyncio.sleep(_QUIET_SECONDS)))
    began = time.monotonic()
    command = await asyncio.create_subprocess_exec(
        product.IDP, "purge", "--json", env=product.environment(settings), stdout=asyncio.subprocess.PIPE
    )
    done = asyncio.create_task(command.communicate())
    ended = asyncio.create_task(_end_of(done))
    visits = await _visits(party, people, done)
    output, _ = await done
    return quiet, visits, await ended - began, sum(json.loads(output).values())


async def _end_of(task: "asyncio.Task[tuple[bytes, bytes]]") -> float:
    await asyncio.wait([task])
    return time.monotonic()


async def _visits(party: Party, people: People, until: "asyncio.Task[object]") -> list[Visit]:
    """Let people arrive at an even rate until a task has ended; return their visits when all have ended."""
    begun = []
    while not until.done():
        begun.append(asyncio.create_task(visit(party, people, "sign-in", "")))
        await asyncio.wait([until], timeout=1 / _RATE)
    return list(await asyncio.gather(*begun))


def _row(of: _Purge) -> str:
    longest = max(each.seconds for each in of.visits)
    return (
        f"{of.sign_ins:9,} {of.removed:9,} {of.seconds:6.1f} {of.removed / of.seconds:7,.0f} {of.wal / _MIB:8.0f}"
        f" {of.after.dead:8,} {of.vacuumed.bytes / _MIB:6.0f} {of.refilled.bytes / of.before.bytes:10.2f}"
        f" {_p95(of.quiet):7.0f} {_p95(of.visits):9.0f} {longest * 1000:8.0f}"
    )


def _p95(visits: Sequence[Visit]) -> float:
    return quantiles([each.seconds * 1000 for each in visits], n=20)[18]


def _faults(visits: Sequence[Visit]) -> Iterator[str]:
    for each in visits:
        if each.outcome != "done":
            yield f"purge: {each.outcome}"
