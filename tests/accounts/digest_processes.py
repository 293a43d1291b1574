"""Kill workers that send the schools' mails, or run many at once: `python -m tests.accounts.digest_processes ORDER`.

The parent process creates the application and forks the workers, each with its own connections. Each round is a day: a
notice is written about another person, then the workers run. ORDER is a JSON file. With `killed`, on day N one worker
is killed before its N-th point (`tests.killing`), and another one runs after the lease has expired, until a worker
reaches the end. With `many`, several workers start at one barrier on each day.
"""

import json
import multiprocessing
import os
import sys
import tempfile
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import time_machine
from flask import Flask

from idp.accounts import school_digest, school_notices
from idp.accounts.school_notices import Kind
from idp.db import db
from idp.mail.smtp import Transport
from idp.outbox.worker import Worker
from idp.services import services_of
from tests.applications import inherited
from tests.databases import settings_for
from tests.killing import arm
from tests.outbox.expired import end_leases
from tests.services import change_services

if TYPE_CHECKING:
    from multiprocessing.synchronize import Barrier

LATER = timedelta(minutes=10)
JOBS = {school_digest.DIGESTS: school_digest.DIGESTS_PERIOD}


def moment_of(order: dict[str, Any], day: int) -> datetime:
    return datetime.fromisoformat(order["start"]) + timedelta(days=day)


def application(order: dict[str, Any]) -> Flask:
    """Create the application that every process inherits, without an open connection."""
    settings = settings_for(order["database"], database_pool=2, smtp_url=order["smtp"])
    app = inherited(settings)
    change_services(app, transport=Transport(settings))
    return app


def write_notice(app: Flask, order: dict[str, Any], day: int) -> None:
    with time_machine.travel(moment_of(order, day) - LATER), app.app_context():
        account, school = uuid.UUID(order["accounts"][day]), uuid.UUID(order["school"])
        school_notices.add(Kind.LETTER_GUESSED, account, [school])
        db.session.commit()


def work(
    app: Flask,
    moment: datetime,
    *,
    killed_at: int = 0,
    points: str = "",
    note: Path | None = None,
    barrier: "Barrier | None" = None,
) -> None:
    with time_machine.travel(moment), app.app_context():
        if not barrier:
            end_leases()
        worker = Worker(services_of(app).outbox_handlers, jobs=JOBS)
        if killed_at and note:
            arm(killed_at, note, points)
        if barrier:
            barrier.wait(120)
        worker.run_once()
        if note:
            note.write_text("")


def write_notice_and_work(app: Flask, order: dict[str, Any], day: int, note: Path) -> None:
    """Write the notice of the day, then run the worker until it is killed before its point number `day` + 1."""
    write_notice(app, order, day)
    work(app, moment_of(order, day), killed_at=day + 1, points=order["points"], note=note)


def forked(act: Callable[[], object]) -> int:
    child = os.fork()
    if not child:
        act()
        os._exit(0)
    return os.waitpid(child, 0)[1]


def warm_up(app: Flask, order: dict[str, Any]) -> None:
    """Send a mail the day before, so that the workers inherit compiled statements and templates."""
    write_notice(app, order, -1)
    work(app, moment_of(order, -1))
    with app.app_context():
        db.engine.dispose()


def killed(app: Flask, order: dict[str, Any]) -> list[str]:
    """Kill one worker on each day; return the statement before which each was killed."""
    warm_up(app, order)
    note, story = Path(tempfile.mkdtemp()) / "note", []
    for day in range(len(order["accounts"])):
        moment = moment_of(order, day)
        status = forked(partial(write_notice_and_work, app, order, day, note))
        if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status):
            sys.exit(f"the worker failed at statement {day + 1}")
        story.append(note.read_text())
        if forked(partial(work, app, moment + LATER)):
            sys.exit("the worker after the lease failed")
        if not os.WIFSIGNALED(status):
            break
    last = moment_of(order, len(story))
    for moment in (last, last + LATER, last + timedelta(days=1)):  # mails that were postponed to the next day
        forked(partial(work, app, moment))
    return story


def many(app: Flask, order: dict[str, Any]) -> list[str]:
    context = multiprocessing.get_context("fork")
    for day in range(len(order["accounts"])):
        forked(partial(write_notice, app, order, day))
        barrier, moment = context.Barrier(4), moment_of(order, day)
        how = {"barrier": barrier}
        crowd = [context.Process(target=work, args=(app, moment), kwargs=how) for _ in range(4)]
        for process in crowd:
            process.start()
        for process in crowd:
            process.join(timeout=120)
        if any(process.exitcode for process in crowd):
            sys.exit("a worker failed")
        forked(partial(work, app, moment + LATER))  # jobs that a worker added after the others had looked
    return []


if __name__ == "__main__":
    command = json.loads(Path(sys.argv[1]).read_text())
    json.dump({"killed": killed, "many": many}[command["act"]](application(command), command), sys.stdout)
