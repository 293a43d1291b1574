"""The load scenarios on the service alone: counts, rounds, memory, cold start, slow connections, and their report."""

import sys
from collections.abc import Mapping, Sequence
from os import environ
from pathlib import Path

import click

from bench import databases
from bench.driver import ceiling, slow
from bench.driver.campaign import Key, Measured, Plan, run
from bench.driver.relying_party import DISCOVERY
from bench.driver.scenarios import Discovery, Login, Scenario
from bench.driver.window import Processes, measure
from bench.population import ACCOUNTS, PRODUCT, populate
from bench.results import figures, goals, table
from bench.servers import process, product
from bench.servers.contender import Contender
from idp.paths import CHECKOUT

_CEILING_SECONDS = 1.0
_NEAR_CEILING = 0.9
"""A driver that takes more of its core than this may be what was measured."""


def measure_service(
    url: str, folder: Path, scenarios: Sequence[type[Scenario]], plan: Plan, core: int | None, *, slowly: bool
) -> list[str]:
    """Run the scenarios on one database, print the report, and return the faults.

    With `slowly`, measure beside slow connections too.
    """
    settings = product.settings_for(url, process.free_port())
    provider = populate(settings)
    click.echo(f"{databases.version(url)}: {ACCOUNTS:,} accounts; one worker, {product.THREADS} threads")
    slow.allow_files(2 * slow.CONNECTIONS)  # the server inherits it
    faults: list[str] = []
    with product.contender(settings, provider, scenarios, core, folder) as contender:
        if scenarios:
            faults, _ = compare(plan, scenarios, [contender], core, folder)
            for name, requests in contender.costs.items():
                faults += goals.broken_limits(contender.limits, name, requests)
        if slowly:
            usual, windows, errors = slow.run(provider, plan.seconds)
            click.echo("\n".join((*table.slowed(usual, windows), "")))
            if errors.count:
                faults.append(f"slow connections: {errors.count} wrong answers, the first: {errors.first}")
    return faults


def compare(
    plan: Plan, scenarios: Sequence[type[Scenario]], contenders: Sequence[Contender], core: int | None, folder: Path
) -> tuple[list[str], Mapping[Key, Measured]]:
    """Run the rounds, print the tables, and return the faults and the windows."""
    where = "servers pinned to one core, driver and database to another" if core is not None else "nothing is pinned"
    click.echo(f"rounds: {plan.rounds} of {plan.seconds:g} s, medians; {where}")
    click.echo(f"the driver's ceiling: {driver_ceiling(folder, core):,.0f} requests in a second of its core\n")
    running = [(each.provider, each.processes) for each in contenders]
    measured = run(plan, scenarios, running, lambda line: click.echo(line, err=True))
    rows = [figures.row(key, each) for key, each in measured.items()]
    click.echo(f"{table.results(rows)}\n")
    for contender in contenders:
        _show(contender, rows, measured)
    _warn(rows, plan)
    faults = [f"{' '.join(map(str, row.key))}: {row.errors} wrong answers" for row in rows if row.errors]
    return faults, measured


def _show(contender: Contender, rows: Sequence[figures.Row], measured: Mapping[Key, Measured]) -> None:
    """Print what belongs to one provider: memory, version, hash rate, statements."""
    name = contender.provider.name
    click.echo(table.footprint(name, figures.largest_footprint(measured, name), contender.cold_start))
    if name == PRODUCT:
        click.echo(
            f"  goals: worker {goals.WORKER:g} MiB, master {goals.MASTER:g} MiB, cold start {goals.COLD_START:g} s"
        )
    click.echo(f"  {contender.version}; {contender.hash_rate:.1f} password hashes in a second of the core")
    for row in rows:
        if row.key[:2] == (name, Login.name):
            click.echo(f"  {_login(row, contender)}")
    if contender.costs:
        click.echo(f"\n{table.costs(contender.costs, contender.limits)}")
    click.echo()


def _login(row: figures.Row, contender: Contender) -> str:
    share = row.rate / contender.hash_rate
    return (
        f"login: {row.rate:.1f}/s are {share:.0%} of the hash rate (goal of {PRODUCT}: ≥ {goals.LOGIN_OF_HASH:.0%});"
        f" the hash is {1000 / contender.hash_rate / row.cpu if row.cpu else 0:.0%} of its CPU time"
    )


def _warn(rows: Sequence[figures.Row], plan: Plan) -> None:
    """Name the rows that say less than they seem to."""
    limited = [row for row in rows if row.driver > _NEAR_CEILING]
    disturbed = [row for row in rows if row.foreign > plan.most_foreign]
    for what, some in (("the driver may be the bottleneck", limited), ("other processes took CPU time", disturbed)):
        if some:
            click.echo(f"{what}: {', '.join(' '.join(map(str, row.key)) for row in some)}\n", err=True)


def driver_ceiling(folder: Path, core: int | None) -> float:
    """Return how many requests to a server with one canned answer a second of the driver's core would send."""
    port = process.free_port()
    command = process.Command([sys.executable, "-m", "bench.driver.ceiling", str(port)], environ, DISCOVERY, CHECKOUT)
    with process.running(command, port, core, folder / "ceiling.log") as server:
        window = measure(Discovery, ceiling.provider(port), Processes(server.pid), 8, _CEILING_SECONDS)
        return window.rate / window.driver if window.driver else window.rate
