"""The faults. Each is a function that breaks something for some seconds and mends it."""

import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain, cycle, repeat
from pathlib import Path

from bench import machine
from bench.chaos import flood
from bench.chaos.load import Injection
from bench.chaos.service import Service
from bench.driver.relying_party import WrongAnswerError
from bench.driver.transport import CutConnectionError

_KILLS = 10
"""Of `idp worker`, at least."""
_SERVER_KILLS = 6
"""Of workers of the server, at least: three times the oldest and the youngest."""
_SAME_SERVER_KILLS = 5
_STARTS_BETWEEN_SERVER_KILLS = 3
"""How often this machine could start the server before the next worker is killed."""
_OLDEST, _YOUNGEST = 0, -1
_BETWEEN_WORKER_KILLS = 1.0
_AFTER_FLOOD = 3.0
"""The seconds after a flood in which everybody is served again, without the time in which others used the cores."""
_MOST_FOREIGN = 0.1
"""The share of the cores that others use on a quiet machine."""

_STEP = 120
"""Seconds by which a clock is wrong."""


@dataclass(frozen=True)
class Fault:
    """A fault.

    Attributes:
        inject: breaks the service for the seconds that it is given; returns when it broke requests in progress.
        interrupts: how a flow may fail that was in progress then: a kill cuts its connection, and a database that
            goes away or a code that expires gives it another answer.
        log: the file that the server writes its log to; None for an ordinary one.
        steps_clock: whether the server has a clock of its own.
        makes_wait: whether people may be asked to wait; under other faults, a flow that waited counts as a failed one.
    """

    inject: Callable[[Service, float], list[Injection]]
    interrupts: type[Exception] = WrongAnswerError
    log: Path | None = None
    steps_clock: bool = False
    makes_wait: bool = False


def _server_killed(service: Service, seconds: float) -> list[Injection]:
    def rest() -> None:
        service.await_server_workers()
        time.sleep(_STARTS_BETWEEN_SERVER_KILLS * service.server.cold_start)

    kills = cycle(partial(service.kill_server_worker, place) for place in (_OLDEST, _YOUNGEST))
    return _repeat(kills, seconds, _SERVER_KILLS, rest)


def _same_server_killed(service: Service, seconds: float) -> list[Injection]:
    """Kill one worker, and again as soon as it is replaced: its replacement is always the youngest."""
    kills = (partial(service.kill_server_worker, place) for place in chain([_OLDEST], repeat(_YOUNGEST)))
    return _repeat(kills, seconds, _SAME_SERVER_KILLS, service.await_server_workers)


def _worker_killed(service: Service, seconds: float) -> list[Injection]:
    _repeat(repeat(service.kill_worker), seconds, _KILLS, partial(time.sleep, _BETWEEN_WORKER_KILLS))
    return []


def _timed(inject: Callable[[], None]) -> Injection:
    """Inject a fault; return when."""
    before = time.monotonic()
    inject()
    return before, time.monotonic()


def _repeat(
    kills: Iterable[Callable[[], None]], seconds: float, least: int, rest: Callable[[], None]
) -> list[Injection]:
    """Kill at once, and then after each rest until the time is over, but `least` times at least; return when."""
    until = time.monotonic() + seconds
    killed: list[Injection] = []
    for kill in kills:
        killed.append(_timed(kill))
        rest()
        if time.monotonic() >= until and len(killed) >= least:
            break
    return killed


def _database_stopped(service: Service, seconds: float) -> list[Injection]:
    injection = _timed(service.database.stop)
    time.sleep(seconds)
    service.database.start()
    return [injection]


def _database_frozen(service: Service, seconds: float) -> list[Injection]:
    injection = _timed(partial(service.database.send, signal.SIGSTOP))
    time.sleep(seconds)
    service.database.send(signal.SIGCONT)
    return [injection]


def _mail_stopped(service: Service, seconds: float) -> list[Injection]:
    service.mailbox.close()
    time.sleep(seconds)
    service.mailbox.open()
    return []


def _mail_slow(service: Service, seconds: float) -> list[Injection]:
    service.mailbox.mood = "slow"
    time.sleep(seconds)
    service.mailbox.mood = "ready"
    return []


def _mail_refused(service: Service, seconds: float) -> list[Injection]:
    service.mailbox.mood = "refusing"
    time.sleep(seconds)
    service.mailbox.mood = "ready"
    return []


def _ent_hangs(service: Service, seconds: float) -> list[Injection]:
    service.back_channel.hangs = True
    time.sleep(seconds)
    service.back_channel.hangs = False
    return []


def _clock_stepped(service: Service, seconds: float) -> list[Injection]:
    """Let the clock of the server be fast, right, slow and right again; codes expire at once where it jumps ahead."""
    ahead = []
    if service.clock:
        for offset, jumps_ahead in ((_STEP, True), (0, False), (-_STEP, False), (0, True)):
            injection = _timed(partial(service.clock.step, offset))
            if jumps_ahead:
                ahead.append(injection)
            time.sleep(seconds / 4)
    return ahead


def _flooded(service: Service, seconds: float) -> list[Injection]:
    """Flood the service; then a quiet machine has one try to serve everybody, and a busy one until it had the cores."""
    flood.flood(service.port, seconds)
    began, foreign = time.monotonic(), machine.foreign_seconds(*service.roots)
    had, served = 0.0, 0
    while had < _AFTER_FLOOD * (1 - _MOST_FOREIGN) and served < flood.PEOPLE:
        time.sleep(_AFTER_FLOOD)
        taken = (machine.foreign_seconds(*service.roots) - foreign) / (os.cpu_count() or 1)
        had = time.monotonic() - began - taken
        served = flood.people_served(service.port)
    if served < flood.PEOPLE:
        service.faults.append(
            f"{served} of {flood.PEOPLE} people were served after the flood, when the service had had the cores for"
            f" {had:.1f} s, and other processes for {taken:.1f} s"
        )
    return []


def _none(_service: Service, seconds: float) -> list[Injection]:
    time.sleep(seconds)
    return []


FAULTS: Mapping[str, Fault] = {
    "none": Fault(_none),
    "server worker killed": Fault(_server_killed, interrupts=CutConnectionError),
    "same worker killed": Fault(_same_server_killed, interrupts=CutConnectionError),
    "outbox worker killed": Fault(_worker_killed),
    "database stopped": Fault(_database_stopped, makes_wait=True),
    "database frozen": Fault(_database_frozen, makes_wait=True),
    "SMTP stopped": Fault(_mail_stopped),
    "SMTP slow": Fault(_mail_slow),
    "SMTP refusing": Fault(_mail_refused),
    "ENT hanging": Fault(_ent_hangs),
    "clock stepped": Fault(_clock_stepped, steps_clock=True),
    "flood": Fault(_flooded, makes_wait=True),
    "log disk full": Fault(_none, log=Path("/dev/full")),
}
"""By name, in the order of the report."""
