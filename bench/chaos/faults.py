"""The faults. Each is a function that breaks something for some seconds and mends it."""

import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.chaos.service import Service

_BETWEEN_KILLS = 10.0
"""Seconds. A server whose worker ends twice within five seconds takes itself for broken and ends, for systemd."""

_STEP = 120
"""Seconds by which a clock is wrong."""


@dataclass(frozen=True)
class Fault:
    """A fault.

    Attributes:
        strike: breaks the service for the seconds that it is given; returns how often it broke requests in progress.
        log: the file that the server writes its log to; None for an ordinary one.
        steps_clock: whether the server has a clock of its own.
    """

    strike: Callable[[Service, float], int]
    log: Path | None = None
    steps_clock: bool = False


def _server_killed(service: Service, seconds: float) -> int:
    return _repeat(service.kill_server_worker, seconds)


def _worker_killed(service: Service, seconds: float) -> int:
    _repeat(service.kill_worker, seconds)
    return 0


def _repeat(kill: Callable[[], None], seconds: float) -> int:
    """Kill at once, and then again and again until the time is over; return how often."""
    until, kills = time.monotonic() + seconds, 0
    while (left := until - time.monotonic()) > 0:
        kill()
        kills += 1
        time.sleep(min(left, _BETWEEN_KILLS))
    return kills


def _database_stopped(service: Service, seconds: float) -> int:
    service.database.stop()
    time.sleep(seconds)
    service.database.start()
    return 1


def _database_frozen(service: Service, seconds: float) -> int:
    service.database.send(signal.SIGSTOP)
    time.sleep(seconds)
    service.database.send(signal.SIGCONT)
    return 1


def _mail_stopped(service: Service, seconds: float) -> int:
    service.mailbox.close()
    time.sleep(seconds)
    service.mailbox.open()
    return 0


def _mail_slow(service: Service, seconds: float) -> int:
    service.mailbox.mood = "slow"
    time.sleep(seconds)
    service.mailbox.mood = "ready"
    return 0


def _mail_refused(service: Service, seconds: float) -> int:
    service.mailbox.mood = "refusing"
    time.sleep(seconds)
    service.mailbox.mood = "ready"
    return 0


def _ent_hangs(service: Service, seconds: float) -> int:
    service.back_channel.hangs = True
    time.sleep(seconds)
    service.back_channel.hangs = False
    return 0


def _clock_stepped(service: Service, seconds: float) -> int:
    """Let the clock of the server be fast, right, slow and right again; codes expire at once where it jumps ahead."""
    if service.clock:
        for offset in (_STEP, 0, -_STEP, 0):
            service.clock.step(offset)
            time.sleep(seconds / 4)
    return 2


def _none(_service: Service, seconds: float) -> int:
    time.sleep(seconds)
    return 0


FAULTS: Mapping[str, Fault] = {
    "none": Fault(_none),
    "server worker killed": Fault(_server_killed),
    "outbox worker killed": Fault(_worker_killed),
    "database stopped": Fault(_database_stopped),
    "database frozen": Fault(_database_frozen),
    "SMTP stopped": Fault(_mail_stopped),
    "SMTP slow": Fault(_mail_slow),
    "SMTP refusing": Fault(_mail_refused),
    "ENT hanging": Fault(_ent_hangs),
    "clock stepped": Fault(_clock_stepped, steps_clock=True),
    "log disk full": Fault(_none, log=Path("/dev/full")),
}
"""By name, in the order of the report."""
