"""Kill a worker in the middle of an import: `python -m tests.desk.killed_import DATABASE COMMIT`.

The worker does the jobs that wait, and is killed before its commit of that number; with 0 it runs to the end.
"""

import os
import signal
import sys
from typing import Any

from sqlalchemy import event

from idp.db import db
from idp.desk.jobs import lifecycle
from idp.outbox.worker import Worker
from idp.rostering.write import apply
from idp.services import services
from tests.applications import inherited
from tests.databases import settings_for


def arm(countdown: int) -> None:
    left = countdown

    def count(*_: Any) -> None:
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(db.engine, "commit", count)


def main(database: str, countdown: str) -> None:
    """Do the jobs that wait, until the process is killed."""
    apply._PAGE, apply._SMALL_PAGE = 3, 2
    with inherited(settings_for(database)).app_context():
        if int(countdown):
            arm(int(countdown))
        Worker({lifecycle.JOB: services().outbox_handlers[lifecycle.JOB]}).run_once()


if __name__ == "__main__":
    main(*sys.argv[1:])
