"""Send the last form of one activation from many browsers at once: `python -m tests.activation.race`.

The parent process imports the code and forks the others; each has its own application and connections, and all wait at
one barrier. The order is JSON on standard input, the answers are JSON on standard output.
"""

import json
import re
import sys
from typing import Any

from werkzeug.test import Client

from idp import pool
from idp.accounts.passwords import hasher
from idp.config import Settings
from idp.db import db
from idp.services import services_of
from tests.applications import inherited
from tests.crowd import Wait, gather
from tests.databases import ISSUER, settings_for

HOST = "connexion.exemple.test"


def settings_of(order: dict[str, Any]) -> Settings:
    hasher.WAIT_SECONDS = 60  # a loaded machine
    pool.POSTGRESQL_SETTINGS = re.sub(r"=\d+s", "=60s", pool.POSTGRESQL_SETTINGS)
    pool.PatientConnection.patience = 70
    return settings_for(order["database"], database_pool=2, **order.get("settings", {}))


def run(wait: Wait, order: dict[str, Any], form: dict[str, Any]) -> dict[str, Any]:
    app = inherited(settings_of(order))
    browser = Client(app)
    for name, value in form["cookies"].items():
        browser.set_cookie(name, value, domain=HOST, secure=True)
    with app.app_context():
        db.engine.connect().close()
        with services_of(app).connections.lend():
            pass
    wait()
    answer = browser.post(form["url"], base_url=ISSUER, data=form["data"])
    return {"status": answer.status_code, "location": answer.headers.get("Location", ""), "text": answer.text}


def main() -> None:
    order = json.load(sys.stdin)
    inherited(settings_of(order))
    json.dump(gather(run, [(order, form) for form in order["forms"]]), sys.stdout)


if __name__ == "__main__":
    main()
