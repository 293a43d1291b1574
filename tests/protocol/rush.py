"""Send one request from several processes at once: `python -m tests.protocol.rush` (see test_races).

The parent process imports the code and forks the others; each has its own application and connections, and all wait at
a barrier before each round. Print, for each round, the status, the error, and the token or URL of every response.
"""

import json
import multiprocessing
import sys
from typing import TYPE_CHECKING, Any

from idp.config import Settings
from tests.applications import inherited
from tests.databases import settings_for

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue
    from multiprocessing.synchronize import Barrier

PATIENCE = 120
NUMBER = "{process}"
"""In a body, it is replaced by the number of the process."""


def settings_of(order: dict[str, Any]) -> Settings:
    return settings_for(order["database"], code_lifetime=600, database_pool=1)


def run(order: dict[str, Any], number: int, barrier: "Barrier", answers: "SimpleQueue[list[list[Any]]]") -> None:
    app = inherited(settings_of(order))
    browser, results = app.test_client(use_cookies=False), []
    browser.get("/jwks.json", base_url=order["issuer"])  # fill the caches of the process before the race
    for sent in order["requests"]:
        own = {**sent, "data": sent["data"].replace(NUMBER, str(number))} if isinstance(sent.get("data"), str) else sent
        barrier.wait(timeout=PATIENCE)
        response = browser.open(base_url=order["issuer"], **own)
        body = response.get_json(silent=True) or {}
        brought = body.get("access_token") or response.headers.get("Location")
        results.append([response.status_code, body.get("error"), brought])
    answers.put(results)


def main() -> None:
    order = json.load(sys.stdin)
    context = multiprocessing.get_context("fork")
    inherited(settings_of(order))
    barrier = context.Barrier(order["processes"])
    queues = [context.SimpleQueue() for _ in range(order["processes"])]
    crowd = [context.Process(target=run, args=(order, n, barrier, queue)) for n, queue in enumerate(queues)]
    for process in crowd:
        process.start()
    for process in crowd:
        process.join(timeout=2 * PATIENCE)
    if any(process.exitcode != 0 for process in crowd):
        sys.exit("a process of the rush failed")
    results = [queue.get() for queue in queues]
    json.dump([list(answers) for answers in zip(*results, strict=True)], sys.stdout)


if __name__ == "__main__":
    main()
