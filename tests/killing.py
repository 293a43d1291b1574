"""Kill this process at a statement, for tests that kill an operation at each of its statements.

`make test` kills before each write and commit: in front of a read, the database is as it is in front of the next write.
`make test-long` kills before each statement.
"""

import os
import signal
from pathlib import Path

import pytest
from sqlalchemy import event

from idp.db import db
from tests.statements.lending import hear

WRITES, STATEMENTS = "writes", "statements"
POINTS = [WRITES, pytest.param(STATEMENTS, marks=pytest.mark.long)]
"""For `parametrize`: the statements before which an operation is killed, commits included."""
_READS = ("SELECT", "PRAGMA")


def arm(countdown: int, note: Path, points: str = STATEMENTS) -> None:
    """Kill this process before its `countdown`-th point (`POINTS`); write the statement into `note`."""
    left = countdown

    def count(what: str) -> None:
        nonlocal left
        left -= 1
        if not left:
            note.write_text(what)
            os.kill(os.getpid(), signal.SIGKILL)

    def statement(text: str) -> None:
        if points == STATEMENTS or not text.lstrip().startswith(_READS):
            count(" ".join(text.split())[:60])

    hear(pytest.MonkeyPatch(), statement)  # until the end of this process
    event.listen(db.engine, "commit", lambda _connection: count("COMMIT"))
