"""`python -m bench.chaos`: see `make chaos`. Exit 1 if a promise was broken under a fault."""

import asyncio
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path

import click

from bench.chaos.clock import OwnClock
from bench.chaos.faults import FAULTS, Fault
from bench.chaos.load import Failure, Ledger, Load
from bench.chaos.mailbox import Mailbox
from bench.chaos.service import BackChannel, Database, Service, running, settings_for
from bench.driver.provider import Person, Provider
from bench.driver.relying_party import Party
from bench.driver.transport import Connection, runner
from bench.population import ACCOUNTS, populate, username
from bench.servers import process

_MOST_FAILED = 0.01
"""The share of the flows that may fail, or wait under most faults, besides those that the fault interrupted."""
_AROUND = 2.0
"""Seconds of load before a fault, and at least so many after it."""
_RECOVERY = 10.0
"""Seconds in which flows must complete again after a fault."""
_MAIL_PATIENCE = 180.0
"""Seconds in which all mails must have left after a fault; a server whose clock is fast delays its mails as long."""


@click.command()
@click.option("--seconds", type=click.FloatRange(1, 600), default=10.0, show_default=True, help="Of each fault.")
@click.option(
    "--fault", "names", type=click.Choice(list(FAULTS)), multiple=True, help="May be repeated; all by default."
)
def main(seconds: float, names: Sequence[str]) -> None:
    """Break the service in each way under load; print what people noticed and what was lost."""
    logging.disable(logging.INFO)
    broken: list[str] = []
    with tempfile.TemporaryDirectory(prefix="idp-chaos-", ignore_cleanup_errors=True) as name, runner() as loop:
        folder = Path(name)
        database, mailbox, back_channel = Database(folder), Mailbox(process.free_port()), BackChannel()
        try:
            settings = settings_for(database.url, mailbox.port)
            provider = populate(settings, back_channel.url)
            strangers = cycle(Person(username(number)) for number in range(ACCOUNTS))
            click.echo(
                f"{'fault':22} {'flows':>6} {'interrupted':>11} {'failed':>6} {'waited':>6} {'waits':>6}"
                f" {'gap s':>6} {'mails':>6} {'twice':>6}"
            )
            for fault in names or FAULTS:
                log = FAULTS[fault].log or folder / "serve.log"
                clock = OwnClock(folder) if FAULTS[fault].steps_clock else None
                with running(settings, database, mailbox, back_channel, folder, log, clock) as service:
                    lines = loop.run(_under(fault, FAULTS[fault], service, provider, strangers, seconds))
                broken += [f"{fault}: {line}" for line in lines]
        finally:
            back_channel.end()
            database.end()
    for line in broken:
        click.echo(line, err=True)
    sys.exit(1 if broken else 0)


async def _under(
    name: str, fault: Fault, service: Service, provider: Provider, strangers: Iterator[Person], seconds: float
) -> list[str]:
    """Run the load before, during and after a fault; print a row; return the broken promises."""
    connection = Connection(provider.port)
    ledger = Ledger()
    service.mailbox.received.clear()
    party = await Party.discover(provider, connection)
    load = Load(party, strangers, cycle(provider.people), ledger)
    began, task = time.monotonic(), asyncio.create_task(load.run())
    await asyncio.sleep(_AROUND)
    injections = await asyncio.to_thread(fault.inject, service, seconds)
    mended = time.monotonic()
    recovered = await _recover(ledger, mended)
    await asyncio.sleep(_AROUND)
    load.is_ended = True
    await task
    ended = time.monotonic()
    await load.read_again()
    connection.close()
    received = await _mails(service, ledger)
    twice = sum(times > 1 for times in received.values())
    failed = [failure for failure in ledger.failed if not failure.is_due_to(injections, fault.interrupts)]
    click.echo(
        f"{name:22} {ledger.flows:6} {len(ledger.failed) - len(failed):11} {len(failed):6} {ledger.waited:6}"
        f" {ledger.waits.total():6}"
        f" {ledger.longest_gap(began, ended):6.1f} {len(ledger.asked):6} {twice:6}"
    )
    broken = broken_promises(failed, ledger, received, recovered=recovered, makes_wait=fault.makes_wait)
    return [*service.faults, *broken]


async def _recover(ledger: Ledger, mended: float) -> bool:
    """Wait until a flow completes after the fault; return whether that was in time."""
    while not (ledger.done and ledger.done[-1] > mended):
        if time.monotonic() > mended + _RECOVERY:
            return False
        await asyncio.sleep(0.1)
    return True


async def _mails(service: Service, ledger: Ledger) -> Counter[str]:
    """Wait until each promised mail has arrived, or for long enough; return how often each address has got one."""
    until = time.monotonic() + _MAIL_PATIENCE
    while ledger.asked - service.mailbox.received.keys() and time.monotonic() < until:  # noqa: ASYNC110 - a thread counts
        await asyncio.sleep(0.2)
    return service.mailbox.received.copy()


def broken_promises(
    failed: list[Failure], ledger: Ledger, received: Counter[str], *, recovered: bool, makes_wait: bool
) -> Iterator[str]:
    """Yield a sentence for each broken promise; `failed` are the flows that the fault did not interrupt."""
    yield from sorted(set(ledger.faults))
    waited = 0 if makes_wait else ledger.waited
    if len(failed) + waited > _MOST_FAILED * ledger.flows:
        reasons = Counter(str(failure.error)[:120] for failure in failed)
        yield f"{len(failed)} of {ledger.flows} flows failed and {waited} waited: {reasons.most_common(3)}"
    if not recovered:
        yield f"no flow was completed within {_RECOVERY:g} s after it"
    lost = ledger.asked - received.keys()
    if lost:
        yield f"{len(lost)} of {len(ledger.asked)} mails were lost"
    if twice := sum(times > 1 for times in received.values()):
        yield f"{twice} mails were sent twice"


if __name__ == "__main__":
    main()
