"""The arithmetic of the tables: medians, ratios, footprints, limits."""

import pytest

from bench.counting.cost import Cost, Request, total
from bench.driver.campaign import Key, Measured
from bench.driver.closed_loop import Flows
from bench.driver.slow import Slowed
from bench.driver.window import Window
from bench.machine import Memory
from bench.results import figures, goals, table

_SSO: Key = ("idp", "sso", 8)
_PEER: Key = ("node-memory", "sso", 8)


def _measured(*rates: float, **others: float) -> Measured:
    return Measured([Window(rate=rate, **others) for rate in rates])  # type: ignore[arg-type]


def test_a_row_has_medians_and_sums() -> None:
    windows = [
        Window(rate=10, p50=3, cpu=1, foreign=0.1, verified=4),
        Window(rate=30, p50=1, cpu=5, foreign=0.3, verified=5, errors=2),
        Window(rate=20, p50=2, cpu=3, foreign=0.2, verified=6, errors=1),
    ]
    row = figures.row(_SSO, Measured(windows, repeated=2))
    assert (row.rate, row.lowest, row.highest) == (20, 10, 30)
    assert (row.p50, row.cpu, row.foreign) == (2, 3, 0.2)
    assert (row.verified, row.errors, row.repeated) == (15, 3, 2)


def test_a_ratio_has_the_extremes_of_the_rounds() -> None:
    ratio = figures.ratio(_measured(10, 30, 20), _measured(10, 10, 40))
    assert ratio == figures.Ratio(2.0, 0.5, 3.0)


def test_a_ratio_is_of_any_figure() -> None:
    assert figures.ratio(_measured(1, cpu=3.0), _measured(1, cpu=1.5), "cpu") == figures.Ratio(2.0, 2.0, 2.0)


def test_there_is_no_ratio_to_a_provider_that_answered_nothing() -> None:
    assert figures.ratio(_measured(10, 10), _measured(10, 0)) is None


def test_a_footprint_tells_the_worker_from_the_master() -> None:
    processes = [Memory(1, 60, 20), Memory(2, 140, 90), Memory(3, 12, 3)]
    assert figures.footprint(processes) == figures.Footprint(140, 90, 60)
    assert figures.footprint(processes[:1]) == figures.Footprint(60, 20, None)
    assert figures.footprint([]) is None


def test_the_largest_footprint_is_that_of_one_provider() -> None:
    measured = {
        _SSO: Measured([Window(memory=[Memory(1, 100, 50)]), Window(memory=[Memory(1, 120, 60)])]),
        _PEER: Measured([Window(memory=[Memory(9, 400, 400)])]),
    }
    footprint = figures.largest_footprint(measured, "idp")
    assert footprint is not None
    assert footprint.worker == 120
    assert figures.largest_footprint(measured, "other") is None


def test_the_cost_of_a_flow_is_the_sum_of_its_requests() -> None:
    requests = [Request("GET /a", Cost(2, 1, 4, 1)), Request("POST /b", Cost(3, 1))]
    assert total(requests) == Cost(5, 2, 4, 1)


@pytest.mark.parametrize(("cost", "is_broken"), [(Cost(5, 4), False), (Cost(6, 4), True), (Cost(5, 5), True)])
def test_a_limit_holds_statements_and_commits(cost: Cost, *, is_broken: bool) -> None:
    limits = goals.LIMITS
    assert limits["login"] == Cost(5, 4)
    assert bool(goals.broken_limits(limits, "login", [Request("POST /a", cost)])) is is_broken
    assert goals.broken_limits(limits, "discovery", [Request("GET /a", cost)]) == []


def test_the_table_of_ratios_names_goals_and_gaps() -> None:
    measured = {_SSO: _measured(10, 12, cpu=1), _PEER: _measured(8, 8, cpu=2), ("idp", "jwks", 8): _measured(5, 5)}
    head, sso, jwks = table.ratios(measured, "idp", ["node-memory", "canaille"]).splitlines()
    assert head.startswith("scenario")
    assert sso.split() == [
        "sso",
        "8",
        "1.38",
        "(1.25–1.50)",
        "–",
        "≥",
        "1.25",
        "of",
        "memory",
        "2.00",
        "(2.00–2.00)",
        "–",
    ]
    assert jwks.split() == ["jwks", "8", "–", "–", "≥", "1", "of", "memory", "–", "–"]


def test_the_table_of_results_has_a_line_for_each_row() -> None:
    rows = [figures.row(_SSO, _measured(1234.5, server=0.987)), figures.row(_PEER, _measured(12.34))]
    head, first, second = table.results(rows).splitlines()
    assert len(head.split()) >= len(first.split())
    assert first.split()[:5] == ["sso", "8", "idp", "1,234", "1,234–1,234"]
    assert "0.99" in first.split()
    assert second.split()[3] == "12.3"


def test_slow_connections_are_compared_with_the_usual() -> None:
    usual = Flows(1, [0.010] * 20)
    lines = table.slowed(usual, [Slowed("headers", Flows(1, [0.015] * 20), 7)])
    assert lines[1].split(": ", 1)[1].startswith("p95 15.0 ms, 1.50 times the usual")
    assert lines[1].endswith("closed 7 of them")
