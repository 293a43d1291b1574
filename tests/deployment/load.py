"""Sign a parent in again and again: `python -m tests.deployment.load`. The order is JSON on standard input.

Write each refresh token into the file, before the next sign-in: the service acknowledged what is in the file.
"""

import json
import sys
from pathlib import Path

from tests.builders import PASSWORD
from tests.databases import settings_for
from tests.pages import sign_in
from tests.protocol.flow import OFFLINE
from tests.relying_party import Attempt, RelyingParty


def main() -> None:
    from tests.applications import inherited  # noqa: PLC0415 - the forked process has it already
    from tests.conftest import Browser  # noqa: PLC0415

    order = json.load(sys.stdin)
    app = inherited(settings_for(order["database"], database_pool=2))
    app.test_client_class = Browser
    ent = RelyingParty(**order["ent"])
    with app.app_context(), Path(order["file"]).open("a", encoding="ascii", buffering=1) as file:
        while True:
            browser, attempt = app.test_client(), Attempt()
            page = sign_in(browser, ent.url(attempt, scope=OFFLINE), order["username"], PASSWORD)
            tokens = ent.tokens(browser, ent.answer(page)["code"], attempt)
            file.write(f"{tokens['refresh_token']}\n")


if __name__ == "__main__":
    main()
