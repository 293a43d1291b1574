"""The cookie of a device session: a random number and the rotation of its secret, signed."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from idp import opaque, signed
from idp.services import services
from idp.web.browser import cookie_name, cookie_options
from idp.web.http import AnyResponse, current_request

_NAME = "ds"
_LONGEST = 400
_PURPOSE = "device session"


@dataclass(frozen=True)
class PresentedCookie:
    """The content of a cookie whose signature is right: the number and its rotation."""

    number: str
    rotation: int


def is_sent() -> bool:
    """Return whether the browser sent the cookie of a device session."""
    return bool(current_request().cookies.get(_cookie_name()))


def presented() -> PresentedCookie | None:
    """Return the content of the browser's cookie, or None if there is none of ours."""
    value = current_request().cookies.get(_cookie_name(), "")
    if not value or len(value) > _LONGEST:
        return None
    try:
        content, _ = _signer().loads(value)
        number, rotation = content
        return PresentedCookie(str(number), int(rotation))
    except (signed.InvalidValueError, TypeError, ValueError):
        return None


def value_of(content: PresentedCookie) -> str:
    """Return the value of a cookie."""
    return _signer().dumps([content.number, content.rotation])


def digests(number: str) -> list[bytes]:
    """Return the digests of a number under the present secret key and under former ones."""
    keys = (opaque.derive_key(secret, _PURPOSE) for secret in services().settings.secrets)
    return [opaque.keyed_digest(key, number) for key in keys]


def put(response: AnyResponse, value: str) -> None:
    """Set the cookie of a device session that has just begun."""
    current_request().kept_cookies.pop(_cookie_name(), None)
    lifetime = timedelta(days=services().settings.stay_days)
    response.set_cookie(_cookie_name(), value, max_age=lifetime, **cookie_options(services().settings))


def clear(response: AnyResponse) -> None:
    """Delete the cookie, if the browser sent one."""
    current_request().kept_cookies.pop(_cookie_name(), None)
    if is_sent():
        response.delete_cookie(_cookie_name(), **cookie_options(services().settings))


def keep(value: str, lifetime: timedelta) -> None:
    """Have the response to this request set the cookie, whatever it is."""
    _keep(value, max_age=lifetime)


def forget() -> None:
    """Have the response to this request delete the cookie, whatever it is."""
    _keep("", max_age=0, expires=0)


def _keep(value: str, **options: Any) -> None:
    own = {**options, **cookie_options(services().settings)}
    current_request().kept_cookies[_cookie_name()] = value, own


def _cookie_name() -> str:
    return cookie_name(services().settings, _NAME)


def _signer() -> signed.Signer:
    return signed.signer(services().settings.secrets, _PURPOSE)
