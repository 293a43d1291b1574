"""Numbers that are read from elsewhere when somebody asks for the metrics."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from idp.metrics.instruments import Instrument

Sample = tuple[Instrument, tuple[str, ...], float]
"""The metric, the values of its labels, and the number."""
Read = Callable[[], Iterable[Sample]]


@dataclass(frozen=True)
class Subject:
    """What is read together.

    Attributes:
        read: is given a connection to the database and the settings, and returns the numbers.
        period: seconds for which they are kept, however often somebody asks.
    """

    read: Callable[[Any, Any], Iterable[Sample]]
    period: float = 10.0
