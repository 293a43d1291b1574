"""A process that has read (`reads`) or that writes (`writes`) until a file appears (see test_transactions).

`python -m tests.database.holding URL WAY FILE` prints `ready` once it has executed its statement.
"""

import sys
import time
from pathlib import Path

from flask import Flask
from sqlalchemy import select, update

from idp.clients.models import Client
from idp.db import db, engine_options, unit_of_work


def main() -> None:
    database_url, way, file = sys.argv[1:]
    app = Flask("holding")
    app.config["SQLALCHEMY_DATABASE_URI"] = database_url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = engine_options(pool_size=1)
    db.init_app(app)
    with app.app_context():
        if way == "reads":
            db.session.scalars(select(Client)).one()
            _hold(Path(file))
        else:
            with unit_of_work():
                db.session.execute(update(Client).values(version=Client.version + 1))
                _hold(Path(file))
        db.session.remove()
        db.engine.dispose()


def _hold(file: Path) -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    until = time.monotonic() + 60
    while not file.exists() and time.monotonic() < until:
        time.sleep(0.01)


if __name__ == "__main__":
    main()
