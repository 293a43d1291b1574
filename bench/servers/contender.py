"""A participant of a comparison: a provider whose server runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.counting.cost import Cost, Request
from bench.driver.provider import Provider
from bench.driver.window import Processes


@dataclass(frozen=True)
class Contender:
    """A provider whose server runs.

    Attributes:
        cold_start: seconds from the start of its server to the first answer.
        hash_rate: passwords that a second of processor time verifies with its argon2.
        version: its software, for the report.
        costs: the requests of each scenario's flow, where they are counted.
        limits: the most that a flow may cost, by scenario.
    """

    provider: Provider
    processes: Processes
    cold_start: float
    hash_rate: float
    version: str
    costs: Mapping[str, Sequence[Request]] = field(default_factory=dict)
    limits: Mapping[str, Cost] = field(default_factory=dict)
