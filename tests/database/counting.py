"""Increment a number from several processes, by a read and a write (see test_engine).

The parent process imports the code and forks the others; each opens its own connections, and all start at one barrier.
"""

import multiprocessing
import sys
from typing import TYPE_CHECKING

from sqlalchemy import select

from idp.clients.models import Client
from idp.db import db, unit_of_work
from tests.outbox.application import running

if TYPE_CHECKING:
    from multiprocessing.synchronize import Barrier


def run(database_url: str, times: int, barrier: "Barrier") -> None:
    with running(database_url):
        locked = select(Client).with_for_update().execution_options(populate_existing=True)
        barrier.wait(60)
        for _ in range(times):
            db.session.scalars(select(Client.version)).one()
            with unit_of_work():
                row = db.session.scalars(locked).one()
                row.version = row.version + 1


def main() -> None:
    database_url, processes, times = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(processes)
    crowd = [context.Process(target=run, args=(database_url, times, barrier)) for _ in range(processes)]
    for process in crowd:
        process.start()
    for process in crowd:
        process.join(300)
    raise SystemExit(max(abs(process.exitcode) if process.exitcode is not None else 1 for process in crowd))


if __name__ == "__main__":
    main()
