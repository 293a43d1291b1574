"""`python -m bench`: see `make bench`. Exit 1 if an answer was wrong or a count exceeds its limit."""

import logging
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from bench import databases, letters, load, machine, neutrality, roster
from bench.desk import measure as desk
from bench.driver.campaign import Plan
from bench.driver.relying_party import WrongAnswerError
from bench.driver.scenarios import SCENARIOS, Scenario
from bench.evening import curve, measure as evening
from bench.options import plan_options, purge_options
from bench.purge import measure as purge
from bench.servers import process, product
from idp import schema

_SLOW = "slow"
"""Sign-ons beside a thousand slow connections."""
_NEUTRAL = "neutral"
"""Not a load: compares the answer times of public forms for all kinds of accounts."""
_ROSTER = "roster"
"""Not a load: imports school files, of an académie or a part of one."""
_LETTERS = "letters"
"""Not a load, and without a database: prints letters."""
_DESK = "desk"
"""Not a load, and only if it is asked for: the pages of the desk with a whole académie."""
_EVENING = "evening"
"""Only if it is asked for: people arrive as in September, whether or not there is room."""
_PURGE = "purge"
"""Only if it is asked for: the rows of whole nights are removed while people sign in."""
_OTHERS = (_SLOW, _NEUTRAL, _ROSTER, _LETTERS)
_NAMES = (*(kind.name for kind in SCENARIOS), *_OTHERS)


@dataclass(frozen=True)
class _Choice:
    """What is measured, and how."""

    names: frozenset[str]
    plan: Plan

    @property
    def scenarios(self) -> Sequence[type[Scenario]]:
        """The chosen load scenarios."""
        return [kind for kind in SCENARIOS if kind.name in self.names]


@click.command()
@plan_options
@click.option(
    "--scenario",
    "names",
    type=click.Choice((*_NAMES, _DESK, _EVENING, _PURGE)),
    multiple=True,
    help="May be repeated; all but desk, evening and purge by default.",
)
@click.option(
    "--pupils",
    type=click.IntRange(1000),
    help=f"For roster ({roster.PUPILS} by default) and desk ({desk.PUPILS}, an académie).",
)
@click.option("--schools", type=click.IntRange(1), help="For roster; by default in proportion to the pupils.")
@click.option(
    "--peak",
    type=click.FloatRange(1, 500),
    default=curve.PEAK,
    show_default=True,
    help="For evening: sign-ins per second in the busiest phase.",
)
@purge_options
def main(
    *,
    plan: Plan,
    quick: bool,
    names: tuple[str, ...],
    pupils: int | None,
    schools: int | None,
    peak: float,
    nights: purge.Plan,
) -> None:
    """Measure the service under load, imports of school files and letters, on temporary databases."""
    logging.disable(logging.INFO)
    choice = _Choice(frozenset(names or _NAMES), plan)
    if quick:
        choice = _Choice(choice.names - {_NEUTRAL, _ROSTER, _LETTERS}, plan)
    faults = _letters() if _LETTERS in choice.names else []
    with tempfile.TemporaryDirectory(prefix="idp-bench-", ignore_cleanup_errors=True) as folder:
        files = roster.generate(Path(folder), pupils or roster.PUPILS, schools) if _ROSTER in choice.names else None
        faults += _on_database(choice, files, Path(folder))
        if _DESK in choice.names:
            faults += _alone(lambda: desk.run(pupils or desk.PUPILS, Path(folder)))
        if _EVENING in choice.names:
            faults += _alone(lambda: evening.run(plan.seconds, peak, Path(folder)))
        if _PURGE in choice.names:
            faults += _alone(lambda: purge.run(nights, Path(folder)))
    for fault in faults:
        click.echo(fault, err=True)
    sys.exit(1 if faults else 0)


def _alone(measure: Callable[[], list[str]]) -> list[str]:
    """Run a measurement that has a PostgreSQL of its own; return the faults."""
    try:
        return measure()
    except (databases.UnavailableError, process.StartError) as failure:
        raise click.ClickException(str(failure)) from failure


def _letters() -> list[str]:
    """Measure letters; return the faults."""
    lines, faults = letters.run()
    click.echo("\n".join((*lines, "")))
    return faults


def _on_database(choice: _Choice, files: roster.Files | None, folder: Path) -> list[str]:
    """Run the measurements on a temporary database each; return the faults."""
    faults: list[str] = []
    try:
        if choice.scenarios or choice.names & {_SLOW, _NEUTRAL}:
            faults += _measure(choice)
        if files is not None:
            faults += roster.measure(files, folder / "database")
    except (databases.UnavailableError, process.StartError, WrongAnswerError) as failure:
        raise click.ClickException(str(failure)) from failure
    return faults


def _measure(choice: _Choice) -> list[str]:
    """Measure the service under load, and its public forms; return the faults."""
    server_core, driver_core = machine.split()
    faults: list[str] = []
    with (
        machine.pinned(driver_core),  # inherited by the database, if it is started here
        tempfile.TemporaryDirectory(prefix="idp-bench-", ignore_cleanup_errors=True) as folder,
        databases.postgresql(Path(folder)) as url,
    ):
        if choice.scenarios or _SLOW in choice.names:
            faults += load.measure_service(
                url, Path(folder), choice.scenarios, choice.plan, server_core, slowly=_SLOW in choice.names
            )
        if _NEUTRAL in choice.names:
            faults += _measure_neutral(url, Path(folder), server_core)
    return faults


def _measure_neutral(url: str, folder: Path, core: int | None) -> list[str]:
    """Measure the public forms."""
    settings = product.settings_for(url, process.free_port())
    schema.upgrade(settings)
    neutrality.populate(settings)
    with product.running(settings, core, folder / "neutral.log") as server:
        lines, faults = neutrality.run(server.port)
    click.echo("\n".join((*lines, "")))
    return faults


if __name__ == "__main__":
    main()
