"""Sign parents in while an operator closes their accounts: `python -m tests.commands.race`.

The parent process imports the code and forks the others; each has its own application and connections. In each round
all start at one barrier. The operator acts a moment after the first session is open, and the parents stop when the act
is committed, so that a sign-in always overlaps with it. The order is JSON on standard input. Print, as JSON, how many
sessions each parent opened or renewed.
"""

import json
import multiprocessing
import random
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from flask import current_app
from sqlalchemy import select

from idp.accounts import directory, one_time_links
from idp.accounts.authentication import Attempt
from idp.accounts.models import Account
from idp.accounts.one_time_links import Purpose
from idp.accounts.passwords import hasher
from idp.accounts.passwords.hasher import Hasher
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.families import closing
from idp.families.closing import Decision
from idp.letters import recipients
from idp.letters.provisional import BatchHasher
from idp.letters.recipients import Skipped
from idp.letters.secrets import DrawnLetter, draw
from idp.login.service import SignedIn, sign_in
from idp.my_account import reauthentication
from idp.operations import blocked_passwords
from idp.recovery import service as recovery
from idp.services import services, services_of
from idp.sessions import manager
from idp.web.errors import TooManyRequestsError
from tests.applications import inherited
from tests.builders import PASSWORD
from tests.databases import settings_for

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue
    from multiprocessing.synchronize import Barrier, Event

PARENTS = 2
_addresses = random.Random()


def settings_of(order: dict[str, Any]) -> Settings:
    hasher.WAIT_SECONDS = 10  # a loaded machine
    return settings_for(order["database"], database_pool=2, hash_concurrency=1)


def reset_by_mail(settings: Settings, hasher: Hasher, account: Account) -> None:
    """Change the password as the link of « Mot de passe oublié » does, with a password that is already hashed."""
    hashed = hasher.hash("orage brique hamster violon", "activation")
    locked = directory.get_for_change(account.id)
    assert locked is not None
    email, lifetime = account.email or "", timedelta(minutes=30)
    link = one_time_links.issue(settings, Purpose.RESET_PASSWORD, locked, email=email, lifetime=lifetime)
    db.session.commit()
    value = one_time_links.token(settings, link) or ""
    with current_app.test_request_context():  # the browser of the link, which has no cookies
        assert recovery.choose(value, hashed, former=None) == recovery.NewPassword(account.username, link.id)


class Nowhere:
    def store(self, drawn: Sequence[DrawnLetter], expires_at: datetime) -> None:
        """Ignore the letters."""

    def keep(self, drawn: Sequence[DrawnLetter], skipped: Sequence[Skipped]) -> None:
        """Do nothing."""

    def publish(self) -> None:
        """Do nothing."""

    def discard(self) -> None:
        """Do nothing."""


def new_letter(settings: Settings, hasher: Hasher, account: Account) -> None:
    """Renew the letter as `idp letters print` does, without a file."""
    people = recipients.by_username([account.username], None, None, "perdu")
    with BatchHasher(hasher) as batch_hasher:
        draw(settings, batch_hasher, people, Nowhere(), reason="perdu", all_or_none=True)


def block_password(account: Account) -> None:
    with unit_of_work():
        blocked_passwords._block(Account.id == account.id, lambda _batch: None)


ACTS: dict[str, Callable[[Settings, Hasher, Account], object]] = {
    "suspend": lambda _settings, _hasher, account: closing.close(account.id, Decision(reason="jugement")),
    "force-password-change": lambda _settings, _hasher, account: block_password(account),
    "reset": reset_by_mail,
    "letter": new_letter,
}


def operate(order: dict[str, Any], barrier: "Barrier", inside: "Event", done: "Event") -> None:
    settings = settings_of(order)
    app = inherited(settings)
    with app.app_context():
        for username in order["usernames"]:
            account = db.session.scalars(select(Account).where(Account.username == username)).one()
            db.session.commit()
            barrier.wait(120)
            assert inside.wait(120)
            time.sleep(random.random() * 0.05)  # a sign-in takes 0.01
            ACTS[order["act"]](settings, services_of(app).hasher, account)
            done.set()
            barrier.wait(120)
            inside.clear()
            done.clear()
            barrier.wait(120)


def attempt(username: str, door: Any) -> Attempt:
    ip = ".".join(["10", *(str(_addresses.randrange(256)) for _ in range(3))])
    return Attempt(username, PASSWORD, ip, "Firefox", door=door)


def insist(
    order: dict[str, Any], barrier: "Barrier", inside: "Event", done: "Event", answers: "SimpleQueue[int]"
) -> None:
    """Sign in and confirm the password again, until the act is committed."""
    settings, opened = settings_of(order), 0
    _addresses.seed(uuid.uuid4().int)
    app = inherited(settings)
    for username in order["usernames"]:
        barrier.wait(120)
        while not done.is_set():
            with app.app_context():
                opened += once(settings, username, inside)
        barrier.wait(120)
        barrier.wait(120)
    answers.put(opened)


def once(settings: Settings, username: str, inside: "Event") -> int:
    hasher = services().hasher
    try:
        outcome = sign_in(settings, hasher, services().breached, attempt(username, "sign_in"), None)
    except TooManyRequestsError:  # on a busy machine, so many sessions are open before the operator acts
        return 0
    if not isinstance(outcome, SignedIn):
        return 0
    inside.set()
    session = manager.find(outcome.cookie)
    db.session.commit()
    if session is None:
        return 1
    renewed = reauthentication.verify_password(settings, hasher, attempt(username, "reauthentication"), session[0])
    return 1 + isinstance(renewed, str)


def main() -> None:
    order = json.load(sys.stdin)
    context = multiprocessing.get_context("fork")
    inherited(settings_of(order))
    barrier, inside, done = context.Barrier(PARENTS + 1), context.Event(), context.Event()
    answers = context.SimpleQueue()
    crowd = [context.Process(target=operate, args=(order, barrier, inside, done))]
    crowd += [context.Process(target=insist, args=(order, barrier, inside, done, answers)) for _ in range(PARENTS)]
    for process in crowd:
        process.start()
    for process in crowd:
        process.join(timeout=300)
    if any(process.exitcode for process in crowd):
        sys.exit("a process failed")
    json.dump([answers.get() for _ in range(PARENTS)], sys.stdout)


if __name__ == "__main__":
    main()
