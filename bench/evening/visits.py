"""What one person does during the evening, with the patience of a person before the page « affluence »."""

import asyncio
import random
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import unescape
from http import HTTPStatus

from bench.driver.forms import fill_in
from bench.driver.provider import Person
from bench.driver.relying_party import Attempt, Party, WrongAnswerError, expect
from bench.driver.scenarios import sign_in, sign_in_form
from bench.driver.transport import Answer, Browser, Connection, Transport

TRIES = 6
"""How often a person tries a page again before leaving."""
_NEW_PASSWORD = "vélo orange tambour pluie"  # noqa: S105 - of accounts in a temporary database
_HEADING = re.compile(rb"<h1[^>]*>(.*?)</h1>", re.DOTALL)


class LeftError(Exception):
    """A person saw « affluence » too often and left."""


@dataclass
class Visit:
    """What one person met.

    Attributes:
        began: the time of the arrival, `time.monotonic()`.
        seconds: from the arrival to the end.
        shed: how often it asked to wait, by the heading of the page.
        outcome: `done`, `left`, or a sentence about a wrong answer.
    """

    purpose: str
    phase: str
    began: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    shed: list[str] = field(default_factory=list)
    outcome: str = ""


class PatientBrowser(Browser):
    """A browser whose owner waits as long as « affluence » says, and then sends the same again."""

    def __init__(self, transport: Transport, visit: Visit, cookies: dict[str, str] | None = None) -> None:
        super().__init__(transport, cookies)
        self._visit = visit

    async def _send(self, method: str, target: str, form: dict[str, str] | None) -> Answer:
        for _ in range(TRIES):
            answer = await super()._send(method, target, form)
            if answer.status != HTTPStatus.SERVICE_UNAVAILABLE:
                return answer
            self._visit.shed.append(_heading(answer))
            await asyncio.sleep(float(answer.headers.get("retry-after", "1")) + random.random())
        raise LeftError


@dataclass(frozen=True)
class People:
    """Who is left to arrive, by what for. A person with a session comes again and again, a letter is used once.

    Attributes:
        secret: the provisional password of all letters.
    """

    with_password: Iterator[Person]
    with_session: Iterator[Person]
    with_letter: Iterator[Person]
    secret: str


async def visit(party: Party, people: People, purpose: str, phase: str) -> Visit:
    """Let one person arrive on a connection of their own; return what the person met."""
    diary = Visit(purpose, phase)
    connection = Connection(party.provider.port)
    try:
        await _ACTS[purpose](party, people, connection, diary)
        diary.outcome = "done"
    except LeftError:
        diary.outcome = "left"
    except (WrongAnswerError, OSError, EOFError, ValueError, LookupError) as error:
        diary.outcome = f"{purpose}: {type(error).__name__}: {error}"
    finally:
        connection.close()
        diary.seconds = time.monotonic() - diary.began
    return diary


async def _sign_in(party: Party, people: People, connection: Connection, diary: Visit) -> None:
    attempt = Attempt()
    code = await sign_in(party, PatientBrowser(connection, diary), next(people.with_password), attempt)
    await party.exchange(connection, code, attempt)


async def _sign_on(party: Party, people: People, connection: Connection, diary: Visit) -> None:
    attempt = Attempt()
    browser = PatientBrowser(connection, diary, next(people.with_session).cookies)
    tokens = await party.exchange(connection, party.code(await browser.get(party.request(attempt)), attempt), attempt)
    await party.userinfo(connection, tokens["access_token"])


async def _activate(party: Party, people: People, connection: Connection, diary: Visit) -> None:
    person, browser = next(people.with_letter), PatientBrowser(connection, diary)
    chosen = {"nouveau": _NEW_PASSWORD, "confirmation": _NEW_PASSWORD, "mail": f"{person.username}@exemple.fr"}
    url = party.request(Attempt())
    answer = await browser.get(url)
    letter = party.provider.filled_in(person) | {party.provider.password_field: people.secret}
    for values in (letter, chosen, {"code": ""}):
        url, form = await sign_in_form(party, browser, url, answer, values)
        if "code" not in values:
            url = party.path(form.action) if form.action else url
            answer = await browser.post(url, form.fields)


async def _recover(party: Party, people: People, connection: Connection, diary: Visit) -> None:
    browser = PatientBrowser(connection, diary)
    path, name = "/mot-de-passe-oublie", party.provider.username_field
    page = expect(await browser.get(path), HTTPStatus.OK, path)
    form = fill_in(page.body, {name: next(people.with_password).username})
    if form is None:
        raise WrongAnswerError(f"{path}: no form with {name}")
    expect(await browser.post(path, form.fields), HTTPStatus.SEE_OTHER, path)


_ACTS = {"sign-in": _sign_in, "sign-on": _sign_on, "activation": _activate, "recovery": _recover}


def _heading(answer: Answer) -> str:
    heading = _HEADING.search(answer.body)
    return unescape(heading[1].decode()).strip() if heading else "no page"
