"""Counters, gauges and histograms. They count in the block of this process, and nothing if it has none.

A label has a closed set of values, and any other value becomes `other`: no series can name a person or grow in number
by what strangers send.
"""

import os
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import product
from math import prod
from time import perf_counter
from typing import ClassVar

from idp.metrics.memory import Block, FullError, Memory

OTHER = "other"
_MOST_AT_ZERO = 250
"""Numbers of one metric that start at 0, at most: all pages with all statuses are too many for each answer."""


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
        width: how many numbers a series has.
    """

    all: ClassVar[dict[str, "Instrument"]] = {}
    """All metrics by their names."""
    block: ClassVar[Block | None] = None
    """Where this process counts."""
    width = 1

    def __init__(self, name: str, help: str, *labels: Label) -> None:  # noqa: A002 - as Prometheus calls it
        self.name, self.help, self.labels = name, help, labels
        self._places: dict[tuple[str, ...], int] = {}
        Instrument.all[name] = self

    def _place(self, block: Block, values: tuple[str, ...]) -> int:
        """Return the place of the series with these label values; 0 if there is no room. Hold the lock."""
        place = self._places.get(values)
        if place is not None:
            return place
        known = self.named(values)
        try:
            place = block.place_of((self.name, *known), self.width)
        except FullError:
            return 0
        if known == values:  # other values must not fill the memory of the process
            self._places[values] = place
        return place

    def named(self, values: Iterable[str]) -> tuple[str, ...]:
        """Return the values of the labels, each of which is one that its label has."""
        return tuple(label.value_of(value) for label, value in zip(self.labels, values, strict=True))

    def _add(self, values: tuple[str, ...], by: float) -> None:
        block = Instrument.block
        if block is None:
            return
        with block.lock:
            if place := self._place(block, values):
                block.numbers[place] += by


class Counter(Instrument):
    """A number that only grows; its name ends in `_total`."""

    def count(self, *values: str, by: float = 1.0) -> None:
        """Count one event, or `by`, under the values of the labels."""
        self._add(values, by)


class Gauge(Instrument):
    """A number that grows and shrinks; the processes' numbers are added up."""

    def change(self, by: float, *values: str) -> None:
        """Add to the number."""
        self._add(values, by)

    def set(self, number: float, *values: str) -> None:
        """Set the number of this process."""
        block = Instrument.block
        if block is None:
            return
        with block.lock:
            if place := self._place(block, values):
                block.numbers[place] = number

    @contextmanager
    def held(self, *values: str) -> Iterator[None]:
        """Add 1 while the block runs."""
        self._add(values, 1)
        try:
            yield
        finally:
            self._add(values, -1)


class Histogram(Instrument):
    """Durations in seconds, in buckets; its name ends in `_seconds`."""

    def __init__(self, name: str, help: str, *labels: Label, buckets: tuple[float, ...]) -> None:  # noqa: A002 - as above
        super().__init__(name, help, *labels)
        self.buckets = buckets
        self.width = len(buckets) + 2
        """One number for each bucket, one for what is longer than all, and the sum."""

    def observe(self, seconds: float, *values: str) -> None:
        """Note a duration."""
        block = Instrument.block
        if block is None:
            return
        with block.lock:
            if place := self._place(block, values):
                block.numbers[place + bisect_left(self.buckets, seconds)] += 1
                block.numbers[place + self.width - 1] += seconds

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


def attach(memory: Memory) -> None:
    """Count from now on in a block of `memory`; without one if all blocks have a process."""
    block = memory.claim()
    if block is not None:
        block.clear([name for name, metric in Instrument.all.items() if isinstance(metric, Gauge)])
    _count_in(block)


def start_at_zero() -> None:
    """Let the series of this process with labels start at 0, and all its counters, when all labels have their values.

    Prometheus sees no rise in a series that is new, and would miss the first event after each start. A gauge without
    labels may be a time, which is not known before its first value.
    """
    block = Instrument.block
    if block is None:
        return
    with block.lock:
        for metric in Instrument.all.values():
            known = [label.known() for label in metric.labels]
            counts = isinstance(metric, Counter | Histogram) or (isinstance(metric, Gauge) and known)
            if counts and prod(map(len, known)) * metric.width <= _MOST_AT_ZERO:
                for values in product(*known):
                    metric._place(block, values)  # noqa: SLF001 - as below


def _count_in(block: Block | None) -> None:
    Instrument.block = block
    for metric in Instrument.all.values():
        metric._places.clear()  # noqa: SLF001 - this module owns the class


def detach() -> None:
    """Count nothing from now on."""
    _count_in(None)


os.register_at_fork(after_in_child=detach)  # two processes must not write into one block
