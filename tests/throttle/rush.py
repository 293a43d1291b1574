"""Request slots of one rate limit from many processes at once: `python -m tests.throttle.rush` (see test_guard).

The parent process imports the code and forks the others; each opens its own connection, and all start at one barrier.
"""

import json
import sys
from dataclasses import replace
from datetime import timedelta
from typing import Any

from flask import Flask

from idp import config
from idp.db import db, engine_options
from idp.services import services_of
from idp.statements import open_connections
from idp.throttle import guard, limits
from tests.crowd import Wait, gather
from tests.services import change_services


def run(wait: Wait, order: dict[str, Any]) -> int:
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
        wait()
        verdicts = [guard.take(limit, order["subject"]) for _ in range(order["tries"])]
        db.engine.dispose()
    return sum(isinstance(verdict, guard.Granted) for verdict in verdicts)


def main() -> None:
    order = json.loads(sys.argv[1])
    sys.stdout.write(f"{sum(gather(run, [(order,)] * order['processes']))}\n")


if __name__ == "__main__":
    main()
