"""A client that acts as a parent: it keeps cookies, follows redirects and fills in the provider's forms.

It recognizes a form by its inputs: a password input is the sign-in, a button `parent` the choice of the profile, a
required checkbox the charter. It raises an error that names the page for any other page.
"""

from urllib.parse import urljoin, urlsplit

import requests

from clients.kit.checks import CheckError, is_web_url, require
from clients.reference.page import Form, Page

_TIMEOUT = 30
_MAX_REDIRECTS = 20
_PROFILE = "parent"


class Person:
    """A parent on the provider's pages. Forms are submitted to the origin of the URL `home` only."""

    def __init__(self, home: str, username: str, password: str, ca_bundle: str) -> None:
        self._origin = _origin(home)
        self._username, self._password = username, password
        self._session = requests.Session()
        self._verify = ca_bundle or True  # passed to each request: REQUESTS_CA_BUNDLE overrides the session's setting
        self._session.auth = lambda request: request  # keeps requests from reading credentials in a .netrc file

    def sign_in(self, url: str, redirect_uri: str) -> str:
        """Open the authorization URL, fill in each page, and return the query of the redirect to `redirect_uri`.

        Raises:
            CheckError: a page is unexpected or appears twice.
        """
        filled: list[str] = []
        result = self.open(url, redirect_uri)
        while isinstance(result, Page):
            kind, form, inputs = self._fill_in(result)
            if kind in filled:
                raise CheckError(kind, f'the provider asks again: "{result.title}"')
            filled.append(kind)
            result = self._submit(result, form, inputs, redirect_uri)
        for kind in filled:
            require(kind, kind, "a page was filled in")
        return result

    def open(self, url: str, stop: str) -> Page | str:
        """Open a URL and follow redirects. Return the page, or the query of a redirect to the URL `stop`."""
        return self._follow("GET", url, None, stop)

    def _fill_in(self, page: Page) -> tuple[str, Form, dict[str, str]]:
        """Return the kind of the page, its form, and the inputs of this person."""
        for form in page.forms:
            if len(form.of_kind("password")) == 1 and len(form.of_kind("text")) == 1:
                if not self._username:
                    raise CheckError("sign_in", "the provider asks for a username; use --username")
                name, secret = form.of_kind("text")[0].name, form.of_kind("password")[0].name
                return "sign_in", form, {name: self._username, secret: self._password}
            button = form.button(_PROFILE)
            if button is not None:
                return "profile", form, {button.name: button.value}
            boxes = [box for box in form.of_kind("checkbox") if box.is_required]
            if boxes and not form.of_kind("password"):
                return "charter", form, {box.name: box.value for box in boxes}
        advice = ": complete this page in a browser first, for example activate the account with its letter"
        is_for_people = page.status == requests.codes.ok
        reason = f": {page.reason}" if page.reason else ""
        message = f'the provider shows "{page.title}" (HTTP {page.status}){advice if is_for_people else reason}'
        raise CheckError("page", message)

    def _submit(self, page: Page, form: Form, inputs: dict[str, str], stop: str) -> Page | str:
        target = urljoin(page.url, form.action)
        is_same_origin = _origin(page.url) == _origin(target) == self._origin
        require(is_same_origin, "form", "the form is on another site or is submitted to another site")
        return self._follow("POST", target, form.hidden() | inputs, stop, referer=page.url)

    def _follow(self, method: str, url: str, data: dict[str, str] | None, stop: str, referer: str = "") -> Page | str:
        headers = {"Origin": self._origin, "Referer": referer} if referer else {}
        for _ in range(_MAX_REDIRECTS):
            try:
                response = self._session.request(
                    method,
                    url,
                    data=data,
                    headers=headers,
                    allow_redirects=False,
                    timeout=_TIMEOUT,
                    verify=self._verify,
                )
            except (OSError, ValueError) as error:
                raise CheckError("page", f"the request for a page failed ({type(error).__name__})") from error
            if not response.is_redirect:
                return Page.read(url, response.status_code, response.content.decode(errors="replace"))
            url = urljoin(url, response.headers["Location"])
            if stop and url.partition("?")[0] == stop.partition("?")[0]:
                return urlsplit(url).query
            repeats = response.status_code in {requests.codes.temporary_redirect, requests.codes.permanent_redirect}
            require(method == "GET" or not repeats, "redirect", "a redirect repeats the POST request with the password")
            require(is_web_url(url.partition("?")[0]), "redirect", "a redirect leads to a URL without https")
            method, data, headers = "GET", None, {}
        raise CheckError("redirect", f"more than {_MAX_REDIRECTS} redirects")


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
