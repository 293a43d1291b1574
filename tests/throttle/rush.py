"""Request slots of one rate limit from many processes at once: `python -m tests.throttle.rush` (see test_guard).

The parent process imports the code and forks the others; each opens its own connection, and all start at one barrier.
"""

import json
import multiprocessing
import sys
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from flask import Flask

from idp import config
from idp.db import db, engine_options
from idp.services import services_of
from idp.statements import open_connections
from idp.throttle import guard, limits
from tests.services import change_services

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue
    from multiprocessing.synchronize import Barrier


def run(order: dict[str, Any], barrier: "Barrier", answers: "SimpleQueue[int]") -> None:
    limit = {line.name: line for line in limits.TABLE}[order["limit"]]
    if isinstance(limit, limits.Backoff):  # the pause must last longer than the test
        limit = replace(limit, steps=(timedelta(hours=1),))
    app = Flask("rush")
    settings = config.load(
        env="development",
        issuer="http://127.0.0.1:8000",
        secret_key=order["secret"],
        database_url=order["database"],
        database_pool=2,
    )
    change_services(app, settings=settings, connections=open_connections(settings))
    app.config["SQLALCHEMY_DATABASE_URI"] = order["database"]
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = engine_options(pool_size=2)
    db.init_app(app)
    with app.app_context():
        db.engine.connect().close()
        with services_of(app).connections.lend():
            pass
        barrier.wait(timeout=60)
        verdicts = [guard.take(limit, order["subject"]) for _ in range(order["tries"])]
        db.engine.dispose()
    answers.put(sum(isinstance(verdict, guard.Granted) for verdict in verdicts))


def main() -> None:
    order = json.loads(sys.argv[1])
    context = multiprocessing.get_context("fork")
    barrier, answers = context.Barrier(order["processes"]), context.SimpleQueue()
    crowd = [context.Process(target=run, args=(order, barrier, answers)) for _ in range(order["processes"])]
    for process in crowd:
        process.start()
    for process in crowd:
        process.join(timeout=90)
    if any(process.exitcode for process in crowd):
        sys.exit("a process of the rush failed")
    sys.stdout.write(f"{sum(answers.get() for _ in crowd)}\n")


if __name__ == "__main__":
    main()
