"""Settle the same notices from several processes at once: `python -m tests.desk.notice_race`.

The parent process imports the code and forks the others; each has its own application and connections, and in each
round all start at one barrier. The order is JSON on standard input. Print, as JSON, for each notice the answers of
those who won.
"""

import json
import multiprocessing
import sys
import uuid
from typing import TYPE_CHECKING, Any

from idp.accounts.models import SchoolNotice
from idp.db import db
from idp.desk.decisions import answers
from idp.desk.decisions.answers import Reply
from idp.desk.decisions.words import Answer
from idp.families import admission
from idp.families.refusals import Code, RefusedError
from tests.applications import inherited
from tests.databases import settings_for

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue
    from multiprocessing.synchronize import Barrier

COLLEAGUES = 4


def settle(order: dict[str, Any], number: int, barrier: "Barrier", results: "SimpleQueue[Any]") -> None:
    settings = settings_for(order["database"], database_pool=2)
    answer = Answer(order.get("answers", [Answer.RIGHT, Answer.REJECT])[number % 2])
    app = inherited(settings)
    for key in order["notices"]:
        with app.test_request_context():
            notice = db.session.get_one(SchoolNotice, uuid.UUID(key))
            reply = Reply(answer, f"personne {number}", seen=admission.pupils_asked(notice))
            barrier.wait(120)
            try:
                answers.settle(settings, notice, reply)
                results.put((key, answer.value))
            except RefusedError as refused:
                results.put((key, "" if refused.code is Code.SETTLED else refused.code.name))
            db.session.remove()


def main() -> None:
    order = json.load(sys.stdin)
    context = multiprocessing.get_context("fork")
    inherited(settings_for(order["database"], database_pool=2))
    barrier, results = context.Barrier(COLLEAGUES), context.SimpleQueue()
    crowd = [context.Process(target=settle, args=(order, number, barrier, results)) for number in range(COLLEAGUES)]
    for process in crowd:
        process.start()
    won: dict[str, list[str]] = {key: [] for key in order["notices"]}
    for _ in range(COLLEAGUES * len(won)):
        key, answer = results.get()
        won[key].append(answer)
    for process in crowd:
        process.join()
    json.dump(won, sys.stdout)


if __name__ == "__main__":
    main()
