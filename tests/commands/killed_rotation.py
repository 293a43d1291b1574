"""Kill key rotations at one statement after the other: `python -m tests.commands.killed_rotation DATABASE ACT POINTS`.

The N-th child process is killed before its N-th point (`tests.killing`), until a child reaches the end. Between two
children the clock moves on by three months, so that the worker has a job each time. Print, as JSON, the statement
before which each was killed, and the stored keys after it.
"""

import json
import os
import sys
import tempfile
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import time_machine
from sqlalchemy import select

from idp.audit.models import AuditEntry
from idp.clock import now
from idp.config import Settings
from idp.db import db
from idp.oidc.keys import ring as keys, rotation
from idp.oidc.models import SigningKey
from tests.applications import inherited
from tests.databases import settings_for
from tests.killing import arm

QUARTER = timedelta(days=91)
_MOST = 60


def signing_kid(settings: Settings) -> str:
    return keys.KeyRing(settings).signer("RS256").kid


def tend(settings: Settings) -> Callable[[], object]:
    return lambda: rotation.tend(settings)


def rotate(settings: Settings) -> Callable[[], object]:
    return lambda: rotation.rotate(settings, at_once=True)


def drop(settings: Settings) -> Callable[[], object]:
    """Drop the signing key; if it is the only one, create a new key in the same transaction."""
    kid = signing_kid(settings)
    return lambda: rotation.drop(settings, kid)


ACTS: dict[str, Callable[[Settings], Callable[[], object]]] = {"tend": tend, "rotate": rotate, "drop": drop}


def live(database: str, act: str, moment: datetime, countdown: int, points: str, note: Path) -> None:
    settings = settings_for(database, database_pool=2)
    with time_machine.travel(moment), inherited(settings).app_context():
        armed = ACTS[act](settings)
        arm(countdown, note, points)
        armed()
        note.write_text("")


def seen(database: str, moment: datetime) -> dict[str, Any]:
    settings = settings_for(database, database_pool=2)
    with time_machine.travel(moment + timedelta(minutes=1)), inherited(settings).app_context():
        rows = list(db.session.scalars(select(SigningKey)))
        changes = list(db.session.scalars(select(AuditEntry).where(AuditEntry.kind == "key.changed")))
        steps = [change.details["change"] for change in changes]
        db.session.rollback()
        ring = keys.KeyRing(settings)
        view = {
            "signing": ring.signer("RS256").kid,
            "published": [key["kid"] for key in json.loads(ring.document())["keys"]],
            "live": [row.kid for row in rows if row.retired_at is None],
            "waiting": [row.kid for row in rows if row.retired_at is None and row.active_from > now()],
            "made": len(rows) - steps.count("rotated"),
            "gone": len([row for row in rows if row.retired_at]) - steps.count("retired") - steps.count("dropped"),
        }
        db.session.remove()
        db.engine.dispose()
    return view


def main(database: str, act: str, points: str) -> None:
    note, story, start = Path(tempfile.mkdtemp()) / "note", [], now()
    inherited(settings_for(database, database_pool=2))
    for number in range(1, _MOST):
        moment = start + number * QUARTER
        child = os.fork()
        if not child:
            live(database, act, moment, number, points, note)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status):
            sys.exit(f"the child failed at statement {number}")
        story.append({"killed_at": note.read_text(), **seen(database, moment)})
        if not os.WIFSIGNALED(status):
            break
    json.dump(story, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
