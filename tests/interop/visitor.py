"""A parent's browser at the level of HTTP: cookies, redirects from site to site, and the form that a page shows."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import requests
from lxml import html

from tests.builders import PASSWORD

PATIENCE = 60.0
_LONGEST_WAY = 20


class Visitor:
    """One browser.

    Attributes:
        page: what it shows, at the end of the redirects.
        steps: where the redirects led, since an address was opened or a form was sent.
        stops_at: the beginning of addresses where nobody listens: it goes no further.
    """

    page: requests.Response
    steps: list[str]
    stops_at: str = ""

    def __init__(self, trusted: Path) -> None:
        self._session = requests.Session()
        self._session.trust_env = False  # neither a proxy nor the authorities of the machine
        self._session.verify = str(trusted)

    def close(self) -> None:
        """Close its connections."""
        self._session.close()

    def open(self, address: str, headers: Mapping[str, str] | None = None) -> requests.Response:
        """Go to an address, as one typed or followed it."""
        self.steps = []
        return self._arrive(self._send("GET", address, headers))

    def submit(self, *kept: str, **filled_in: str) -> requests.Response:
        """Send the form of the page that has these fields; all that is not filled in stays as the page has it.

        `_` in a name stands for `-`.
        """
        filled = {name.replace("_", "-"): value for name, value in filled_in.items()}
        [form] = [form for form in self._tree().forms if {*kept, *filled} <= set(form.fields.keys())]
        parts = urlsplit(self.page.url)
        headers = {"Referer": self.page.url, "Origin": f"{parts.scheme}://{parts.netloc}"}
        self.steps = []
        target = urljoin(self.page.url, form.action or "")
        return self._arrive(self._send(form.method, target, headers, {**dict(form.form_values()), **filled}))

    def _send(
        self, method: str, address: str, headers: Mapping[str, str] | None = None, form: Mapping[str, str] | None = None
    ) -> requests.Response:
        return self._session.request(
            method, address, headers=headers, data=form, allow_redirects=False, timeout=PATIENCE
        )

    def _arrive(self, answer: requests.Response) -> requests.Response:
        while answer.is_redirect:
            self.steps.append(urljoin(answer.url, answer.headers["Location"]))
            assert len(self.steps) < _LONGEST_WAY, self.steps
            if self.stops_at and self.steps[-1].startswith(self.stops_at):
                break
            answer = self._send("GET", self.steps[-1])
        self.page = answer
        return answer

    def sign_in(self, username: str) -> requests.Response:
        """Fill in the provider's sign-in page, which must be there."""
        assert self.heading == "Connexion", f"{self.heading} at {self.page.url}"
        return self.submit(identifiant=username, mot_de_passe=PASSWORD)

    def accept_the_charter(self) -> requests.Response:
        """Accept it on the provider's page, which must be there."""
        assert self.heading == "Charte ENT", f"{self.heading} at {self.page.url}"
        return self.submit(accepte="y")

    def sign_out_at(self, issuer: str) -> None:
        """Sign out on the provider's own page."""
        self.open(f"{issuer}/logout")
        assert self.heading == "Voulez-vous vous déconnecter ?", f"{self.heading} at {self.page.url}"
        self.submit()
        assert self.heading == "Vous êtes déconnecté", f"{self.heading} at {self.page.url}"

    @property
    def heading(self) -> str:
        """The page's h1, as it is read, whatever its blanks are."""
        found = self._tree().xpath("string(//h1)")
        assert isinstance(found, str)
        return " ".join(found.split())

    @property
    def cookies(self) -> dict[str, str | None]:
        """All cookies that it holds, by name."""
        return {cookie.name: cookie.value for cookie in self._session.cookies}

    def _tree(self) -> html.HtmlElement:
        # a page without any text has no tree
        return html.document_fromstring(self.page.text or "<html></html>")
