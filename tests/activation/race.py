"""Send the last form of one activation from many browsers at once: `python -m tests.activation.race`.

The parent process imports the code and forks the others; each has its own application and connections, and all wait at
one barrier. The order is JSON on standard input, the answers are JSON on standard output.
"""

import json
import multiprocessing
import sys
from typing import TYPE_CHECKING, Any

from werkzeug.test import Client

from idp.accounts.passwords import hasher
from idp.config import Settings
from idp.db import db
from idp.services import services_of
from tests.applications import inherited
from tests.databases import ISSUER, settings_for

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue
    from multiprocessing.synchronize import Barrier

HOST = "connexion.exemple.test"


def settings_of(order: dict[str, Any]) -> Settings:
    hasher.WAIT_SECONDS = 10  # a loaded machine
    return settings_for(order["database"], database_pool=2, **order.get("settings", {}))


def run(
    order: dict[str, Any], form: dict[str, Any], barrier: "Barrier", answers: "SimpleQueue[dict[str, Any]]"
) -> None:
    app = inherited(settings_of(order))
    browser = Client(app)
    for name, value in form["cookies"].items():
        browser.set_cookie(name, value, domain=HOST, secure=True)
    with app.app_context():
        db.engine.connect().close()
        with services_of(app).connections.lend():
            pass
    barrier.wait(timeout=60)
    answer = browser.post(form["url"], base_url=ISSUER, data=form["data"])
    answers.put({"status": answer.status_code, "location": answer.headers.get("Location", ""), "text": answer.text})


def main() -> None:
    order = json.load(sys.stdin)
    context = multiprocessing.get_context("fork")
    inherited(settings_of(order))
    barrier, answers = context.Barrier(len(order["forms"])), context.SimpleQueue()
    crowd = [context.Process(target=run, args=(order, form, barrier, answers)) for form in order["forms"]]
    for process in crowd:
        process.start()
    responses = [answers.get() for _ in crowd]
    for process in crowd:
        process.join(timeout=60)
    if any(process.exitcode for process in crowd):
        sys.exit("a process of the crowd failed")
    json.dump(responses, sys.stdout)


if __name__ == "__main__":
    main()
