"""Answers with the metrics of the processes of one command, in Prometheus' formats."""

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Info
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder

from idp import __version__
from idp.metrics.instruments import Read

if TYPE_CHECKING:
    from idp.metrics.instruments import Instrument


def add_build(registry: CollectorRegistry, part: str) -> None:
    """Add the metric that says which version and command answers: `serve`, `worker` or `desk`."""
    build = Info("idp_build", "The version, and the command.", registry=registry)
    build.info({"version": __version__, "part": part})


class Readings:
    """Collects the numbers that are read when somebody asks."""

    def __init__(self, read: Read) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics that have a number."""
        series: dict[Instrument, dict[tuple[str, ...], float]] = defaultdict(dict)
        for metric, values, number in self._read():
            series[metric][metric.named(values)] = number
        for metric, numbers in series.items():
            family = GaugeMetricFamily(metric.name, metric.help, labels=[label.name for label in metric.labels])
            for named, number in numbers.items():
                family.add_metric(named, number)
            yield family


def text(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """Return all metrics and their media type, in the format that the client prefers."""
    try:
        encode, media_type = choose_encoder(accept)
    except (TypeError, ValueError):  # the version of a format is no version number
        encode, media_type = choose_encoder("")
    return encode(registry), media_type
