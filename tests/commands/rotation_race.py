"""Change keys from several processes at once: `python -m tests.commands.rotation_race`.

The parent process imports the code and forks the others, each with its own application and connections. In each round
the clock moves on by three months, all wait at a barrier, and each runs the act of the order. The order is JSON on
standard input. Print, as JSON, the output of each process in each round.
"""

import json
import multiprocessing
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import time_machine
from flask import Flask

from idp.config import Settings
from idp.oidc.keys import ring, rotation
from idp.outbox.worker import Worker
from idp.services import services_of
from tests.applications import inherited
from tests.databases import settings_for

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue
    from multiprocessing.synchronize import Barrier

QUARTER = timedelta(days=91)
ROTATIONS = {rotation.ROTATION: rotation.ROTATION_PERIOD}
"""The worker's job for key rotation."""
Act = Callable[[], str]


def work(app: Flask, _settings: Settings) -> Act:
    return lambda: str(Worker(services_of(app).outbox_handlers, jobs=ROTATIONS).run_once())


def tend(_app: Flask, settings: Settings) -> Act:
    return lambda: str(rotation.tend(settings))


def rotate(_app: Flask, settings: Settings) -> Act:
    def act() -> str:
        try:
            return rotation.rotate(settings).kid
        except rotation.NextKeyExistsError:
            return ""

    return act


def drop(_app: Flask, settings: Settings) -> Act:
    kid = ring.KeyRing(settings).signer("RS256").kid

    def act() -> str:
        successor = rotation.drop(settings, kid)
        return successor.kid if successor else ""

    return act


ACTS: dict[str, Callable[[Flask, Settings], Act]] = {"work": work, "tend": tend, "rotate": rotate, "drop": drop}


def run(order: dict[str, Any], barrier: "Barrier", answers: "SimpleQueue[list[str]]") -> None:
    settings, results = settings_for(order["database"], database_pool=2), []
    app = inherited(settings)
    start = datetime.fromisoformat(order["start"])
    for number in range(1, order["rounds"] + 1):
        with time_machine.travel(start + number * QUARTER), app.app_context():
            act = ACTS[order["act"]](app, settings)
            barrier.wait(120)
            results.append(act())
            barrier.wait(120)
    answers.put(results)


def main() -> None:
    order = json.load(sys.stdin)
    context = multiprocessing.get_context("fork")
    inherited(settings_for(order["database"], database_pool=2))
    barrier = context.Barrier(order["processes"])
    queues = [context.SimpleQueue() for _ in range(order["processes"])]
    crowd = [context.Process(target=run, args=(order, barrier, queue)) for queue in queues]
    for process in crowd:
        process.start()
    for process in crowd:
        process.join(timeout=300)
    if any(process.exitcode != 0 for process in crowd):
        sys.exit("a process failed")
    json.dump([queue.get() for queue in queues], sys.stdout)


if __name__ == "__main__":
    main()
