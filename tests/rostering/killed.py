"""Imports that are killed in the middle: `python -m tests.rostering.killed DATABASE FOLDER STATEMENT…`.

One child for each STATEMENT imports the folder and dies as it is about to run that many statements, as at a power cut;
the next one goes on from what it left. The last child runs to the end. Prints how many were killed. Pages are made
small, so that a small school has many of them.
"""

import os
import signal
import sys
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import event

from idp.db import db
from idp.rostering import imports
from idp.rostering.imports import Steps
from idp.rostering.records import Form
from idp.rostering.write import apply
from tests.applications import inherited
from tests.databases import settings_for

NOWHERE = Steps(reading=lambda _: None, comparing=lambda _: None, writing=lambda _: None, plan_size=lambda *_: None)


def arm(countdown: int) -> None:
    """Die at the `countdown`-th statement or commit from now on."""
    left = countdown

    def count(*_: Any) -> None:
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(db.engine, "before_cursor_execute", count)
    event.listen(db.engine, "commit", count)


def live(database: str, folder: Path, countdown: int) -> None:
    """Import, as far as the countdown lets it; 0 lets it come to its end."""
    apply._PAGE, apply._SMALL_PAGE = 3, 2
    with inherited(settings_for(database, database_pool=2)).app_context():
        if countdown:
            arm(countdown)
        imports.run(
            settings_for(database), [folder], Form(today=date(2026, 10, 1)), NOWHERE, force=True
        ).staging.close()


def main(database: str, folder: str, *statements: str) -> None:
    """Kill one child after the other, then let one live."""
    killed = 0
    inherited(settings_for(database, database_pool=2))
    for countdown in (*map(int, statements), 0):
        child = os.fork()
        if not child:
            live(database, Path(folder), countdown)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        killed += os.WIFSIGNALED(status)
        assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    sys.stdout.write(f"{killed}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
