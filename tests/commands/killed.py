"""Kill purges at one commit after the other: `python -m tests.commands.killed DATABASE STEP`.

Each child process is killed STEP commits later than the one before, until a child reaches the end. Print the number of
killed processes.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import event

from idp.db import db
from idp.operations.purge.commands import purge
from tests.applications import inherited
from tests.databases import settings_for

_MOST = 400


def arm(countdown: int) -> None:
    left = countdown

    def count(_connection: Any) -> None:
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(db.engine, "commit", count)


def live(database: str, countdown: int) -> None:
    with inherited(settings_for(database, database_pool=2)).app_context():
        arm(countdown)
        assert purge.callback is not None
        purge.callback(as_json=False)


def main(database: str, step: str) -> None:
    inherited(settings_for(database, database_pool=2))
    for killed, number in enumerate(range(1, _MOST, int(step))):
        child = os.fork()
        if not child:
            with Path(os.devnull).open("w") as nowhere:
                os.dup2(nowhere.fileno(), 1)
                live(database, number)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            assert os.WEXITSTATUS(status) == 0
            sys.stdout.write(f"{killed}\n")
            return
    sys.exit("it never came to its end")


if __name__ == "__main__":
    main(*sys.argv[1:])
