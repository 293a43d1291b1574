"""Sign in from several processes at once: `python -m tests.login.rush` (see test_races).

The parent process imports the code and forks the others; each has its own application and connections, and all start at
one barrier. Print the status of each response and the identifier that it is about, by process.
"""

import json
import sys
from dataclasses import replace
from datetime import timedelta
from typing import Any

from idp.config import Settings
from idp.throttle import limits
from tests.applications import inherited
from tests.builders import PASSWORD
from tests.crowd import Wait, gather
from tests.databases import settings_for
from tests.pages import form_token

WRONG = "faux"
_DAY = timedelta(days=1)


def settings_of(order: dict[str, Any]) -> Settings:
    return settings_for(order["database"], database_pool=2)


def run(wait: Wait, order: dict[str, Any], number: int) -> list[list[Any]]:
    app = inherited(settings_of(order))
    results = []
    wait()
    for place, username in enumerate(order["usernames"][number]):
        if not place % 3:
            browser = app.test_client()  # the others know the device, if it is the same account again
            browser.environ_base["REMOTE_ADDR"] = f"2001:db8:7:{number % 2}::{number:x}"
        browser.delete_cookie("__Host-ss")  # the sign-in page leads a person with a session to the account
        token = form_token(browser.get("/connexion"))
        password = WRONG if username in order["wrong"] else PASSWORD
        data = {"csrf_token": token, "identifiant": username, "mot-de-passe": password}
        results.append([username, browser.post("/connexion", data=data).status_code])
    return results


def main() -> None:
    order = json.load(sys.stdin)
    # no try is refused: the counts are those of all tries
    limits.SIGN_IN_ACCOUNT = replace(limits.SIGN_IN_ACCOUNT, free=100_000)
    limits.SIGN_IN_REQUESTS = replace(limits.SIGN_IN_REQUESTS, windows=(limits.Window(100_000, _DAY),))
    limits.SIGN_IN_IP = replace(limits.SIGN_IN_IP, windows=(limits.Window(100_000, _DAY),))
    inherited(settings_of(order))
    json.dump(gather(run, [(order, number) for number in range(len(order["usernames"]))]), sys.stdout)


if __name__ == "__main__":
    main()
