"""`python -m bench`: see `make bench`. Exit 1 if an answer was wrong or a count exceeds its limit."""

import asyncio
import logging
import os
import sys
import tempfile
import time
from pathlib import Path

import click

from bench import databases, letters, load, machine, neutrality, report, roster, service
from bench.counting import count
from bench.population import ACCOUNTS, PASSWORD, populate
from bench.scenarios import SCENARIOS, Scenario
from idp import schema
from idp.accounts.passwords.hasher import Hasher
from idp.config import Settings

_HASHES = 20
_NEUTRAL = "neutral"
"""Not a load: compares the answer times of public forms for all kinds of accounts."""
_ROSTER = "roster"
"""Not a load: imports school files, of an académie or a part of one."""
_LETTERS = "letters"
"""Not a load, and without a database: prints letters."""
_OTHERS = (_NEUTRAL, _ROSTER, _LETTERS)


@click.command()
@click.option(
    "--seconds", type=click.FloatRange(0.5, 300), default=5.0, show_default=True, help="seconds for each scenario"
)
@click.option(
    "--scenario",
    "scenario_names",
    type=click.Choice([*(kind.name for kind in SCENARIOS), *_OTHERS]),
    multiple=True,
    help="may be repeated; all by default",
)
@click.option(
    "--database", "names", type=click.Choice(databases.NAMES), multiple=True, help="may be repeated; both by default"
)
@click.option(
    "--pupils",
    type=click.IntRange(1000),
    default=roster.PUPILS,
    show_default=True,
    help="for roster; 800000 is an académie",
)
@click.option("--schools", type=click.IntRange(1), help="for roster; by default in proportion to the pupils")
def main(
    seconds: float, scenario_names: tuple[str, ...], names: tuple[str, ...], pupils: int, schools: int | None
) -> None:
    """Measure the service under load, imports of school files and letters, on temporary databases."""
    logging.disable(logging.INFO)
    chosen = set(scenario_names or [*(kind.name for kind in SCENARIOS), *_OTHERS])
    faults = _letters() if _LETTERS in chosen else []
    with tempfile.TemporaryDirectory(prefix="idp-bench-", ignore_cleanup_errors=True) as folder:
        files = roster.generate(Path(folder), pupils, schools) if _ROSTER in chosen else None
        faults += _on_databases(names, chosen, seconds, files, Path(folder))
    for fault in faults:
        click.echo(fault, err=True)
    sys.exit(1 if faults else 0)


def _letters() -> list[str]:
    """Measure letters; return the faults."""
    lines, faults = letters.run()
    click.echo("\n".join((*lines, "")))
    return faults


def _on_databases(
    names: tuple[str, ...], chosen: set[str], seconds: float, files: roster.Files | None, folder: Path
) -> list[str]:
    """Run the measurements on each kind of database in turn; return the faults."""
    scenarios = [kind for kind in SCENARIOS if kind.name in chosen]
    faults: list[str] = []
    for name in names or databases.NAMES:
        try:
            if scenarios or _NEUTRAL in chosen:
                faults += _measure(name, scenarios, seconds, neutral=_NEUTRAL in chosen)
            if files is not None:
                faults += roster.measure(name, files, folder / name)
        except databases.UnavailableError as reason:
            if names:
                raise click.ClickException(str(reason)) from reason
            click.echo(f"{reason}.\nMeasured on SQLite alone.\n")
        except service.StartError as failure:
            raise click.ClickException(str(failure)) from failure
    return faults


def _measure(name: str, scenarios: list[type[Scenario]], seconds: float, *, neutral: bool) -> list[str]:
    """Run the measurements on one kind of database; return the faults."""
    server_core, driver_core = machine.split()
    machine.pin(driver_core)  # inherited by the database, if it is started here
    opened = databases.OPENED[name]
    try:
        with (
            tempfile.TemporaryDirectory(prefix="idp-bench-", ignore_cleanup_errors=True) as folder,
            opened(Path(folder)) as url,
        ):
            faults = _measure_on(url, Path(folder), scenarios, seconds, server_core) if scenarios else []
            return faults + (_measure_neutral(url, Path(folder), server_core) if neutral else [])
    finally:
        if server_core is not None and driver_core is not None:
            os.sched_setaffinity(0, {server_core, driver_core})


def _measure_on(url: str, folder: Path, scenarios: list[type[Scenario]], seconds: float, core: int | None) -> list[str]:
    port = service.free_port()
    settings = service.settings_for(url, port)
    populated = populate(settings)
    costs = asyncio.run(count(settings, populated, scenarios))
    where = "pinned to one core, driver on another" if core is not None else "sharing the cores with the driver"
    click.echo(f"{databases.version(url)}: {ACCOUNTS:,} accounts; one worker, {service.THREADS} threads, {where};")
    click.echo(
        f"{load.CLIENTS} clients at once, {seconds:g} s each; one password hash takes {_hash_ms(settings):.1f} ms"
    )
    click.echo(report.head())
    faults: list[str] = []
    with service.running(settings, port, core, folder / "serve.log") as running:
        for scenario in scenarios:
            figures = asyncio.run(load.run(scenario, populated, running, seconds=seconds, core=core))
            click.echo(report.row(scenario, figures, costs[scenario.name]))
            faults += report.broken_promises(scenario, costs[scenario.name])
            if figures.errors:
                faults.append(f"{scenario.name}: {figures.errors} wrong answers, the first: {figures.first_error}")
    click.echo()
    return faults


def _measure_neutral(url: str, folder: Path, core: int | None) -> list[str]:
    """Measure the public forms."""
    port = service.free_port()
    settings = service.settings_for(url, port)
    schema.upgrade(settings)
    neutrality.populate(settings)
    with service.running(settings, port, core, folder / "neutral.log"):
        lines, faults = neutrality.run(port)
    click.echo("\n".join((*lines, "")))
    return faults


def _hash_ms(settings: Settings) -> float:
    """Return the processor time of one password hash, in milliseconds: most of the cost of a sign-in."""
    hasher = Hasher(settings)
    stored = hasher.hash(PASSWORD, "sign_in")
    began = time.process_time()
    for _ in range(_HASHES):
        hasher.verify(stored, PASSWORD, "sign_in")
    return (time.process_time() - began) / _HASHES * 1000


if __name__ == "__main__":
    main()
