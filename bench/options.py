"""The options that `make bench` and `make bench-peers` share: how long and how often to measure."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from bench.driver.campaign import Plan

QUICK = Plan(seconds=2, rounds=1, most_foreign=0.15, retries=0)
"""The plan of `--quick`."""
_OPTIONS = (
    click.option("--seconds", type=click.FloatRange(0.5, 300), default=5.0, show_default=True, help="Of a window."),
    click.option(
        "--rounds",
        type=click.IntRange(1, 20),
        default=3,
        show_default=True,
        help="Windows, of which medians are shown.",
    ),
    click.option(
        "--most-foreign",
        type=click.FloatRange(0),
        default=0.15,
        show_default=True,
        help="Repeat a window in which other processes took more, in cores.",
    ),
    click.option(
        "--retries", type=click.IntRange(0, 10), default=2, show_default=True, help="The most repetitions of a window."
    ),
    click.option("--quick", is_flag=True, help="One round of two seconds, of the load scenarios on PostgreSQL only."),
)


def plan_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options to a command, which is called with `plan` and `quick`."""

    @wraps(command)
    def with_plan(
        *, seconds: float, rounds: int, most_foreign: float, retries: int, quick: bool, **others: Any
    ) -> None:
        plan = QUICK if quick else Plan(seconds, rounds, most_foreign, retries)
        command(plan=plan, quick=quick, **others)

    for option in reversed(_OPTIONS):
        with_plan = option(with_plan)
    return with_plan
