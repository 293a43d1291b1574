"""`python -m bench.peers`: see `make bench-peers`. Exit 1 if an answer was wrong."""

import logging
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import click

from bench import databases, load, machine
from bench.driver.campaign import Plan
from bench.driver.relying_party import WrongAnswerError
from bench.driver.scenarios import SCENARIOS, Scenario
from bench.options import plan_options
from bench.peers import canaille, node
from bench.peers.install import Installation, InstallError, install
from bench.population import PRODUCT, populate
from bench.results import table
from bench.servers import process, product
from bench.servers.contender import Contender

_PEERS = (node.MEMORY, node.REDIS, canaille.NAME)


@click.command()
@plan_options
@click.option(
    "--scenario",
    "names",
    type=click.Choice([kind.name for kind in SCENARIOS]),
    multiple=True,
    help="May be repeated; all by default.",
)
@click.option("--peer", "peers", type=click.Choice(_PEERS), multiple=True, help="May be repeated; all by default.")
@click.option("--install-only", is_flag=True, help="Install the peers, and measure nothing.")
def main(*, plan: Plan, quick: bool, names: tuple[str, ...], peers: tuple[str, ...], install_only: bool) -> None:  # noqa: ARG001 - the plan has it
    """Measure the service and other providers side by side: rounds in turn, ratios, and versions."""
    logging.disable(logging.INFO)
    scenarios = [kind for kind in SCENARIOS if kind.name in (names or (kind.name,))]
    try:
        installation = install()
        faults = [] if install_only else _measure(plan, scenarios, _available(peers), installation)
    except (InstallError, process.StartError, databases.UnavailableError, WrongAnswerError) as failure:
        raise click.ClickException(str(failure)) from failure
    for fault in faults:
        click.echo(fault, err=True)
    sys.exit(1 if faults else 0)


def _available(peers: tuple[str, ...]) -> list[str]:
    """Return the chosen peers that can run here.

    Raises:
        InstallError: a peer that was asked for by name needs a server that is not here.
    """
    if node.REDIS_SERVER is not None:
        return list(peers or _PEERS)
    if node.REDIS in peers:
        raise InstallError("node-redis needs the program redis-server")
    click.echo("No redis-server here: node-redis is left out.")
    return [peer for peer in peers or _PEERS if peer != node.REDIS]


def _measure(
    plan: Plan, scenarios: Sequence[type[Scenario]], peers: Sequence[str], installation: Installation
) -> list[str]:
    """Run the product and the peers, all at once but measured in turn; return the faults."""
    server_core, driver_core = machine.split()
    with (
        machine.pinned(driver_core),  # inherited by the databases
        tempfile.TemporaryDirectory(prefix="idp-bench-", ignore_cleanup_errors=True) as name,
        databases.postgresql_server(Path(name)) as server,
        ExitStack() as stack,
    ):
        contenders = []
        for participant in (PRODUCT, *peers):
            folder = Path(name) / participant
            folder.mkdir()
            url = stack.enter_context(databases.temporary(server))
            running = _open(participant, installation, url, scenarios, server_core, folder)
            contenders.append(stack.enter_context(running))
        click.echo(f"database of {PRODUCT} and {canaille.NAME}: {databases.version(url)}")
        if not installation.is_compiled:
            click.echo("No C compiler here: the peers use the argon2 of their packages.")
        faults, measured = load.compare(plan, scenarios, contenders, server_core, Path(name))
        click.echo(f"{table.ratios(measured, PRODUCT, peers)}\n")
        return faults


def _open(
    participant: str,
    installation: Installation,
    url: str,
    scenarios: Sequence[type[Scenario]],
    core: int | None,
    folder: Path,
) -> AbstractContextManager[Contender]:
    """Return the context in which a participant runs; `url` is an empty database of its own."""
    if participant == node.MEMORY:
        return node.in_memory(installation, core, folder)
    if participant == node.REDIS:
        return node.with_redis(installation, core, folder)
    if participant == canaille.NAME:
        return canaille.contender(installation, url, scenarios, core, folder)
    return _product(url, scenarios, core, folder)


@contextmanager
def _product(url: str, scenarios: Sequence[type[Scenario]], core: int | None, folder: Path) -> Iterator[Contender]:
    settings = product.settings_for(url, process.free_port())
    with product.contender(settings, populate(settings), scenarios, core, folder) as contender:
        yield contender


if __name__ == "__main__":
    main()
