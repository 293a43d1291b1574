"""Kill activations at one statement after the other.

`python -m tests.activation.killed DATABASE FOLDER POINTS USERNAME…`: the N-th child process kills itself before the
N-th point (`tests.killing`) of its POST, until a child reaches the end. Print, as JSON, the statement before which each
was killed.
"""

import json
import os
import signal
import sys
from pathlib import Path

from idp.db import db
from tests.activation.steps import CHOSEN, EMAIL, open_activation
from tests.applications import inherited
from tests.conftest import Browser
from tests.databases import settings_for
from tests.killing import arm
from tests.pages import form_token


class Account:
    def __init__(self, username: str) -> None:
        self.username = username


def live(database: str, username: str, countdown: int, points: str, note: Path) -> None:
    """Activate an account as its parent does, until the process is killed; to the end without a countdown."""
    app = inherited(settings_for(database, database_pool=2))
    app.test_client_class = Browser
    with app.app_context():
        browser = app.test_client()
        page = open_activation(browser, Account(username))  # type: ignore[arg-type]
        form = {"csrf_token": form_token(page), "nouveau": CHOSEN, "confirmation": CHOSEN, "mail": EMAIL}
        if countdown:
            arm(countdown, note, points)
        answer = browser.post(page.request.full_path, data=form)
        assert answer.status_code == 303, answer.text
        note.write_text("")


def main(database: str, folder: str, points: str, *accounts: str) -> None:
    *usernames, first = accounts
    live(database, first, 0, points, Path(folder) / first)  # the children inherit compiled statements and templates
    with inherited(settings_for(database, database_pool=2)).app_context():
        db.engine.dispose()
    responses = []
    for number, username in enumerate(usernames, start=1):
        note = Path(folder) / username
        child = os.fork()
        if not child:
            live(database, username, number, points, note)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL
        elif os.WEXITSTATUS(status):
            sys.exit(f"the child failed at statement {number}")
        responses.append({"username": username, "killed_at": note.read_text()})
        if not os.WIFSIGNALED(status):
            break
    json.dump(responses, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
