"""Interleaved rounds: each scenario at each provider in turn (A B A B …), and again in the next round.

A window that other processes disturbed is repeated a few times, and the quietest is kept. A window with errors is never
repeated, because its errors are the result.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from bench.driver.provider import Provider
from bench.driver.scenarios import Scenario
from bench.driver.window import Processes, Window, measure

Key = tuple[str, str, int]
"""Provider, scenario, number of clients."""


@dataclass(frozen=True)
class Plan:
    """How long and how often to measure.

    Attributes:
        seconds: of a window.
        rounds: windows of each scenario at each provider.
        most_foreign: processor time of other processes, in cores, above which a window is repeated.
        retries: the most repetitions of one window.
    """

    seconds: float
    rounds: int
    most_foreign: float
    retries: int


@dataclass(frozen=True)
class Measured:
    """The windows of one scenario at one provider, one for each round; `repeated` counts those left out."""

    windows: Sequence[Window]
    repeated: int = 0


def run(
    plan: Plan,
    scenarios: Sequence[type[Scenario]],
    running: Sequence[tuple[Provider, Processes]],
    tell: Callable[[str], None],
) -> dict[Key, Measured]:
    """Measure all scenarios at all providers; `tell` gets a line about each window."""
    results: dict[Key, Measured] = {}
    steps = list(_steps(plan.rounds, scenarios, running))
    for number, (scenario, clients, provider, processes) in enumerate(steps, 1):
        key = provider.name, scenario.name, clients
        window, repeated = quietest(plan, partial(measure, scenario, provider, processes, clients, plan.seconds))
        before = results.get(key, Measured([]))
        results[key] = Measured([*before.windows, window], before.repeated + repeated)
        fault = f", {window.errors} errors, the first: {window.first_error}" if window.errors else ""
        tell(
            f"[{number}/{len(steps)}] {provider.name} {scenario.name} {clients} clients: {window.rate:,.1f} flows/s,"
            f" {window.cpu:.2f} ms CPU, foreign {window.foreign:.2f}{fault}"
        )
    return results


def quietest(plan: Plan, attempt: Callable[[], Window]) -> tuple[Window, int]:
    """Return the least disturbed of some windows, and how many were left out."""
    windows = [attempt()]
    while windows[-1].foreign > plan.most_foreign and not windows[-1].errors and len(windows) <= plan.retries:
        windows.append(attempt())
    best = windows[-1] if windows[-1].errors else min(windows, key=lambda window: window.foreign)
    return best, len(windows) - 1


def _steps(
    rounds: int, scenarios: Sequence[type[Scenario]], running: Sequence[tuple[Provider, Processes]]
) -> Iterator[tuple[type[Scenario], int, Provider, Processes]]:
    for _ in range(rounds):
        for scenario in scenarios:
            for clients in scenario.clients:
                for provider, processes in running:
                    if scenario.name not in provider.left_out:
                        yield scenario, clients, provider, processes
