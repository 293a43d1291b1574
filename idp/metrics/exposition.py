"""Writes the metrics in Prometheus' formats."""

from collections import defaultdict
from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder

from idp import __version__
from idp.metrics import catalogue
from idp.metrics.instruments import Counter, Histogram, Instrument
from idp.metrics.memory import Memory
from idp.metrics.readings import Read

_Series = dict[str, dict[tuple[str, ...], list[float]]]


class FormatError(Exception):
    """The `Accept` header of a client has a version of a format that is not a version number."""


class Exposition:
    """The metrics of the processes of one command.

    Args:
        memory: where they count.
        part: the command: `serve`, `worker` or `desk`.
        read: returns the numbers that are read when somebody asks.
    """

    def __init__(self, memory: Memory, part: str, read: Read = tuple) -> None:
        self._memory, self._part, self._read = memory, part, read
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self, accept: str) -> tuple[bytes, str]:
        """Return all metrics and their media type, in the format that the client prefers.

        Raises:
            FormatError: `accept` has a version that is not a version number.
        """
        try:
            encode, media_type = choose_encoder(accept)
        except (TypeError, ValueError) as fault:  # from the comparison of two versions
            raise FormatError from fault
        return encode(self._registry), media_type

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics, for the registry."""
        yield InfoMetricFamily(
            "idp_build", "The version, and the command.", value={"version": __version__, "part": self._part}
        )
        series = self._counted()
        for metric, values, number in self._read():
            series[metric.name][metric.named(values)] = [number]
        lost = self._memory.lost()
        series[catalogue.SERIES_LOST.name][()] = [float(lost)]
        for name, numbers in sorted(series.items()):
            if name in Instrument.all:
                yield _family(Instrument.all[name], numbers)

    def _counted(self) -> _Series:
        series: _Series = defaultdict(dict)
        for (name, *values), numbers in self._memory.series():
            former = series[name].get(tuple(values))
            series[name][tuple(values)] = [a + b for a, b in zip(former, numbers, strict=True)] if former else numbers
        return series


def _family(metric: Instrument, series: dict[tuple[str, ...], list[float]]) -> Metric:
    names = [label.name for label in metric.labels]
    if isinstance(metric, Histogram):
        histogram = HistogramMetricFamily(metric.name, metric.help, labels=names)
        for values, numbers in sorted(series.items()):
            histogram.add_metric(values, _cumulated(metric, numbers), numbers[-1])
        return histogram
    kind = CounterMetricFamily if isinstance(metric, Counter) else GaugeMetricFamily
    family = kind(metric.name, metric.help, labels=names)
    for values, [number] in sorted(series.items()):
        family.add_metric(values, number)
    return family


def _cumulated(metric: Histogram, numbers: list[float]) -> list[tuple[str, float]]:
    total, buckets = 0.0, []
    for bound, number in zip((*map(str, metric.buckets), "+Inf"), numbers, strict=False):
        total += number
        buckets.append((bound, total))
    return buckets
