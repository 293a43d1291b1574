"""Kill this process at a statement, for tests that kill an operation at each of its statements."""

import os
import signal
from pathlib import Path
from typing import Any

from sqlalchemy import event

from idp.db import db


def arm(countdown: int, note: Path) -> None:
    """Kill this process before its `countdown`-th statement or commit; write that statement into `note`."""
    left = countdown

    def count(what: str) -> None:
        nonlocal left
        left -= 1
        if not left:
            note.write_text(what)
            os.kill(os.getpid(), signal.SIGKILL)

    def statement(_connection: Any, _cursor: Any, text: str, *_more: Any) -> None:
        count(" ".join(text.split())[:60])

    event.listen(db.engine, "before_cursor_execute", statement)
    event.listen(db.engine, "commit", lambda _connection: count("COMMIT"))
