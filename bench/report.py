"""The table of results, and the limits for the counts."""

from collections.abc import Sequence

from bench.counting import Cost
from bench.load import Figures
from bench.scenarios import Scenario

PROMISED = {"authorize": Cost(2, 1), "token": Cost(3, 1), "userinfo": Cost(1, 0)}
"""The highest allowed cost of a request, in a sign-on with a session or in a refresh."""
_HELD = frozenset({"sso", "refresh"})
_HEAD = ("scenario", "flows/s", "p50 ms", "p95 ms", "CPU ms", "errors", "others", "statements+commits of each request")
_WIDTHS = (11, 9, 8, 8, 8, 7, 7, 0)


def head() -> str:
    """Return the table's first line."""
    return _line(_HEAD)


def row(scenario: type[Scenario], figures: Figures, costs: Sequence[Cost]) -> str:
    """Return a scenario's line."""
    counts = ", ".join(
        f"{name} {cost.statements}+{cost.commits}" for name, cost in zip(scenario.requests, costs, strict=True)
    )
    return _line(
        (
            scenario.name,
            f"{figures.rate:,.0f}" if figures.rate >= 100 else f"{figures.rate:.1f}",  # noqa: PLR2004 - three digits
            f"{figures.p50:.1f}",
            f"{figures.p95:.1f}",
            "–" if figures.cpu is None else f"{figures.cpu:.2f}",
            str(figures.errors),
            "–" if figures.foreign is None else f"{figures.foreign:.0%}",
            counts,
        )
    )


def broken_promises(scenario: type[Scenario], costs: Sequence[Cost]) -> list[str]:
    """Return a sentence for each request that costs more than allowed."""
    if scenario.name not in _HELD:
        return []
    return [
        f"{scenario.name}: {name} makes {cost.statements} statements and {cost.commits} commits,"
        f" {most.statements} and {most.commits} are promised"
        for name, cost in zip(scenario.requests, costs, strict=True)
        if (most := PROMISED[name]) and (cost.statements > most.statements or cost.commits > most.commits)
    ]


def _line(cells: Sequence[str]) -> str:
    first, *rest = (cell.rjust(width) for cell, width in zip(cells, _WIDTHS, strict=True))
    return "  ".join([first.strip().ljust(_WIDTHS[0]), *rest]).rstrip()
