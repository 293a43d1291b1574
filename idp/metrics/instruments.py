"""Counters, gauges and histograms: those of `prometheus_client`, with labels that have closed sets of values.

Any other value becomes `other`: no series can name a person or grow in number by what strangers send. A process counts
nothing before `start`, and imports the library there: most commands have no metrics.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from math import prod
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

OTHER = "other"
# Numbers of one metric that start at 0, at most: all pages with all statuses are too many for each answer.
_MOST_AT_ZERO = 250


class Label:
    """A label and its values."""

    def __init__(self, name: str, *values: str) -> None:
        self.name = name
        self._values = {OTHER, *values}

    def allow(self, values: Iterable[str]) -> None:
        """Add values, at the start of a process: the routes of an application, the kinds of messages."""
        self._values.update(values)

    def value_of(self, value: str) -> str:
        """Return a value, or `other`."""
        return value if value in self._values else OTHER

    def known(self) -> list[str]:
        """Return the values but `other`."""
        return sorted(self._values - {OTHER})

    def __len__(self) -> int:
        return len(self._values)


class Instrument:
    """A metric.

    Attributes:
        name: its name (https://prometheus.io/docs/practices/naming/).
        help: its description, which Prometheus shows.
        labels: its labels.
        options: what else the library's class `kind` is given.
        width: how many numbers a series has.
    """

    all: ClassVar[dict[str, "Instrument"]] = {}  # all metrics by their names
    registry: ClassVar["CollectorRegistry | None"] = None  # where this process counts
    kind = "Gauge"
    width = 1
    _creating = threading.Lock()

    def __init__(self, name: str, help: str, *labels: Label, **options: Any) -> None:  # noqa: A002 - as Prometheus calls it
        self.name, self.help, self.labels, self.options = name, help, labels, options
        self._metric: Any = None
        self._series: dict[tuple[str, ...], Any] = {}
        Instrument.all[name] = self

    def series(self, values: tuple[str, ...]) -> Any:
        """Return the library's object for these label values, which is there, at 0, from its first use on."""
        series = self._series.get(values)
        if series is not None:
            return series
        known = self.named(values)
        with Instrument._creating:
            if self._metric is None:
                self._metric = self._create()
            series = self._metric.labels(*known) if known else self._metric
            if known == values:  # other values must not fill the memory of the process
                self._series[values] = series
        return series

    def named(self, values: Iterable[str]) -> tuple[str, ...]:
        """Return the values of the labels, each of which is one that its label has."""
        return tuple(label.value_of(value) for label, value in zip(self.labels, values, strict=True))

    def forget(self) -> None:
        """Forget all numbers of this process."""
        self._metric = None
        self._series = {}

    def _create(self) -> Any:
        import prometheus_client  # noqa: PLC0415 - see the top of this module

        names = [label.name for label in self.labels]
        return getattr(prometheus_client, self.kind)(
            self.name, self.help, names, registry=Instrument.registry, **self.options
        )


class Counter(Instrument):
    """A number that only grows; its name ends in `_total`."""

    kind = "Counter"

    def count(self, *values: str, by: float = 1.0) -> None:
        """Count one event, or `by`, under the values of the labels."""
        if Instrument.registry is not None:
            self.series(values).inc(by)


class Gauge(Instrument):
    """A number that grows and shrinks; the numbers of the processes that run are added up."""

    def __init__(self, name: str, help: str, *labels: Label) -> None:  # noqa: A002 - as above
        super().__init__(name, help, *labels, multiprocess_mode="livesum")

    def change(self, by: float, *values: str) -> None:
        """Add to the number."""
        if Instrument.registry is not None:
            self.series(values).inc(by)

    def set(self, number: float, *values: str) -> None:
        """Set the number of this process."""
        if Instrument.registry is not None:
            self.series(values).set(number)

    @contextmanager
    def held(self, *values: str) -> Iterator[None]:
        """Add 1 while the block runs."""
        self.change(1, *values)
        try:
            yield
        finally:
            self.change(-1, *values)


class Histogram(Instrument):
    """Durations in seconds, in buckets; its name ends in `_seconds`."""

    kind = "Histogram"

    def __init__(self, name: str, help: str, *labels: Label, buckets: tuple[float, ...]) -> None:  # noqa: A002 - as above
        super().__init__(name, help, *labels, buckets=buckets)
        self.width = len(buckets) + 2  # one number for each bucket, one for what is longer than all, and the sum

    def observe(self, seconds: float, *values: str) -> None:
        """Note a duration."""
        if Instrument.registry is not None:
            self.series(values).observe(seconds)

    @contextmanager
    def timed(self, *values: str) -> Iterator[None]:
        """Note the duration of the block."""
        start = perf_counter()
        try:
            yield
        finally:
            self.observe(perf_counter() - start, *values)


class Reading(Instrument):
    """A gauge that is read from the database when somebody asks for the metrics."""


def start(process: str = "") -> "CollectorRegistry":
    """Count from now on, in memory or in the files of `process` (`idp.metrics.listener.serving_apart`).

    A file belongs to one process at a time: no process waits for another. One that replaces a dead process has its
    name, and counts on where that one ended: files would fill the memory if each process had its own.

    Returns:
        The metrics of this process.
    """
    from prometheus_client import CollectorRegistry, disable_created_metrics, values  # noqa: PLC0415 - as above

    end()
    disable_created_metrics()
    values.ValueClass = values.MultiProcessValue(lambda: process) if process else values.MutexValue
    Instrument.registry = CollectorRegistry()
    return Instrument.registry


def end() -> None:
    """Count nothing from now on."""
    Instrument.registry = None
    for metric in Instrument.all.values():
        metric.forget()


def forget_gauges(process: str) -> None:
    """Remove the gauges of a process that counted in files, and has ended."""
    if Instrument.registry is not None:
        from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415 - as above

        mark_process_dead(process)


def start_at_zero() -> None:
    """Let the series of this process with labels start at 0, and all its counters, when all labels have their values.

    Prometheus sees no rise in a series that is new, and would miss the first event after each start. A gauge without
    labels may be a time, which is not known before its first value.
    """
    for metric in Instrument.all.values():
        known = [label.known() for label in metric.labels]
        counts = isinstance(metric, Counter | Histogram) or (isinstance(metric, Gauge) and known)
        if counts and prod(map(len, known)) * metric.width <= _MOST_AT_ZERO:
            for values in product(*known):
                metric.series(values)


Sample = tuple[Instrument, tuple[str, ...], float]  # the metric, the values of its labels, and the number
Read = Callable[[], Iterable[Sample]]


@dataclass(frozen=True)
class Subject:
    """What is read together, by a connection and the settings; it is kept for `period` seconds."""

    read: Callable[[Any, Any], Iterable[Sample]]
    period: float = 10.0
