"""The arithmetic of the results: medians over rounds, and ratios between providers of one interleaved run."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.driver.campaign import Key, Measured
from bench.driver.window import Window
from bench.machine import Memory


@dataclass(frozen=True)
class Row:
    """The medians of one scenario at one provider; units as in `Window`.

    Attributes:
        lowest: the lowest rate of a round; `highest` is the highest.
        errors: the sum of all rounds.
        repeated: disturbed windows that were left out.
    """

    key: Key
    rate: float
    lowest: float
    highest: float
    p50: float
    p95: float
    cpu: float
    server: float
    driver: float
    database: float
    foreign: float
    verified: int
    errors: int
    repeated: int


@dataclass(frozen=True)
class Ratio:
    """A figure of one provider divided by that of another, and the extremes of the rounds."""

    value: float
    lowest: float
    highest: float


@dataclass(frozen=True)
class Footprint:
    """Memory of a server in MiB: the resident size of its largest worker, its share of it, and of its first process.

    Attributes:
        master: None if the first process is the worker.
    """

    worker: float
    worker_pss: float
    master: float | None


def row(key: Key, measured: Measured) -> Row:
    """Return the medians of the windows."""
    windows = measured.windows
    rates = [window.rate for window in windows]
    return Row(
        key=key,
        lowest=min(rates),
        highest=max(rates),
        verified=sum(window.verified for window in windows),
        errors=sum(window.errors for window in windows),
        repeated=measured.repeated,
        **{name: _median(windows, name) for name in _MEDIANS},
    )


_MEDIANS = ("rate", "p50", "p95", "cpu", "server", "driver", "database", "foreign")


def ratio(of: Measured, to: Measured, name: str = "rate") -> Ratio | None:
    """Return the ratio of the medians of a figure, and its extremes in the rounds; None if a divisor is zero."""
    pairs = [(getattr(a, name), getattr(b, name)) for a, b in zip(of.windows, to.windows, strict=True)]
    if not pairs or any(not divisor for _, divisor in pairs):
        return None
    each = [dividend / divisor for dividend, divisor in pairs]
    return Ratio(_median(of.windows, name) / _median(to.windows, name), min(each), max(each))


def footprint(processes: Sequence[Memory]) -> Footprint | None:
    """Return the memory of a server, whose oldest process comes first; None without a process."""
    if not processes:
        return None
    master, *others = processes
    worker = max(others or [master], key=lambda process: process.rss)
    return Footprint(worker.rss, worker.pss, master.rss if others else None)


def largest_footprint(results: Mapping[Key, Measured], provider: str) -> Footprint | None:
    """Return the largest footprint of a provider at the end of any window."""
    return max(_footprints(results, provider), key=lambda each: each.worker, default=None)


def _footprints(results: Mapping[Key, Measured], provider: str) -> Iterator[Footprint]:
    for (name, _, _), measured in results.items():
        for window in measured.windows:
            if name == provider and (each := footprint(window.memory)):
                yield each


def _median(windows: Sequence[Window], name: str) -> float:
    values: list[float] = [getattr(window, name) for window in windows]
    return statistics.median(values)
