"""The scenarios: one object is one client of the closed loop, and its `flow` is counted and timed."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar
from urllib.parse import urljoin

from bench.driver.forms import FilledIn, fill_in
from bench.driver.provider import Person
from bench.driver.relying_party import DISCOVERY, Attempt, Party, WrongAnswerError, expect
from bench.driver.transport import Answer, Browser, Transport, path_of

_MOST_STEPS = 15
"""The most redirects and forms between an authorization request and its code."""


class Scenario(ABC):
    """A client that repeats its flow. `people` is shared, so that no person is used twice at once."""

    name: ClassVar[str]
    clients: ClassVar[tuple[int, ...]] = (8,)
    """With how many clients at once the scenario is run."""
    needs_sessions: ClassVar[bool] = False

    def __init__(self, party: Party, transport: Transport, people: Iterator[Person]) -> None:
        self._party = party
        self._transport = transport
        self._people = people

    async def begin(self) -> None:  # noqa: B027 - most scenarios need no preparation
        """Prepare the first flow."""

    @abstractmethod
    async def flow(self) -> None:
        """Run one flow.

        Raises:
            WrongAnswerError: the provider gave a wrong answer.
        """

    async def _sign_on(self) -> dict[str, str]:
        """Sign on a person who has a session; return the tokens."""
        attempt, person = Attempt(), next(self._people)
        browser = Browser(self._transport, person.cookies)
        code = self._party.code(await browser.get(self._party.request(attempt)), attempt)
        return await self._party.exchange(self._transport, code, attempt)


async def sign_in_form(
    party: Party, browser: Browser, url: str, answer: Answer, values: dict[str, str]
) -> tuple[str, FilledIn]:
    """Follow redirects to the next page; return its URL and its form, filled in.

    Raises:
        WrongAnswerError: there is no page, or it has no form with one of these fields.
    """
    for _ in range(_MOST_STEPS):
        location = party.redirect(answer)
        if location is None:
            form = fill_in(expect(answer, 200, path_of(url)).body, values)
            if form is None:
                raise WrongAnswerError(f"{path_of(url)}: no form with {' or '.join(values)}")
            return url, form
        url = party.path(urljoin(url, location))
        answer = await browser.get(url)
    raise WrongAnswerError(f"more than {_MOST_STEPS} redirects before a page")


async def sign_in(party: Party, browser: Browser, person: Person, attempt: Attempt) -> str:
    """Sign a person in with the password, on as many pages as the provider has; return the code."""
    url = party.request(attempt)
    answer = await browser.get(url)
    for _ in range(_MOST_STEPS):
        location = party.redirect(answer)
        if location is None:
            url, form = await sign_in_form(party, browser, url, answer, party.provider.filled_in(person))
            url = party.path(urljoin(url, form.action))
            answer = await browser.post(url, form.fields)
        elif party.is_callback(location):
            return party.code(answer, attempt)
        else:
            url = party.path(urljoin(url, location))
            answer = await browser.get(url)
    raise WrongAnswerError(f"more than {_MOST_STEPS} steps before the code")


class SingleSignOn(Scenario):
    """A person with a session opens another site: authorize, token, UserInfo."""

    name = "sso"
    needs_sessions = True

    async def flow(self) -> None:
        """Authorize, token, userinfo."""
        tokens = await self._sign_on()
        await self._party.userinfo(self._transport, tokens["access_token"])


class Login(Scenario):
    """A person without any cookie signs in with username and password: all pages and requests to the tokens."""

    name = "login"

    async def flow(self) -> None:
        """Authorize, forms, authorize again, token."""
        attempt = Attempt()
        code = await sign_in(self._party, Browser(self._transport), next(self._people), attempt)
        await self._party.exchange(self._transport, code, attempt)


class Refresh(Scenario):
    """A site renews its tokens and its ID token, following the rotation."""

    name = "refresh"
    clients = (8, 16)
    needs_sessions = True
    _token = ""

    async def begin(self) -> None:
        """Get the first refresh token."""
        self._token = (await self._sign_on())["refresh_token"]

    async def flow(self) -> None:
        """Use the token; start again if the chain is lost."""
        try:
            self._token = (await self._party.refresh(self._transport, self._token))["refresh_token"]
        except WrongAnswerError:
            await self.begin()
            raise


class LoginPage(Scenario):
    """A browser with an authorization request in progress shows the sign-in form again."""

    name = "login_page"

    async def begin(self) -> None:
        """Start the authorization request."""
        self._browser = Browser(self._transport)
        url = self._party.request(Attempt())
        fields = self._party.provider.filled_in(next(self._people))
        self._url, form = await sign_in_form(self._party, self._browser, url, await self._browser.get(url), fields)
        shown = next(name for name in fields if name in form.fields)
        self._marker = f'name="{shown}"'.encode()

    async def flow(self) -> None:
        """One GET."""
        page = expect(await self._browser.get(self._url), 200, "sign-in form")
        if self._marker not in page.body:
            raise WrongAnswerError("sign-in form: no form")


class _Document(Scenario):
    """A relying party reads a public document; every answer must equal the first."""

    _body = b""

    @abstractmethod
    def _path(self) -> str: ...

    async def begin(self) -> None:
        """Read the document."""
        self._body = (await self._read()).body

    async def flow(self) -> None:
        """One GET."""
        if (await self._read()).body != self._body:
            raise WrongAnswerError(f"{self.name}: another document than before")

    async def _read(self) -> Answer:
        return expect(await self._transport.send("GET", self._path(), {}, None), 200, self.name)


class Discovery(_Document):
    """A relying party reads the provider's metadata."""

    name = "discovery"

    def _path(self) -> str:
        return DISCOVERY


class Jwks(_Document):
    """A relying party reads the provider's keys."""

    name = "jwks"

    def _path(self) -> str:
        return self._party.jwks


SCENARIOS: tuple[type[Scenario], ...] = (SingleSignOn, Login, Refresh, LoginPage, Discovery, Jwks)
