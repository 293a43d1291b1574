"""Kill sealers and purges at one statement after the other: `python -m tests.audit.killed DATABASE ACT POINTS`.

ACT is `seal` or `purge`, POINTS as in `tests.killing`. The chain must be valid after each kill. Print the number of
killed processes.
"""

import os
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from flask import Flask

from idp.audit import sealing
from idp.audit.verifying import Check
from idp.clock import now
from idp.operations.purge import commands
from idp.services import services_of
from tests.applications import inherited
from tests.databases import settings_for
from tests.killing import arm

_MOST = 400


def live(app: Flask, act: str, countdown: int, points: str, note: Path) -> None:
    settings = services_of(app).settings
    with app.app_context():
        arm(countdown, note, points)
        if act == "seal":
            sealing.BATCH = 7
            sealing.seal_all(settings.secrets)
        else:
            commands._journal(settings, now())
    os._exit(0)


def check(app: Flask) -> None:
    """Verify the journal in a separate process, which closes its connections when it ends."""
    with app.app_context():
        wrong = list(Check(services_of(app).settings.secrets).findings())
    os._exit(1 if wrong else 0)


def forked(act: Callable[[], None]) -> int:
    child = os.fork()
    if not child:
        try:
            act()
        finally:
            os._exit(2)
    return os.waitpid(child, 0)[1]


def main(database: str, act: str, points: str) -> None:
    app = inherited(settings_for(database, database_pool=2))  # opens no connection
    note = Path(tempfile.mkdtemp()) / "note"
    for number in range(1, _MOST):
        status = forked(partial(live, app, act, number, points, note))
        if forked(partial(check, app)):
            sys.exit(f"invalid chain after a kill at {note.read_text()}")
        if not os.WIFSIGNALED(status):
            assert os.WEXITSTATUS(status) == 0
            sys.stdout.write(f"{number - 1}\n")
            return
    sys.exit("no process reached the end")


if __name__ == "__main__":
    main(*sys.argv[1:])
