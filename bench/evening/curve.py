"""Who arrives when: the shape of an evening, in phases, and the mix of what people come for."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

PEAK = 50.0
"""Sign-ins per second in the busiest phase by default; an académie of 800,000 parents expects 40 to 60."""
SHAPE: Mapping[str, float] = {"18:00": 0.3, "19:00": 0.6, "20:00": 1.0, "20:30": 1.0, "21:00": 0.7, "22:00": 0.3}
"""The phases, and their share of the peak."""
MIX: Mapping[str, float] = {"sign-in": 1.0, "sign-on": 0.5, "activation": 0.15, "recovery": 0.05}
"""What people come for, as a share of the sign-ins: a password, another site with an open session, a letter, a
forgotten password."""


@dataclass(frozen=True)
class Arrival:
    """One person who arrives: seconds after the beginning, the name of the phase, and what for."""

    at: float
    phase: str
    purpose: str


def arrivals(peak: float, seconds: float, chance: random.Random) -> Iterator[Arrival]:
    """Yield who arrives during phases of `seconds` each, in the order of time, at random like strangers (Poisson)."""
    purposes, shares = list(MIX), list(MIX.values())
    begin = 0.0
    for phase, share in SHAPE.items():
        at, rate = begin, share * peak * sum(shares)
        begin += seconds
        while (at := at + chance.expovariate(rate)) < begin:
            yield Arrival(at, phase, chance.choices(purposes, shares)[0])
