"""Send one request from several processes at once: `python -m tests.protocol.rush` (see test_races).

The parent process imports the code and forks the others; each has its own application and connections, and all wait at
a barrier before each round. Print, for each round, the status, the error, and the token or URL of every response.
"""

import json
import sys
from typing import Any

from idp.config import Settings
from tests.applications import inherited
from tests.crowd import Wait, gather
from tests.databases import settings_for

NUMBER = "{process}"
"""In a body, it is replaced by the number of the process."""


def settings_of(order: dict[str, Any]) -> Settings:
    return settings_for(order["database"], code_lifetime=600, database_pool=1)


def run(wait: Wait, order: dict[str, Any], number: int) -> list[list[Any]]:
    app = inherited(settings_of(order))
    browser, results = app.test_client(use_cookies=False), []
    browser.get("/jwks.json", base_url=order["issuer"])  # fill the caches of the process before the race
    for sent in order["requests"]:
        own = {**sent, "data": sent["data"].replace(NUMBER, str(number))} if isinstance(sent.get("data"), str) else sent
        wait()
        response = browser.open(base_url=order["issuer"], **own)
        body = response.get_json(silent=True) or {}
        brought = body.get("access_token") or response.headers.get("Location")
        results.append([response.status_code, body.get("error"), brought])
    return results


def main() -> None:
    order = json.load(sys.stdin)
    inherited(settings_of(order))
    results = gather(run, [(order, number) for number in range(order["processes"])])
    json.dump([list(answers) for answers in zip(*results, strict=True)], sys.stdout)


if __name__ == "__main__":
    main()
