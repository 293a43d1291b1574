"""The load: people who sign in, come back, and ask for a password, and a ledger of what was acknowledged to them."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from itertools import pairwise
from typing import Any
from urllib.parse import urlencode

from bench.driver.forms import fill_in
from bench.driver.provider import Person
from bench.driver.relying_party import Attempt, Party, WrongAnswerError, expect
from bench.driver.scenarios import sign_in
from bench.driver.transport import Answer, Browser, Connection, Transport, path_of

CLIENTS = 8
_TRIES = 40
_REPLAYED = 0.2
"""The share of codes and refresh tokens that are used twice at once and then a third time: one use may succeed."""
_READ_AGAIN = 500
"""How many of the tokens that live, and of those that ended, are read again at the end."""


Tokens = dict[str, Any]
Injection = tuple[float, float]
"""The times before and after the injection of a fault, `time.monotonic()`: to find a process takes a moment."""


@dataclass(frozen=True)
class Failure:
    """A flow that did not complete, from when to when, `time.monotonic()`, and why."""

    began: float
    ended: float
    error: Exception

    def is_due_to(self, injections: Sequence[Injection], interrupts: type[Exception]) -> bool:
        """Return whether the flow was in progress at one of the injections and failed in this way."""
        was_in_progress = any(self.began <= after and before <= self.ended for before, after in injections)
        return was_in_progress and isinstance(self.error, interrupts)


@dataclass
class Ledger:
    """What was acknowledged, and what must not have happened.

    Attributes:
        done: times of completed flows, `time.monotonic()`.
        failed: flows that did not complete.
        faults: sentences about promises that were broken.
        asked: addresses to which a mail was promised.
        waits: how often a page asked a person to wait, by the task of the client.
        waited: how many flows completed after such a page.
        live: refresh tokens that were acknowledged, and not used since.
        ended: refresh tokens whose end was acknowledged: by a refused second use, or a sign-out.
    """

    done: list[float] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)
    waits: Counter[object] = field(default_factory=Counter)
    waited: int = 0
    live: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)

    @property
    def flows(self) -> int:
        """All flows that ended."""
        return len(self.done) + len(self.failed)

    def longest_gap(self, began: float, ended: float) -> float:
        """Return the longest time without a completed flow, in seconds."""
        times = [began, *sorted(self.done), ended]
        return max(later - earlier for earlier, later in pairwise(times))


class _Client(Browser):
    """A browser whose owner waits when a page with status 503 says so."""

    def __init__(self, transport: Transport, ledger: Ledger, cookies: dict[str, str] | None = None) -> None:
        super().__init__(transport, cookies)
        self._ledger = ledger

    async def _send(self, method: str, target: str, form: dict[str, str] | None) -> Answer:
        for _ in range(_TRIES):
            answer = await super()._send(method, target, form)
            if answer.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                return answer
            if answer.status != HTTPStatus.SERVICE_UNAVAILABLE or b"<h1" not in answer.body:
                self._ledger.faults.append(f"{path_of(target)}: {answer.status} without its page")
            self._ledger.waits[asyncio.current_task()] += 1
            await asyncio.sleep(1 + random.random())
        return answer


@dataclass
class Load:
    """Clients that repeat what people do."""

    party: Party
    everyone: Iterator[Person]
    with_session: Iterator[Person]
    ledger: Ledger
    is_ended: bool = False

    async def run(self) -> None:
        """Repeat until `is_ended`; a flow in progress is completed."""
        await asyncio.gather(*(self._repeat() for _ in range(CLIENTS)))

    async def _repeat(self) -> None:
        connection, me = Connection(self.party.provider.port), asyncio.current_task()
        acts = (self._sign_in, self._come_back, self._ask_for_a_password, self._sign_out)
        while not self.is_ended:
            began, waits = time.monotonic(), self.ledger.waits[me]
            try:
                await random.choices(acts, (5, 5, 1, 1))[0](connection)
                self.ledger.done.append(time.monotonic())
                self.ledger.waited += self.ledger.waits[me] > waits
            except (WrongAnswerError, OSError, EOFError, ValueError, LookupError) as error:
                self.ledger.failed.append(Failure(began, time.monotonic(), error))
                await asyncio.sleep(0.1)  # no storm of connections while nobody listens
        connection.close()

    async def _sign_in(self, connection: Connection) -> None:
        attempt = Attempt()
        code = await sign_in(self.party, _Client(connection, self.ledger), next(self.everyone), attempt)
        if tokens := await self._redeem(connection, code, attempt):
            self.ledger.live.append(tokens["refresh_token"])

    async def _sign_out(self, connection: Connection) -> None:
        """Sign in and out; the ENT is told through its back channel."""
        attempt, browser = Attempt(), _Client(connection, self.ledger)
        code = await sign_in(self.party, browser, next(self.everyone), attempt)
        tokens = await self.party.exchange(connection, code, attempt)
        expect(
            await browser.get(f"/logout?{urlencode({'id_token_hint': tokens['id_token']})}"), HTTPStatus.OK, "logout"
        )
        self.ledger.ended.append(tokens["refresh_token"])

    async def _come_back(self, connection: Connection) -> None:
        attempt = Attempt()
        browser = _Client(connection, self.ledger, next(self.with_session).cookies)
        answer = await browser.get(self.party.request(attempt))
        tokens = await self._redeem(connection, self.party.code(answer, attempt), attempt)
        if tokens:
            refresh = partial(self.party.refresh, refresh_token=tokens["refresh_token"])
            renewed = await self._use_once("refresh token", connection, refresh)
            if renewed:
                await self.party.userinfo(connection, renewed["access_token"])
                self.ledger.live.append(renewed["refresh_token"])

    async def _redeem(self, connection: Connection, code: str, attempt: Attempt) -> Tokens:
        return await self._use_once("code", connection, partial(self.party.exchange, code=code, attempt=attempt))

    async def _use_once(
        self, what: str, connection: Connection, use: Callable[[Connection], Awaitable[Tokens]]
    ) -> Tokens:
        """Use something that works once, sometimes more often. Return the tokens, empty if a further use ended them."""
        if random.random() >= _REPLAYED:
            return await use(connection)
        pair = [Connection(self.party.provider.port) for _ in range(2)]
        answers = await asyncio.gather(*map(use, pair), return_exceptions=True)
        for each in pair:
            each.close()
        won = [answer for answer in answers if not isinstance(answer, BaseException)]
        if len(won) > 1:
            self.ledger.faults.append(f"a {what} was redeemed twice at once")
        if not won:  # a lost answer tells the cause, not the refusal of the other use
            raise next(filter(lambda answer: isinstance(answer, OSError), answers), answers[0])  # type: ignore[misc]
        await self._check_refused(f"a {what} was redeemed twice", use(connection))
        self.ledger.ended.append(won[0]["refresh_token"])
        return {}

    async def _check_refused(self, sentence: str, further: Awaitable[Tokens]) -> None:
        try:
            await further
        except WrongAnswerError as error:
            if error.status != HTTPStatus.BAD_REQUEST:
                raise  # a service that cannot answer has refused nothing
        else:
            self.ledger.faults.append(sentence)

    async def read_again(self) -> None:
        """Use the tokens that were acknowledged: those that live must work, and those that ended must be refused."""
        connection, ledger = Connection(self.party.provider.port), self.ledger
        for token in _some(ledger.live):
            try:
                await self.party.refresh(connection, token)
            except WrongAnswerError as error:
                ledger.faults.append(f"an acknowledged refresh token was lost: {str(error)[:120]}")
        for token in _some(ledger.ended):
            await self._check_refused("an acknowledged end was lost", self.party.refresh(connection, token))
        connection.close()

    async def _ask_for_a_password(self, connection: Connection) -> None:
        browser, person = _Client(connection, self.ledger), next(self.everyone)
        path, name = "/mot-de-passe-oublie", self.party.provider.username_field
        form = fill_in(expect(await browser.get(path), HTTPStatus.OK, path).body, {name: person.username})
        if form is None:
            raise WrongAnswerError(f"{path}: no form with {name}")
        expect(await browser.post(path, form.fields), HTTPStatus.SEE_OTHER, path)
        self.ledger.asked.add(f"{person.username}@exemple.fr")


def _some(tokens: Sequence[str]) -> Sequence[str]:
    return random.sample(tokens, min(len(tokens), _READ_AGAIN))
