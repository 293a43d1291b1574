"""A process that has read (`reads`) or that writes (`writes`) until a file appears (see test_transactions).

`python -m tests.database.holding URL WAY FILE` prints `ready` once it has executed its statement.
"""

import sys
import time
from pathlib import Path

from sqlalchemy import select, update

from idp.clients.models import Client
from idp.db import db, unit_of_work
from tests.outbox.application import running


def main() -> None:
    database_url, way, file = sys.argv[1:]
    with running(database_url):
        if way == "reads":
            db.session.scalars(select(Client)).one()
            _hold(Path(file))
        else:
            with unit_of_work():
                db.session.execute(update(Client).values(version=Client.version + 1))
                _hold(Path(file))


def _hold(file: Path) -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    until = time.monotonic() + 60
    while not file.exists() and time.monotonic() < until:
        time.sleep(0.01)


if __name__ == "__main__":
    main()
