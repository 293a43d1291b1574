"""Answers with the metrics of the processes of one command, in Prometheus' formats."""

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Info
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from idp import __version__
from idp.metrics.instruments import Read

if TYPE_CHECKING:
    from idp.metrics.instruments import Instrument


class Processes:
    """Collects what the processes have counted whose files are in `folder`."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._files = MultiProcessCollector(None, folder)

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics; the gauges are those of the processes that run."""
        for file in Path(self._folder).glob("gauge_*.db"):
            number = int(file.stem.rpartition("_")[2])
            if not _runs(number):
                mark_process_dead(number, self._folder)
        yield from self._files.collect()


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


def _runs(number: int) -> bool:
    try:
        os.kill(number, 0)
    except OSError:  # it has ended, or a process of somebody else has its number
        return False
    return True
