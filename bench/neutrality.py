"""N-01: compares the answer times of the public forms for existing and missing accounts.

Each form is sent two hundred times for each kind of account, in turn, so that any drift affects all kinds. Every
request names another account and has another IP, so that no limit is reached.
"""

import re
import secrets
import statistics
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert

from bench.driver.relying_party import WrongAnswerError, expect
from bench.driver.transport import Browser, Connection, runner
from bench.population import PASSWORD
from idp.accounts.models import Account
from idp.accounts.passwords.hasher import Hasher
from idp.app import create_app
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.oidc.keys import rotation
from idp.services import services_of

REQUESTS = 200
MOST_APART = 0.05
"""The largest allowed difference between medians: 5 %."""

KINDS = ("active", "unknown", "never-activated", "disabled", "no-mail", "shared-mail")
_WARM_UP = 10
_FORM_TOKEN = re.compile(rb'name="csrf_token"[^>]*value="([^"]+)"')


@dataclass(frozen=True)
class Form:
    """A public form: its path, and the status of its answer."""

    path: str
    status: int

    def filled_in(self, name: str) -> dict[str, str]:
        """Return the fields for the account `name`."""
        if self.path == "/connexion":
            return {"identifiant": name, "mot-de-passe": "pas le bon mot de passe"}
        return {"mail": f"{name}@exemple.fr"} if self.path == "/identifiant-oublie" else {"identifiant": name}


FORMS = (Form("/connexion", 200), Form("/mot-de-passe-oublie", 303), Form("/identifiant-oublie", 303))


def populate(settings: Settings) -> None:
    """Add the accounts of each kind, except `unknown`."""
    app = create_app(settings)
    with app.app_context():
        rotation.rotate(settings)  # without a key the service is not ready
        stored = Hasher(settings).hash(PASSWORD, "sign_in")
        names = [(kind, _name(kind, number)) for kind in KINDS if kind != "unknown" for number in _numbers()]
        rows = [_account(kind, name, name, stored, now()) for kind, name in names]
        rows += [_account(kind, f"{name}b", name, stored, now()) for kind, name in names if kind == "shared-mail"]
        with unit_of_work():
            db.session.execute(insert(Account), rows)
        db.session.remove()
        db.engine.dispose()
        services_of(app).close()


async def measure(port: int) -> tuple[list[str], list[str]]:
    """Send all forms; return the lines of the report, and a sentence for each form whose medians differ too much.

    Raises:
        WrongAnswerError: a form gave another answer than usual.
    """
    lines, faults = [], []
    for form in FORMS:
        medians = await _medians(port, form)
        apart = max(medians.values()) / min(medians.values()) - 1
        shown = ", ".join(f"{kind} {median * 1000:.2f}" for kind, median in medians.items())
        lines.append(f"neutral{form.path}: medians in ms of {REQUESTS}: {shown}: {apart:.1%} apart")
        if apart > MOST_APART:
            faults.append(f"{form.path}: medians are {apart:.1%} apart, {MOST_APART:.0%} are promised: {shown}")
    return lines, faults


async def _medians(port: int, form: Form) -> dict[str, float]:
    connection = Connection(port)
    browser = Browser(connection)
    page = expect(await browser.get(form.path), 200, form.path)
    token = _FORM_TOKEN.search(page.body)
    if token is None:
        raise WrongAnswerError(f"{form.path}: no form token")
    cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    order = secrets.SystemRandom()
    for number in _numbers():
        for kind in order.sample(KINDS, len(KINDS)):
            fields = {"csrf_token": token[1].decode(), **form.filled_in(_name(kind, number))}
            headers = {"Cookie": cookies, "X-Forwarded-For": _somewhere()}
            began = time.perf_counter()
            answer = await connection.send("POST", form.path, headers, fields)
            taken = time.perf_counter() - began
            expect(answer, form.status, f"{form.path} for {kind}")
            if number >= _WARM_UP:
                seconds[kind].append(taken)
    connection.close()
    return {kind: statistics.median(taken) for kind, taken in seconds.items()}


def _numbers() -> Iterator[int]:
    yield from range(REQUESTS + _WARM_UP)


def _name(kind: str, number: int) -> str:
    return f"{kind.replace('-', '.')}{number:04d}"


def _somewhere() -> str:
    return f"2001:db8:{secrets.randbelow(65536):x}:{secrets.randbelow(65536):x}::1"


def _account(kind: str, name: str, mailbox: str, stored: str, moment: datetime) -> dict[str, Any]:
    activated = kind != "never-activated"
    confirmed = activated and kind != "no-mail"
    email = f"{mailbox}@exemple.fr"
    return {
        "id": uuid.uuid4(),
        "username": name,
        "given_name": "Noémie",
        "family_name": "LEROY",
        "address_lines": [],
        "provisional_hash": None if activated else stored,
        "provisional_expires_at": None if activated else moment + timedelta(days=365),
        "password_hash": stored if activated else None,
        "password_changed_at": moment if activated else None,
        "activated_at": moment if activated else None,
        "email": email if confirmed else None,
        "mailbox": email if confirmed else None,
        "email_confirmed_at": moment if confirmed else None,
        "pending_email": email if kind == "no-mail" else None,
        "disabled_at": moment if kind == "disabled" else None,
        "generation": 1,
    }


def run(port: int) -> tuple[list[str], list[str]]:
    """Run `measure`, and turn a wrong answer into a fault."""
    try:
        with runner() as loop:
            return loop.run(measure(port))
    except (WrongAnswerError, OSError, EOFError) as error:
        return [], [f"neutral: {error}"]
