"""The tables of results, as text."""

from collections.abc import Iterable, Mapping, Sequence

from bench.counting.cost import Cost, Request, total
from bench.driver.campaign import Key, Measured
from bench.driver.closed_loop import Flows
from bench.driver.slow import CONNECTIONS, Slowed
from bench.results import figures, goals
from bench.results.figures import Footprint, Row

_HEAD = (
    "scenario", "clients", "provider", "flows/s", "lowest–highest", "p50 ms", "p95 ms", "CPU ms", "server", "driver",
    "database", "foreign", "repeated", "ID tokens", "errors",
)  # fmt: skip
_WHOLE = 100


def results(rows: Iterable[Row]) -> str:
    """Return the table of medians, a line for each scenario, number of clients and provider."""
    lines = [_HEAD]
    for each in rows:
        provider, scenario, clients = each.key
        lines.append(
            (
                scenario,
                str(clients),
                provider,
                rate(each.rate),
                f"{rate(each.lowest)}–{rate(each.highest)}",
                f"{each.p50:.1f}",
                f"{each.p95:.1f}",
                f"{each.cpu:.2f}",
                f"{each.server:.2f}",
                f"{each.driver:.2f}",
                f"{each.database:.2f}",
                f"{each.foreign:.2f}",
                str(each.repeated),
                str(each.verified),
                str(each.errors),
            )
        )
    return aligned(lines)


def ratios(measured: Mapping[Key, Measured], product: str, peers: Sequence[str]) -> str:
    """Return the table of ratios, with the extremes of the rounds.

    The rate of the product is divided by that of each peer, and then the processor time for a flow at each peer by that
    at the product, which depends less on other load of the machine. In both, more than one is better for the product.
    """
    titles = (*(f"{product} / {peer}" for peer in peers), "goal", *(f"CPU of {peer} / {product}" for peer in peers))
    lines: list[tuple[str, ...]] = [("scenario", "clients", *titles)]
    for (provider, scenario, clients), mine in measured.items():
        if provider != product:
            continue
        theirs = [measured.get((peer, scenario, clients)) for peer in peers]
        rates = (_ratio(figures.ratio(mine, each) if each else None) for each in theirs)
        times = (_ratio(figures.ratio(each, mine, "cpu") if each else None) for each in theirs)
        lines.append((scenario, str(clients), *rates, goals.rate_goal(scenario, clients), *times))
    return aligned(lines)


def _ratio(value: figures.Ratio | None) -> str:
    return f"{value.value:.2f} ({value.lowest:.2f}–{value.highest:.2f})" if value else "–"


def costs(counted: Mapping[str, Sequence[Request]], limits: Mapping[str, Cost]) -> str:
    """Return the table of statements: the sum of each flow, its limit, and its requests as statements+commits."""
    lines: list[tuple[str, ...]] = [
        ("scenario", "statements", "commits", "control", "pings", "limit", "each request: statements+commits")
    ]
    for scenario, requests in counted.items():
        cost, most = total(requests), limits.get(scenario)
        limit = f"≤ {most.statements} (≤ {most.commits})" if most else "–"
        each = ", ".join(f"{request.name} {request.cost.statements}+{request.cost.commits}" for request in requests)
        numbers = (str(number) for number in (cost.statements, cost.commits, cost.control, cost.pings))
        lines.append((scenario, *numbers, limit, each))
    return aligned(lines, text_at_end=True)


def footprint(provider: str, memory: Footprint | None, cold_start: float) -> str:
    """Return the line about a provider's memory and cold start."""
    if memory is None:
        return f"{provider}: cold start {cold_start:.2f} s"
    master = f", master {memory.master:.0f} MiB" if memory.master is not None else ""
    return (
        f"{provider}: worker {memory.worker:.0f} MiB (PSS {memory.worker_pss:.0f} MiB){master},"
        f" cold start {cold_start:.2f} s"
    )


def slowed(usual: Flows, windows: Sequence[Slowed]) -> list[str]:
    """Return the lines about ordinary requests beside slow connections."""
    before = usual.percentile(95)
    lines = [f"slow connections: usual p95 of a sign-on {before:.1f} ms, {rate(usual.rate)} flows/s"]
    for each in windows:
        p95 = each.flows.percentile(95)
        multiple = f"{p95 / before:.2f} times" if before else "–"
        lines.append(
            f"  beside {CONNECTIONS:,} with slow {each.kind}: p95 {p95:.1f} ms, {multiple} the usual (goal:"
            f" < {goals.SLOWED:g}), {rate(each.flows.rate)} flows/s; the server closed {each.closed:,} of them"
        )
    return lines


def rate(value: float) -> str:
    """Return a rate with three digits at least."""
    return f"{value:,.0f}" if value >= _WHOLE else f"{value:.1f}"


def aligned(lines: Sequence[tuple[str, ...]], *, text_at_end: bool = False) -> str:
    """Return lines of cells as columns: the first is aligned to the left, and so is the last if it is text."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 or (text_at_end and column == len(widths) - 1) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
