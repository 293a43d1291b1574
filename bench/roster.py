"""Imports of school files: a synthetic académie, imported by `idp roster import` in a process of its own.

The promises for a whole académie on two cores are printed beside the measurements, in proportion for a part of one.
Time depends on the machine; too much memory is a fault.
"""

import asyncio
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import click

from bench import databases, process
from bench.academy.produce import Order, produce
from bench.driver.provider import Person, Provider
from bench.driver.relying_party import Party, WrongAnswerError
from bench.driver.scenarios import Login
from bench.driver.transport import Connection, runner
from bench.population import populate
from bench.servers import process as servers, product
from idp.config import Settings

PUPILS = 20_000
ACADEMY = 800_000
"""The number of pupils of the académie that the promises are about."""
MOST_MEMORY = 300
"""Megabytes, for any size."""
_CHANGED = 0.01
_MISTAKES = 0.005
_IN_A_SCHOOL = 195
_SLOWER = 2.0
_LEAST_SECONDS = 3.0
_PROMISED = {"first": 900.0, "unchanged": 300.0, "delta": 60.0}
"""Seconds for `ACADEMY`."""
_SIGN_INS = 5
"""Sign-ins a second, as on a usual day."""
_WITHOUT_IMPORT = 10.0
_NAMES = {"first": "first import", "unchanged": "unchanged", "delta": "Delta of 1 %"}


@dataclass(frozen=True)
class Files:
    """The generated files."""

    complete: Path
    delta: Path
    pupils: int


def generate(folder: Path, pupils: int, schools: int | None) -> Files:
    """Write an académie's Complet and Delta."""
    schools = schools or max(1, pupils // _IN_A_SCHOOL)
    academy = folder / "academy"
    produced = produce(
        Order(out=academy, pupils=pupils, schools=schools, format="aaf", delta=_CHANGED, mistakes=_MISTAKES)
    )
    click.echo(
        f"roster: an académie of {produced.schools:,} schools, {produced.pupils:,} pupils and {produced.people:,} "
        f"responsible people, {produced.size / 1e6:,.0f} MB of AAF"
    )
    return Files(academy / "complet", academy / "delta", pupils)


def measure(files: Files, folder: Path) -> list[str]:
    """Import, while people sign in during the first import; print the figures, and return the faults.

    Raises:
        databases.UnavailableError: there is no such database here.
        servers.StartError: the service for the sign-ins did not start.
    """
    folder.mkdir()
    with databases.postgresql(folder) as url:
        click.echo(f"roster on {databases.version(url)}")
        settings = product.settings_for(url, servers.free_port())
        faults = _first_with_sign_ins(settings, files, folder)
        faults += _imported("unchanged", settings, files.complete, files)
        faults += _imported("delta", settings, files.delta, files)
    click.echo()
    return faults


def _imported(kind: str, settings: Settings, path: Path, files: Files) -> list[str]:
    """Import a folder, print its measurements, and return the faults."""
    try:
        ended = _import(settings, path)
    except process.ProcessFailedError as failure:
        return [f"roster: {failure}"]
    return _shown(kind, ended, files)


def _import(settings: Settings, path: Path) -> process.Ended:
    return process.run([product.IDP, "roster", "import", "--json", str(path)], product.environment(settings))


def _shown(kind: str, ended: process.Ended, files: Files) -> list[str]:
    """Print a line, and return the faults that do not depend on the machine: memory, and a wrong result."""
    summary = json.loads(ended.output)
    people = [summary[name] for name in ("students", "guardians")]
    rows = sum(counts["read"] for counts in people)
    click.echo(
        f"  {_NAMES[kind]:<12} {ended.seconds:8.1f} s ({_promised(kind, files):,.1f} promised)"
        f"  {rows / ended.seconds:8,.0f} rows/s  CPU {ended.cpu:6.1f} s  {ended.peak:4.0f} MB ({MOST_MEMORY} promised)"
    )
    faults = []
    if ended.peak > MOST_MEMORY:
        faults.append(f"roster: {_NAMES[kind]} took {ended.peak:.0f} MB, {MOST_MEMORY} are promised")
    changed = sum(counts["created"] + counts["changed"] for counts in people)
    if (changed == 0) is not (kind == "unchanged"):
        faults.append(f"roster: {_NAMES[kind]} created or changed {changed} people of {rows}")
    return faults


def _promised(kind: str, files: Files) -> float:
    """Return the promised seconds for an import of this size."""
    return max(_PROMISED[kind] * files.pupils / ACADEMY, _LEAST_SECONDS)


def _first_with_sign_ins(settings: Settings, files: Files, folder: Path) -> list[str]:
    """Run the first import while people sign in; print its measurements, and how long they waited."""
    provider = populate(settings)
    try:
        with product.running(settings, None, folder / "serve.log"), runner() as loop:
            usual, ended, during = loop.run(_compared(provider, lambda: _import(settings, files.complete)))
    except (process.ProcessFailedError, WrongAnswerError) as failure:
        return [f"roster: {failure}"]
    faults = _shown("first", ended, files) + [f"roster: sign-in: {fault}" for fault in usual.faults + during.faults]
    if len(usual.seconds) > 1 and len(during.seconds) > 1:
        without, meanwhile = (statistics.quantiles(waits.seconds, n=20)[18] * 1000 for waits in (usual, during))
        click.echo(
            f"  sign-ins, {_SIGN_INS} a second: p95 {without:.0f} ms without an import, {meanwhile:.0f} ms during the"
            f" first: {meanwhile / without:.1f} times as long (less than {_SLOWER:g} promised)"
        )
    return faults


@dataclass
class _Waits:
    """The duration of each sign-in, in seconds, and the faults."""

    seconds: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


async def _compared(provider: Provider, work: Callable[[], process.Ended]) -> tuple[_Waits, process.Ended, _Waits]:
    """Let people sign in for a while, then during `work`, and again, to notice other load on the machine.

    Returns:
        The waits before and after, the result of `work`, and the waits during it.
    """
    usual, during = _Waits(), _Waits()
    connection = Connection(provider.port)
    party = await Party.discover(provider, connection)
    connection.close()
    alone = asyncio.create_task(asyncio.sleep(_WITHOUT_IMPORT))
    await _sign_ins(party, alone.done, usual)
    working = asyncio.create_task(asyncio.to_thread(work))
    await _sign_ins(party, working.done, during)
    alone = asyncio.create_task(asyncio.sleep(_WITHOUT_IMPORT))
    await _sign_ins(party, alone.done, usual)
    return usual, await working, during


async def _sign_ins(party: Party, over: Callable[[], bool], waits: _Waits) -> None:
    """Start a sign-in every fifth of a second until `over`, whether or not earlier ones have ended."""
    running: set[asyncio.Task[None]] = set()
    people = party.provider.one_after_the_other()
    while not over():
        task = asyncio.create_task(_sign_in(party, people, waits))
        running.add(task)
        task.add_done_callback(running.discard)
        await asyncio.sleep(1 / _SIGN_INS)
    await asyncio.gather(*running)


async def _sign_in(party: Party, people: Iterator[Person], waits: _Waits) -> None:
    """Sign one parent in, on a new connection."""
    connection = Connection(party.provider.port)
    began = time.monotonic()
    try:
        await Login(party, connection, people).flow()
    except (WrongAnswerError, OSError, EOFError, ValueError, LookupError) as error:
        waits.faults.append(str(error))
    else:
        waits.seconds.append(time.monotonic() - began)
    finally:
        connection.close()
