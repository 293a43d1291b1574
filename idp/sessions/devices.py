"""The device cookie: a browser that an account has signed in on has a rate limit of its own.

An attacker who guesses passwords from elsewhere then does not lock parents out of their own phones (OWASP
Authentication Cheat Sheet, « Device cookies »; security rows I-05, W-02). The cookie is signed, and does not replace
the password. One browser may serve several parents; it keeps the last few, with their identifiers encrypted, so that
the sign-in page can offer them by name.
"""

import base64
from dataclasses import astuple, dataclass
from datetime import UTC, datetime, timedelta

from idp import opaque
from idp.accounts.authentication import Attempt, Device, Door
from idp.accounts.passwords.hasher import fold_username
from idp.clock import now
from idp.services import services
from idp.web.browser import cookie_name, cookie_options
from idp.web.http import AnyResponse, current_request
from idp.web.request_context import remote_ip, user_agent

LIFETIME = timedelta(days=90)
SETTLED = timedelta(days=1)
"""The time after its first sign-in until a browser counts as the account's own; a mail reported that sign-in."""
_MOST_ACCOUNTS = 6
_LONGEST = 3000
_PURPOSE = "identifiers of the device cookie"
# What begins the names of people of the desk: the cookie of a parent, copied to the desk, is no device there.
_OF_DESK = "desk."


@dataclass(frozen=True)
class _Entry:
    """One account in the cookie: the digest of its identifier, the browser's number for it, its last and first sign-in.

    The encrypted identifier is empty for people of the desk.
    """

    name: str
    number: str
    since: int
    first: int
    identifier: str = ""


def known(username: str, *, of_desk: bool = False) -> Device | None:
    """Return this browser as a device of the account with the folded identifier, or None if it is unknown.

    `of_desk` says that it is a person of the desk, with the id as the identifier.
    """
    name = _name(username, of_desk=of_desk)
    return _device(next((entry for entry in _entries() if entry.name == name), None))


def is_settled(device: Device | None) -> bool:
    """Return whether the account has known the browser for `SETTLED`: two sign-ins in a row do not make it so."""
    return device is not None and device.first <= now() - SETTLED


def of_desk() -> Device | None:
    """Return this browser as a device of the person of the desk who signed in last, or None if nobody did."""
    return _device(next((entry for entry in _entries() if entry.name.startswith(_OF_DESK)), None))


def of_parent() -> Device | None:
    """Return this browser as a device of the parent who signed in last, or None if nobody did."""
    return _device(next((entry for entry in _entries() if not entry.name.startswith(_OF_DESK)), None))


def parents() -> dict[str, str]:
    """Return the folded identifiers of the parents who signed in on this browser, by their numbers, the last first."""
    identifiers = {entry.number: _decrypted(entry) for entry in _entries() if entry.identifier}
    return {number: identifier for number, identifier in identifiers.items() if identifier}


def _encrypted(identifier: str, number: str) -> str:
    value = opaque.encrypt(services().settings.secrets, _PURPOSE, identifier.encode(), number)
    return base64.urlsafe_b64encode(value).decode()


def _decrypted(entry: _Entry) -> str:
    try:
        value = base64.urlsafe_b64decode(entry.identifier)
        return opaque.decrypt(services().settings.secrets, _PURPOSE, value, entry.number).decode()
    except (opaque.UndecryptableError, ValueError):
        return ""


def _device(entry: _Entry | None) -> Device | None:
    if entry is None:
        return None
    return Device(entry.number, datetime.fromtimestamp(entry.since, UTC), datetime.fromtimestamp(entry.first, UTC))


def remember(response: AnyResponse, username: str, *, of_desk: bool = False) -> None:
    """Make this browser a device of the account (`known`); call it after the password or a passkey was verified."""
    settings, name, known_here = services().settings, _name(username, of_desk=of_desk), _entries()
    others = [entry for entry in known_here if entry.name != name]
    # Rounded up: a device counts from the second after a change of password, and this browser verified the new one.
    since = int(now().timestamp()) + 1
    first = next((entry.first for entry in known_here if entry.name == name), since)
    number = opaque.new_value()[:16]
    entry = _Entry(name, number, since, first, "" if of_desk else _encrypted(username, number))
    kept = [list(astuple(e)) for e in (entry, *others)][:_MOST_ACCOUNTS]
    response.set_cookie(
        cookie_name(settings, "dv"), _signer().dumps(kept), max_age=LIFETIME, **cookie_options(settings)
    )


def _entries() -> list[_Entry]:
    value = current_request().cookies.get(cookie_name(services().settings, "dv"), "")
    if not value or len(value) > _LONGEST:
        return []
    try:
        stored, _ = _signer().loads(value)
        entries = [
            _Entry(str(name), str(number), int(since), int(first), *map(str, identifier))
            for name, number, since, first, *identifier in stored
        ]
    except (opaque.InvalidValueError, TypeError, ValueError):
        return []
    oldest = (now() - LIFETIME).timestamp()
    return [entry for entry in entries if entry.since > oldest]


def _name(username: str, *, of_desk: bool) -> str:
    """Return the account's name in the cookie. A new secret key changes all names: all browsers are unknown again."""
    key = opaque.derive_key(services().settings.secrets[0], "device name")
    digest = base64.urlsafe_b64encode(opaque.keyed_digest(key, username)[:12]).decode()
    return f"{_OF_DESK}{digest}" if of_desk else digest


def _signer() -> opaque.Signer:
    return opaque.signer(services().settings.secrets, "device")


def attempt(username: str, typed: str, *, door: Door = "reauthentication") -> Attempt:
    """Return the attempt to sign in as `username` with the secret `typed`, at `door`."""
    return Attempt(
        username=username,
        password=typed,
        ip=remote_ip(),
        user_agent=user_agent(),
        device=known(fold_username(username) or ""),
        door=door,
    )
