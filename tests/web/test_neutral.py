"""N-01, N-02, F-01, G-01, I-01: the public forms respond the same for all input: page, headers, cookies, statements.

`make bench` measures their times.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from flask import Flask
from sqlalchemy import update
from werkzeug.test import TestResponse

from idp.accounts.closings import Merge
from idp.accounts.credentials import PasswordState
from idp.accounts.models import Account, Guardianship
from idp.accounts.passwords.hasher import fold_username
from idp.clock import now
from idp.db import db, release_connection
from idp.throttle import guard, limits
from tests.builders import Build
from tests.pages import form_token
from tests.statements.heard import heard

SHARED = "famille@exemple.fr"


@dataclass(frozen=True)
class Person:
    """A typed username and email, of an account or of none."""

    username: str
    mail: str


def _of(account: Account, mail: str) -> Person:
    return Person(account.username, mail)


def _with(mail: str, **values: object) -> Callable[[Build], Person]:
    return lambda build: _of(build.active(**{"email": mail, **values}), mail)  # type: ignore[arg-type]


_active = _with("seule@exemple.fr")
_UNKNOWN = Person("n.personne9999", "personne@exemple.fr")


def _never_activated(build: Build) -> Person:
    return _of(build.never_activated(school_email="ecole@exemple.fr"), "ecole@exemple.fr")


def _shared_mail(build: Build) -> Person:
    build.active(email=SHARED)
    return _of(build.active(email=SHARED), SHARED)


def _merged(build: Build) -> Person:
    kept = build.active(email="reste@exemple.fr")
    merged = build.active(email="fondue@exemple.fr", disabled_at=now(), merge=Merge(into_id=kept.id))
    return _of(merged, "fondue@exemple.fr")


def _disputed(build: Build) -> Person:
    account = build.never_activated(school_email="dispute@exemple.fr")
    db.session.execute(update(Guardianship).values(disputed_at=now()).where(Guardianship.account_id == account.id))
    db.session.commit()
    return _of(account, "dispute@exemple.fr")


PEOPLE: dict[str, Callable[[Build], Person]] = {
    "active": _active,
    "unknown": lambda _build: _UNKNOWN,
    "never activated": _never_activated,
    "disabled": _with("ferme@exemple.fr", disabled_at=now()),
    "blocked": _with("bloque@exemple.fr", password_state=PasswordState.BLOCKED),
    "no mail": _with("attend@exemple.fr", email=None, pending_email="attend@exemple.fr"),
    "shared mail": _shared_mail,
    "merged": _merged,
    "contested": _with("contestee@exemple.fr", contested_at=now(), password_state=PasswordState.BLOCKED),
    "disputed": _disputed,
}
FORMS: dict[str, Callable[[Person], dict[str, str]]] = {
    "/connexion": lambda person: {"identifiant": person.username, "mot-de-passe": "pas le bon du tout"},
    "/mot-de-passe-oublie": lambda person: {"identifiant": person.username},
    "/identifiant-oublie": lambda person: {"mail": person.mail},
}


def _seen(answer: TestResponse, person: Person) -> tuple[object, ...]:
    text = answer.get_data(as_text=True).replace(person.username, "[identifiant]").replace(person.mail, "[mail]")
    text = re.sub(r'(name="csrf_token"[^>]*value=)"[^"]+"', r'\1"[token]"', text)
    text = re.sub(r"demande=[\w.-]+", "demande=[value]", text)
    headers = [(name, value) for name, value in answer.headers if name not in {"Set-Cookie", "Date", "Content-Length"}]
    cookies = sorted(re.sub(r"=[^;]*", "=", cookie, count=1) for cookie in answer.headers.getlist("Set-Cookie"))
    return answer.status_code, text, headers, cookies


def _send(app: Flask, path: str, person: Person, ip: str) -> list[TestResponse]:
    browser = app.test_client()
    browser.environ_base["REMOTE_ADDR"] = ip
    page = browser.get(path)
    answers = [browser.post(path, data={"csrf_token": form_token(page), **FORMS[path](person)})]
    while "Location" in answers[-1].headers:
        answers.append(browser.get(answers[-1].headers["Location"]))
    return answers


@pytest.mark.row("N-01", "F-01", "G-01")
@pytest.mark.parametrize("path", FORMS)
def test_pages_and_statements_are_the_same_for_every_account(app: Flask, build: Build, path: str) -> None:
    people = {name: make(build) for name, make in PEOPLE.items()}
    outcomes: dict[str, object] = {}
    for number, (name, person) in enumerate(people.items()):
        release_connection()
        with heard() as statements:
            answers = _send(app, path, person, f"203.0.113.{number}")
        outcomes[name] = [_seen(answer, person) for answer in answers], statements
    for name, seen in outcomes.items():
        assert seen == outcomes["unknown"], name


@pytest.mark.row("N-01", "N-02")
@pytest.mark.parametrize("path", FORMS)
def test_wait_of_a_rate_limit_is_the_same_for_unknown_accounts(app: Flask, build: Build, path: str) -> None:
    people = {name: make(build) for name, make in PEOPLE.items()}
    outcomes: dict[str, object] = {}
    for number, (name, person) in enumerate(people.items()):
        codes = [_send(app, path, person, f"203.0.113.{number}")[0].status_code for _ in range(7)]
        assert codes[-1] == 429
        _, text, headers, cookies = _seen(_send(app, path, person, f"203.0.113.{10 * number + 8}")[0], person)
        waits = re.compile(r"\d+ ?\u00a0?secondes?|(?<=data-wait=\")\d+|(?<=Retry-After: )\d+")
        plain = [(n, "some" if n == "Retry-After" else v) for n, v in headers]  # type: ignore[attr-defined]
        outcomes[name] = codes, waits.sub("some", str(text)), plain, cookies
    for name, seen in outcomes.items():
        assert seen == outcomes["unknown"], name


@pytest.mark.row("N-02")
def test_rate_limits_depend_on_the_typed_text_alone(app: Flask, build: Build) -> None:
    for person in (_active(build), _UNKNOWN):
        folded = fold_username(person.username) or ""
        release_connection()
        for _ in range(5):
            assert isinstance(guard.take(limits.SIGN_IN_ACCOUNT, folded), guard.Granted)
        assert isinstance(guard.take(limits.SIGN_IN_ACCOUNT, folded), guard.Wait)
