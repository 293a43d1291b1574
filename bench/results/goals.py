"""The goals of the service. Counts are exact, and a broken limit is a fault; other goals depend on the machine."""

from collections.abc import Mapping, Sequence

from bench.counting.cost import Cost, Request, total

LIMITS: Mapping[str, Cost] = {
    "sso": Cost(statements=6, commits=2),
    "refresh": Cost(statements=3, commits=1),
    "login": Cost(statements=5, commits=4),
}
"""The most statements and commits of a flow of the service."""
LOGIN_OF_HASH = 0.8
"""Logins per second, as a share of the password hashes per second of the core."""
LOGIN_PAGES = 5000.0
"""Login pages per second."""
SLOWED = 2.0
"""The 95th percentile beside slow connections, as a multiple of the usual."""
WORKER, MASTER, COLD_START = 140.0, 60.0, 0.8
"""MiB, MiB, seconds."""
DESK_SEARCH, DESK_BOARD, DESK_PAGE, DESK_DIFFERENCE = 50.0, 100.0, 100.0, 5000.0
"""Milliseconds of the desk at the size of an académie, 95th percentile: a search, the board of a school's classes,
another page, and the difference of a school's files from their upload."""
RATIOS: Mapping[tuple[str, int], float] = {
    ("sso", 8): 1.25,
    ("login", 8): 1.2,
    ("refresh", 8): 1.0,
    ("refresh", 16): 1.15,
    ("discovery", 8): 1.0,
    ("jwks", 8): 1.0,
}
"""The rate by scenario and clients, as a multiple of that of node-oidc-provider in memory."""


def rate_goal(scenario: str, clients: int) -> str:
    """Return the goal for a rate, as the table of ratios shows it."""
    if scenario == "login_page":
        return f"≥ {LOGIN_PAGES:,.0f} flows/s"
    ratio = RATIOS.get((scenario, clients))
    return f"≥ {ratio:g} of memory" if ratio else "–"


def broken_limits(limits: Mapping[str, Cost], scenario: str, requests: Sequence[Request]) -> list[str]:
    """Return a sentence for a flow that costs more statements or commits than its limit."""
    most, cost = limits.get(scenario), total(requests)
    if most is None or (cost.statements <= most.statements and cost.commits <= most.commits):
        return []
    limit = f"{most.statements} and {most.commits} are the limit"
    return [f"{scenario}: {cost.statements} statements and {cost.commits} commits, {limit}"]
