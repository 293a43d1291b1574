"""Run one function of the tests in several processes at once (`tests.crowd`), each with its own connections."""

import importlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Flask

from idp.app import create_app
from idp.config import Settings
from idp.desk_app import create_desk
from tests import applications, crowd, forked
from tests.databases import settings_for

PATIENCE = 400


@dataclass
class Racer:
    """What one of the processes has: its number, the order of the test, and the wait for all others."""

    app: Flask
    settings: Settings
    order: Any
    number: int
    wait_for_others: crowd.Wait


def race(act: Callable[[Racer], Any], database: str, order: Any, *, processes: int = 4, at_desk: bool = False) -> Any:
    """Run `act`, a function at the top of a module, in each process; return the answers, which are JSON."""
    names = [act.__module__, act.__name__, database, str(processes), str(int(at_desk))]
    return json.loads(forked.succeed("tests.racing", *names, stdin=json.dumps(order), timeout=PATIENCE))


def main(module: str, name: str, database: str, processes: str, at_desk: str) -> None:
    order, act = json.load(sys.stdin), getattr(importlib.import_module(module), name)
    settings = settings_for(database, database_pool=2)
    app = applications.make(settings, create_desk if int(at_desk) else create_app)

    def run(wait: crowd.Wait, number: int) -> Any:
        return act(Racer(app, settings, order, number, wait))

    json.dump(crowd.gather(run, [(number,) for number in range(int(processes))]), sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
