"""Run one function of the tests in several processes at once.

The parent process imports the code, makes the application and forks the others. Each has its own connections.
"""

import importlib
import json
import multiprocessing
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import Flask

from idp.app import create_app
from idp.config import Settings
from idp.desk_app import create_desk
from tests import applications, forked
from tests.databases import settings_for

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue
    from multiprocessing.synchronize import Barrier

PATIENCE = 400


@dataclass
class Racer:
    """What one of the processes has: its number, the order of the test, and the barrier at which all wait."""

    app: Flask
    settings: Settings
    order: Any
    number: int
    barrier: "Barrier"

    def wait_for_others(self) -> None:
        self.barrier.wait(120)


def race(act: Callable[[Racer], Any], database: str, order: Any, *, processes: int = 4, at_desk: bool = False) -> Any:
    """Run `act`, a function at the top of a module, in each process; return the answers, which are JSON."""
    names = [act.__module__, act.__name__, database, str(processes), str(int(at_desk))]
    return json.loads(forked.succeed("tests.racing", *names, stdin=json.dumps(order), timeout=PATIENCE))


def _run(act: Callable[[Racer], Any], racer: Racer, answers: "SimpleQueue[Any]") -> None:
    answers.put(act(racer))


def main(module: str, name: str, database: str, processes: str, at_desk: str) -> None:
    order, act = json.load(sys.stdin), getattr(importlib.import_module(module), name)
    settings = settings_for(database, database_pool=2)
    app = applications.make(settings, create_desk if int(at_desk) else create_app)
    context = multiprocessing.get_context("fork")
    barrier, answers = context.Barrier(int(processes)), context.SimpleQueue()
    racers = [Racer(app, settings, order, number, barrier) for number in range(int(processes))]
    crowd = [context.Process(target=_run, args=(act, racer, answers)) for racer in racers]
    for process in crowd:
        process.start()
    for process in crowd:
        process.join(PATIENCE)
    if any(process.exitcode for process in crowd):
        sys.exit("a process failed")
    json.dump([answers.get() for _ in crowd], sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
