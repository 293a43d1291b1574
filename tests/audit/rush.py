"""Write, seal and verify the journal in several processes at once: `python -m tests.audit.rush DATABASE ROUNDS`.

Writers keep a transaction open for a moment after the entries get their ids, so that entries with lower ids become
visible later than others. Print, as JSON, the numbers of written entries and of findings.
"""

import json
import multiprocessing
import random
import sys
import time
import uuid
from typing import TYPE_CHECKING

from idp.audit import log, sealing
from idp.audit.events import SignInSucceeded
from idp.audit.verifying import Check
from idp.db import db, retry_unit_of_work
from tests.applications import inherited
from tests.databases import settings_for

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue
    from multiprocessing.synchronize import Barrier, Event

WRITERS, SEALERS = 4, 3


def write(
    database: str, rounds: int, barrier: "Barrier", done: "Event", answers: "SimpleQueue[tuple[str, int]]"
) -> None:
    settings, written = settings_for(database, database_pool=2), 0

    def step() -> int:
        count = random.randint(1, 5)
        for _ in range(count):
            log.record(SignInSucceeded(account_id=uuid.uuid4(), sid="sid"))
            db.session.flush()
        time.sleep(random.random() * 0.05)
        return count

    with inherited(settings).app_context():
        barrier.wait(120)
        for _ in range(rounds):
            written += retry_unit_of_work(step)
    answers.put(("written", written))


def seal(database: str, barrier: "Barrier", done: "Event", answers: "SimpleQueue[tuple[str, int]]") -> None:
    settings = settings_for(database, database_pool=2)
    sealing.BATCH = 7
    with inherited(settings).app_context():
        barrier.wait(120)
        while not done.is_set():
            sealing.seal_all(settings.secrets)
        sealing.seal_all(settings.secrets)


def check(database: str, barrier: "Barrier", done: "Event", answers: "SimpleQueue[tuple[str, int]]") -> None:
    settings, wrong = settings_for(database, database_pool=2), 0
    with inherited(settings).app_context():
        barrier.wait(120)
        while not done.is_set():
            wrong += len(list(Check(settings.secrets).findings()))
    answers.put(("found", wrong))


def main(database: str, rounds: str) -> None:
    context = multiprocessing.get_context("fork")
    barrier, done = context.Barrier(WRITERS + SEALERS + 1), context.Event()
    answers: SimpleQueue[tuple[str, int]] = context.SimpleQueue()
    shared = (barrier, done, answers)
    inherited(settings_for(database, database_pool=2))
    writers = [context.Process(target=write, args=(database, int(rounds), *shared)) for _ in range(WRITERS)]
    others = [context.Process(target=seal, args=(database, *shared)) for _ in range(SEALERS)]
    others.append(context.Process(target=check, args=(database, *shared)))
    for process in (*writers, *others):
        process.start()
    for process in writers:
        process.join(timeout=120)
    done.set()
    for process in others:
        process.join(timeout=120)
    if any(process.exitcode for process in (*writers, *others)):
        sys.exit("a process failed")
    results = [answers.get() for _ in range(WRITERS + 1)]
    json.dump(
        {name: sum(count for what, count in results if what == name) for name in ("written", "found")}, sys.stdout
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
