"""A person of the desk for the bench: a session in the database, and the pages over one connection on loopback."""

import http.client
import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from html import unescape
from urllib.parse import urlencode

from bench.driver.relying_party import WrongAnswerError
from bench.driver.transport import HOST
from idp import opaque
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.desk.staff.models import Authenticator, Role, StaffAccount, StaffRole, StaffSession
from idp.web.browser import cookie_name

_TOKEN = re.compile(r'name="csrf_token"[^>]*value="([^"]+)"')
_BOUNDARY = "x-files"
_IDLE = 1.0
"""Seconds after which the server may have closed a connection."""


@dataclass(frozen=True)
class Page:
    """An answer, and the milliseconds until its last byte."""

    status: int
    text: str
    location: str
    duration: float


@dataclass
class Browser:
    """A browser in which a person is signed in."""

    host: str
    port: int
    cookies: dict[str, str]
    _connection: http.client.HTTPConnection = field(init=False)
    _used_at: float = 0.0

    def __post_init__(self) -> None:
        """Open no connection yet."""
        self._connection = http.client.HTTPConnection(HOST, self.port, timeout=30)

    def get(self, path: str, **query: str) -> Page:
        """Return a page that has to exist.

        Raises:
            WrongAnswerError: the status is neither 200 nor a redirect.
        """
        return self._ask("GET", f"{path}?{urlencode(query)}" if query else path)

    def upload(self, path: str, files: Mapping[str, bytes]) -> Page:
        """Send files as the form of the page does."""
        form = self.get(path).text
        token = _TOKEN.search(form)
        if token is None:
            raise WrongAnswerError(f"{path} has no form")
        parts = [_part('name="csrf_token"', unescape(token[1]).encode())]
        parts += [_part(f'name="fichiers"; filename="{name}"', content) for name, content in files.items()]
        body = b"".join(parts) + f"--{_BOUNDARY}--\r\n".encode()
        return self._ask("POST", path, body, {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"})

    def _ask(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Page:
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        origin = f"http://{self.host}"
        sent = {"Host": self.host, "Cookie": cookies, "Origin": origin, "Sec-Fetch-Site": "same-origin"}
        if time.monotonic() - self._used_at > _IDLE:
            self._connection.close()  # the next request opens it again
        began = time.perf_counter()
        self._connection.request(method, path, body, {**sent, **(headers or {})})
        response = self._connection.getresponse()
        content = response.read()
        duration, self._used_at = (time.perf_counter() - began) * 1000, time.monotonic()
        for cookie in response.headers.get_all("Set-Cookie", []):
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        if response.status not in {http.HTTPStatus.OK, http.HTTPStatus.SEE_OTHER}:
            raise WrongAnswerError(f"{method} {path}: {response.status}")
        text = content.decode("utf-8", "replace")
        return Page(response.status, text, response.headers.get("Location", ""), duration)


def _part(disposition: str, content: bytes) -> bytes:
    return f"--{_BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode() + content + b"\r\n"


def signed_in(settings: Settings, port: int, role: Role, school: uuid.UUID | None = None) -> Browser:
    """Return a browser in which a new person with this role is signed in; the caller is inside an application."""
    value, moment = opaque.new_value(), now()
    email = f"{uuid.uuid4().hex}@bureau.test"
    staff = StaffAccount(id=uuid.uuid4(), name="Personne du banc", email=email, mailbox=email, enrolled_at=moment)
    valid_until = moment + timedelta(days=30)
    with unit_of_work():
        db.session.add(staff)
        db.session.flush()
        db.session.add(StaffRole(staff_id=staff.id, role=role, school_id=school, valid_until=valid_until))
        db.session.add(
            StaffSession(
                digest=opaque.digest(value),
                staff_id=staff.id,
                generation=staff.generation,
                authenticator=Authenticator.PASSKEY,
                expires_at=moment + timedelta(hours=8),
                reason="banc d’essai",
                reason_at=moment,
            )
        )
    host = settings.desk_url.partition("//")[2]
    return Browser(host, port, {cookie_name(settings, "desk"): value})
