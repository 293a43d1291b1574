"""The options that `make bench` and `make bench-peers` share: how long and how often to measure."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from bench.driver.campaign import Plan
from bench.purge import measure as purge

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
    click.option("--quick", is_flag=True, help="One round of two seconds, of the load scenarios only."),
)

_NIGHTS = (
    click.option(
        "--sign-ins",
        "nights",
        type=click.IntRange(100),
        multiple=True,
        default=purge.NIGHTS,
        show_default=True,
        help="For purge: the sign-ins of a night; may be repeated. Two million need 20 GB of disk and some hours.",
    ),
    click.option(
        "--kept-accounts", type=click.IntRange(0), default=0, help="For purge: more accounts, in use or not, that stay."
    ),
    click.option(
        "--kept-entries", type=click.IntRange(0), default=0, help="For purge: more entries of the journal that stay."
    ),
)


def purge_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of the purge to a command, which is called with `nights`."""

    @wraps(command)
    def with_nights(*, nights: tuple[int, ...], kept_accounts: int, kept_entries: int, **others: Any) -> None:
        command(nights=purge.Plan(nights, kept_accounts, kept_entries), **others)

    for option in reversed(_NIGHTS):
        with_nights = option(with_nights)
    return with_nights


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
