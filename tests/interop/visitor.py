"""A parent's browser without a display: cookies, redirects between sites, and forms."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from lxml import html
from requests.adapters import HTTPAdapter

from tests.builders import PASSWORD

PATIENCE = 60.0
_LONGEST_WAY = 20


class FromIP(HTTPAdapter):
    """Sends requests from an IP of the loopback, which has 16 million; `""` lets the system choose."""

    def __init__(self, ip: str) -> None:
        self._ip = ip
        super().__init__()

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **more: Any) -> None:  # noqa: FBT001, FBT002 - its signature
        super().init_poolmanager(connections, maxsize, block=block, source_address=(self._ip, 0), **more)


class Visitor:
    """One browser.

    Attributes:
        page: the current page.
        steps: the URLs of the redirects since the last URL was opened or the last form was sent.
        stops_at: the prefix of URLs that are not opened, because no server listens there.
    """

    page: requests.Response
    steps: list[str]
    stops_at: str = ""

    def __init__(self, trusted: Path, ip: str = "") -> None:
        """Open a browser that knows the authorities in `trusted`, and sends its requests from `ip` if one is given."""
        self._session = requests.Session()
        self._session.mount("https://", FromIP(ip))
        self._session.trust_env = False  # no proxy and no authorities of the machine
        self._session.verify = str(trusted)

    def close(self) -> None:
        self._session.close()

    def open(self, url: str, headers: Mapping[str, str] | None = None) -> requests.Response:
        self.steps = []
        return self._arrive(self._send("GET", url, headers))

    def submit(self, *unchanged: str, **filled_in: str) -> requests.Response:
        """Send the form of the page with these fields; other fields keep their values.

        `_` in a name is replaced by `-`.
        """
        filled = {name.replace("_", "-"): value for name, value in filled_in.items()}
        [form] = [form for form in self._tree().forms if {*unchanged, *filled} <= set(form.fields.keys())]
        parts = urlsplit(self.page.url)
        headers = {"Referer": self.page.url, "Origin": f"{parts.scheme}://{parts.netloc}"}
        self.steps = []
        target = urljoin(self.page.url, form.action or "")
        return self._arrive(self._send(form.method, target, headers, {**dict(form.form_values()), **filled}))

    def _send(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, form: Mapping[str, str] | None = None
    ) -> requests.Response:
        return self._session.request(method, url, headers=headers, data=form, allow_redirects=False, timeout=PATIENCE)

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
        assert self.heading == "Connexion", f"{self.heading} at {self.page.url}"
        return self.submit(identifiant=username, mot_de_passe=PASSWORD)

    def accept_the_charter(self) -> requests.Response:
        assert self.heading == "Charte ENT", f"{self.heading} at {self.page.url}"
        return self.submit(accepte="y")

    def sign_out_at(self, issuer: str) -> None:
        self.open(f"{issuer}/logout")
        assert self.heading == "Voulez-vous vous déconnecter ?", f"{self.heading} at {self.page.url}"
        self.submit()
        assert self.heading == "Vous êtes déconnecté", f"{self.heading} at {self.page.url}"

    @property
    def heading(self) -> str:
        text = self._tree().xpath("string(//h1)")
        assert isinstance(text, str)
        return " ".join(text.split())

    @property
    def cookies(self) -> dict[str, str | None]:
        return {cookie.name: cookie.value for cookie in self._session.cookies}

    def _tree(self) -> html.HtmlElement:
        # an empty page has no tree
        return html.document_fromstring(self.page.text or "<html></html>")
