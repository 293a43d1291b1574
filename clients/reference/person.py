"""A person without a browser: keeps cookies, follows redirects, fills in the provider's forms, stops at the ENT's door.

The forms are known by what they ask, not by their words: a password is the sign-in, a button `parent` the choice of the
profile, a box that must be ticked the charter. Whatever else a page asks is a refusal that names the page.
"""

from urllib.parse import urljoin, urlsplit

import requests

from clients.kit.checks import CheckError, is_web_address, must
from clients.reference.page import Form, Page

_TIMEOUT = 30
_LONGEST_WAY = 20
_PROFILE = "parent"


class Person:
    """Somebody at the provider's pages. `home` is an address of the provider: nothing is typed anywhere else."""

    def __init__(self, home: str, username: str, password: str, ca_bundle: str) -> None:
        self._origin = _origin(home)
        self._username, self._password = username, password
        self._session = requests.Session()
        self._verify = ca_bundle or True  # given with each request: the session's own yields to REQUESTS_CA_BUNDLE
        self._session.auth = lambda request: request  # keeps a .netrc from answering for this person

    def answer(self, url: str, redirect_uri: str) -> str:
        """Go to the provider and through its pages; return the query with which it leads back to `redirect_uri`.

        Raises:
            CheckError: the way ends elsewhere.
        """
        filled: list[str] = []
        arrived = self.go(url, redirect_uri)
        while isinstance(arrived, Page):
            kind, form, typed = self._read(arrived)
            if kind in filled:
                raise CheckError(kind, f"the provider asks again: « {arrived.title} »")
            filled.append(kind)
            arrived = self._submit(arrived, form, typed, redirect_uri)
        for kind in filled:
            must(kind, kind, "what was filled in led on")
        return arrived

    def go(self, url: str, stop: str) -> Page | str:
        """Open an address; return the page where it leads, or the query when that is at `stop`."""
        return self._follow("GET", url, None, stop)

    def _read(self, page: Page) -> tuple[str, Form, dict[str, str]]:
        """Return what a page asks, its form, and what this person types or ticks there."""
        for form in page.forms:
            if len(form.of_kind("password")) == 1 and len(form.of_kind("text")) == 1:
                if not self._username:
                    raise CheckError("sign_in", "the provider asks who signs in, and no --username was given")
                name, secret = form.of_kind("text")[0].name, form.of_kind("password")[0].name
                return "sign_in", form, {name: self._username, secret: self._password}
            button = form.button(_PROFILE)
            if button is not None:
                return "profile", form, {button.name: button.value}
            boxes = [box for box in form.of_kind("checkbox") if box.is_required]
            if boxes and not form.of_kind("password"):
                return "charter", form, {box.name: box.value for box in boxes}
        advice = ": do what it asks in a browser first, such as to activate the account with its letter"
        is_for_people = page.status == requests.codes.ok
        why = f": {page.reason}" if page.reason else ""
        said = f"the provider shows « {page.title} » (HTTP {page.status}){advice if is_for_people else why}"
        raise CheckError("page", said)

    def _submit(self, page: Page, form: Form, typed: dict[str, str], stop: str) -> Page | str:
        target = urljoin(page.url, form.action)
        is_home = _origin(page.url) == _origin(target) == self._origin
        must(is_home, "form", "a form of another site asks for something")
        return self._follow("POST", target, form.hidden() | typed, stop, referer=page.url)

    def _follow(self, method: str, url: str, data: dict[str, str] | None, stop: str, referer: str = "") -> Page | str:
        headers = {"Origin": self._origin, "Referer": referer} if referer else {}
        for _ in range(_LONGEST_WAY):
            try:
                answer = self._session.request(
                    method,
                    url,
                    data=data,
                    headers=headers,
                    allow_redirects=False,
                    timeout=_TIMEOUT,
                    verify=self._verify,
                )
            except (OSError, ValueError) as error:
                raise CheckError("page", f"the provider shows no page ({type(error).__name__})") from error
            if not answer.is_redirect:
                return Page.read(url, answer.status_code, answer.content.decode(errors="replace"))
            url = urljoin(url, answer.headers["Location"])
            if stop and url.partition("?")[0] == stop.partition("?")[0]:
                return urlsplit(url).query
            again = answer.status_code in {requests.codes.temporary_redirect, requests.codes.permanent_redirect}
            must(method == "GET" or not again, "redirect", "a redirect would repeat what was typed")
            must(is_web_address(url.partition("?")[0]), "redirect", "a redirect leads to where nobody should go")
            method, data, headers = "GET", None, {}
        raise CheckError("redirect", "the redirects have no end")


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
