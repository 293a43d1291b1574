"""Kill imports: `python -m tests.rostering.killed DATABASE FOLDER STATEMENT…`.

For each STATEMENT, a child process imports the folder and is killed before its statement of that number; the next child
continues from there. The last child runs to the end. Print the number of killed processes. The import's batches are
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
from idp.rostering.imports import FORCED, Steps
from idp.rostering.records import Form
from idp.rostering.write import apply
from tests.applications import inherited
from tests.databases import settings_for


def arm(countdown: int) -> None:
    left = countdown

    def count(*_: Any) -> None:
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(db.engine, "before_cursor_execute", count)
    event.listen(db.engine, "commit", count)


def live(database: str, folder: Path, countdown: int) -> None:
    apply._PAGE, apply._SMALL_PAGE = 3, 2
    with inherited(settings_for(database, database_pool=2)).app_context():
        if countdown:
            arm(countdown)
        imports.run(settings_for(database), [folder], Form(today=date(2026, 10, 1)), Steps(), FORCED).staging.close()


def main(database: str, folder: str, *statements: str) -> None:
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
