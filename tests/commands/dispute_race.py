"""Operators who settle the same disputes at once: `python -m tests.commands.dispute_race`.

One process loads the code and forks the others; each has an application and connections of its own, and in each round
all begin at one barrier. Half of them reject, half confirm. The order comes as JSON on standard input. Prints, as JSON,
for each round what every operator was answered: the outcome, or an empty text when it was refused.
"""

import json
import multiprocessing
import sys
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from idp.accounts.models import Account
from idp.db import db
from idp.operations.helpdesk import disputes
from idp.operations.helpdesk.acts import RefusedError
from idp.operations.helpdesk.disputes import Decision, Outcome
from tests.applications import inherited
from tests.databases import settings_for

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue
    from multiprocessing.synchronize import Barrier

OPERATORS = 4


def settle(order: dict[str, Any], number: int, barrier: "Barrier", answers: "SimpleQueue[Any]") -> None:
    """Settle each dispute, as soon as all operators are ready to."""
    settings = settings_for(order["database"], database_pool=2)
    outcome = Outcome.REJECT if number % 2 else Outcome.CONFIRM
    app = inherited(settings)
    for username in order["usernames"]:
        with app.app_context():
            key = db.session.scalars(select(Account.id).where(Account.username == username)).one()
            db.session.commit()
            barrier.wait(120)
            try:
                disputes.settle(settings, key, Decision(outcome=outcome, reason=f"operator {number}"))
                answers.put((username, outcome.value))
            except RefusedError:
                answers.put((username, ""))


def main() -> None:
    """Let them run."""
    order = json.load(sys.stdin)
    context = multiprocessing.get_context("fork")
    inherited(settings_for(order["database"], database_pool=2))
    barrier, answers = context.Barrier(OPERATORS), context.SimpleQueue()
    crowd = [context.Process(target=settle, args=(order, number, barrier, answers)) for number in range(OPERATORS)]
    for one in crowd:
        one.start()
    given: dict[str, list[str]] = {username: [] for username in order["usernames"]}
    for _ in range(OPERATORS * len(given)):
        username, answer = answers.get()
        given[username].append(answer)
    for one in crowd:
        one.join(timeout=120)
    if any(one.exitcode for one in crowd):
        sys.exit("a process failed")
    json.dump(given, sys.stdout)


if __name__ == "__main__":
    main()
