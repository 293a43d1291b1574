"""The scenarios: one object is one client of the closed loop, and its `flow` is counted and timed."""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

from bench.population import PASSWORD, Parent
from bench.relying_party import Attempt, Party, WrongAnswerError, expect
from bench.transport import Answer, Browser, Transport

_FORM_TOKEN = re.compile(rb'name="csrf_token" value="([^"]+)"')
_SIGN_IN = "/connexion?"


class Scenario(ABC):
    """A client that repeats its flow. `parents` is shared, so that no parent is used twice at once."""

    name: ClassVar[str]
    requests: ClassVar[tuple[str, ...]]
    """The requests of a flow, in order."""

    def __init__(self, party: Party, transport: Transport, parents: Iterator[Parent]) -> None:
        self._party = party
        self._transport = transport
        self._parents = parents

    async def begin(self) -> None:  # noqa: B027 - most scenarios need no preparation
        """Prepare the first flow."""

    @abstractmethod
    async def flow(self) -> None:
        """Run one flow.

        Raises:
            WrongAnswerError: the service gave a wrong answer.
        """

    async def _signed_on(self) -> dict[str, str]:
        """Sign on a parent who has a session; return the tokens."""
        attempt, parent = Attempt(), next(self._parents)
        browser = Browser(self._transport, parent.cookies)
        code = self._party.code(await browser.get(self._party.request(attempt)), attempt)
        return await self._party.exchange(self._transport, code, attempt)

    async def _sign_in_page(self, browser: Browser, attempt: Attempt) -> tuple[str, Answer]:
        """Lead a new browser to the sign-in form; return the form's URL and the page."""
        answer = expect(await browser.get(self._party.request(attempt)), 303, "authorize")
        url = answer.headers["location"]
        if not url.startswith(_SIGN_IN):
            raise WrongAnswerError(f"authorize: not to the sign-in form: {url[:200]}")
        return url, expect(await browser.get(url), 200, "sign-in form")


class SingleSignOn(Scenario):
    """A parent with a session opens another ENT."""

    name = "sso"
    requests = ("authorize", "token", "userinfo")

    async def flow(self) -> None:
        """Authorize, token, userinfo."""
        tokens = await self._signed_on()
        await self._party.userinfo(self._transport, tokens["access_token"])


class Refresh(Scenario):
    """An ENT renews its tokens, following the rotation."""

    name = "refresh"
    requests = ("token",)
    _token = ""

    async def begin(self) -> None:
        """Get the first refresh token."""
        self._token = (await self._signed_on())["refresh_token"]

    async def flow(self) -> None:
        """Use the token; start again if the chain is lost."""
        try:
            self._token = (await self._party.refresh(self._transport, self._token))["refresh_token"]
        except WrongAnswerError:
            await self.begin()
            raise


class Login(Scenario):
    """A parent without any cookie signs in with identifier and password."""

    name = "login"
    requests = ("authorize", "sign-in form", "password", "authorize", "token")

    async def flow(self) -> None:
        """Authorize, form, password, authorize again, token."""
        attempt, parent, browser = Attempt(), next(self._parents), Browser(self._transport)
        url, page = await self._sign_in_page(browser, attempt)
        token = _FORM_TOKEN.search(page.body)
        if token is None:
            raise WrongAnswerError("sign-in form: no form token")
        form = {"csrf_token": token[1].decode(), "identifiant": parent.username, "mot-de-passe": PASSWORD}
        answer = expect(await browser.post(url, form), 303, "password")
        code = self._party.code(await browser.get(answer.headers["location"]), attempt)
        await self._party.exchange(self._transport, code, attempt)


class Discovery(Scenario):
    """A relying party reads the provider's metadata."""

    name = "discovery"
    requests = ("discovery",)

    async def flow(self) -> None:
        """One GET."""
        answer = await self._transport.send("GET", "/.well-known/openid-configuration", {}, None)
        if json.loads(expect(answer, 200, "discovery").body)["issuer"] != self._party.issuer:
            raise WrongAnswerError("discovery: another issuer")


class LoginPage(Scenario):
    """A browser with an authorization request in progress shows the sign-in form again."""

    name = "login_page"
    requests = ("sign-in form",)

    async def begin(self) -> None:
        """Start the authorization request."""
        self._browser = Browser(self._transport)
        self._address, _ = await self._sign_in_page(self._browser, Attempt())

    async def flow(self) -> None:
        """One GET."""
        page = expect(await self._browser.get(self._address), 200, "sign-in form")
        if not _FORM_TOKEN.search(page.body):
            raise WrongAnswerError("sign-in form: no form token")


SCENARIOS: tuple[type[Scenario], ...] = (SingleSignOn, Refresh, Login, Discovery, LoginPage)
