"""Settle the same disputes from several processes at once: `python -m tests.commands.dispute_race`.

The parent process imports the code and forks the others; each has its own application and connections, and in each
round all start at one barrier. Half of them reject, half confirm. The order is JSON on standard input. Print, as JSON,
for each round the outcome of each operator, or an empty text if it was refused.
"""

import json
import multiprocessing
import sys
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from idp.accounts.models import Account
from idp.db import db
from idp.families import disputes
from idp.families.disputes import Outcome
from idp.families.refusals import RefusedError
from tests.applications import inherited
from tests.databases import settings_for
from tests.settlements import decision_about

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue
    from multiprocessing.synchronize import Barrier

OPERATORS = 4


def settle(order: dict[str, Any], number: int, barrier: "Barrier", answers: "SimpleQueue[Any]") -> None:
    settings = settings_for(order["database"], database_pool=2)
    outcome = Outcome.REJECT if number % 2 else Outcome.CONFIRM
    app = inherited(settings)
    for username in order["usernames"]:
        with app.app_context():
            account = db.session.scalars(select(Account).where(Account.username == username)).one()
            decision = decision_about(account, outcome, reason=f"operator {number}")
            db.session.commit()
            barrier.wait(120)
            try:
                disputes.settle(settings, account.id, decision)
                answers.put((username, outcome.value))
            except RefusedError:
                answers.put((username, ""))


def main() -> None:
    order = json.load(sys.stdin)
    context = multiprocessing.get_context("fork")
    inherited(settings_for(order["database"], database_pool=2))
    barrier, answers = context.Barrier(OPERATORS), context.SimpleQueue()
    crowd = [context.Process(target=settle, args=(order, number, barrier, answers)) for number in range(OPERATORS)]
    for process in crowd:
        process.start()
    outcomes: dict[str, list[str]] = {username: [] for username in order["usernames"]}
    for _ in range(OPERATORS * len(outcomes)):
        username, answer = answers.get()
        outcomes[username].append(answer)
    for process in crowd:
        process.join(timeout=120)
    if any(process.exitcode for process in crowd):
        sys.exit("a process failed")
    json.dump(outcomes, sys.stdout)


if __name__ == "__main__":
    main()
