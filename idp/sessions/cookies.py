"""Two cookies beside that of the session: the browser state, which ENTs check, and the device session.

By the browser state, an ENT's page notices that the session has changed or ended. OpenID Connect Session Management 1.0
calls it the OP browser state (section 2). The value is derived from the session's `sid` under a key of this service.
Scripts and frames have to read it, so it is neither `HttpOnly` nor `SameSite=Lax`. It gives no access, contains no
name, and does not reveal the session.

The cookie of a device session has a random number and the rotation of its secret, signed.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from idp import opaque
from idp.services import services
from idp.web.browser import cookie_name, cookie_options
from idp.web.http import AnyResponse, current_request

# `Secure` also over plain http: browsers accept that from loopback, the only place where plain http is used.
_OPTIONS = {"path": "/", "secure": True, "httponly": False, "samesite": "None"}


def browser_state_name() -> str:
    """Return the cookie's full name."""
    return cookie_name(services().settings, "bs")


def browser_state(sid: str) -> str:
    """Return the state for a browser that holds the session `sid`."""
    return opaque.keyed_value(opaque.derive_key(services().settings.secrets[0], "browser state"), sid)


def kept_browser_state() -> str:
    """Return the state that this browser sent; empty if it sent none."""
    return current_request().cookies.get(browser_state_name(), "")


def keep_browser_state(response: AnyResponse, state: str) -> None:
    """Set the browser's state if it differs; an empty state deletes the cookie."""
    if kept_browser_state() == state:
        return
    if state:
        response.set_cookie(browser_state_name(), state, **_OPTIONS)  # type: ignore[arg-type]
    else:
        forget_browser_state(response)


def forget_browser_state(response: AnyResponse) -> None:
    """Delete the browser's state: every ENT that checks it learns that something changed."""
    response.delete_cookie(browser_state_name(), **_OPTIONS)  # type: ignore[arg-type]


_NAME = "ds"
_LONGEST = 400
_PURPOSE = "device session"


@dataclass(frozen=True)
class PresentedCookie:
    """The content of a cookie whose signature is right: the number and its rotation."""

    number: str
    rotation: int


def is_device_sent() -> bool:
    """Return whether the browser sent the cookie of a device session."""
    return bool(current_request().cookies.get(_cookie_name()))


def presented_device() -> PresentedCookie | None:
    """Return the content of the browser's cookie, or None if there is none of ours."""
    value = current_request().cookies.get(_cookie_name(), "")
    if not value or len(value) > _LONGEST:
        return None
    try:
        content, _ = _signer().loads(value)
        number, rotation = content
        return PresentedCookie(str(number), int(rotation))
    except (opaque.InvalidValueError, TypeError, ValueError):
        return None


def device_value(content: PresentedCookie) -> str:
    """Return the value of a cookie."""
    return _signer().dumps([content.number, content.rotation])


def device_digests(number: str) -> list[bytes]:
    """Return the digests of a number under the present secret key and under former ones."""
    keys = (opaque.derive_key(secret, _PURPOSE) for secret in services().settings.secrets)
    return [opaque.keyed_digest(key, number) for key in keys]


def put_device(response: AnyResponse, value: str) -> None:
    """Set the cookie of a device session that has just begun."""
    current_request().kept_cookies.pop(_cookie_name(), None)
    lifetime = timedelta(days=services().settings.stay_days)
    response.set_cookie(_cookie_name(), value, max_age=lifetime, **cookie_options(services().settings))


def clear_device(response: AnyResponse) -> None:
    """Delete the cookie, if the browser sent one."""
    current_request().kept_cookies.pop(_cookie_name(), None)
    if is_device_sent():
        response.delete_cookie(_cookie_name(), **cookie_options(services().settings))


def keep_device(value: str, lifetime: timedelta) -> None:
    """Have the response to this request set the cookie, whatever it is."""
    _keep_device(value, max_age=lifetime)


def forget_device() -> None:
    """Have the response to this request delete the cookie, whatever it is."""
    _keep_device("", max_age=0, expires=0)


def _keep_device(value: str, **options: Any) -> None:
    own = {**options, **cookie_options(services().settings)}
    current_request().kept_cookies[_cookie_name()] = value, own


def _cookie_name() -> str:
    return cookie_name(services().settings, _NAME)


def _signer() -> opaque.Signer:
    return opaque.signer(services().settings.secrets, _PURPOSE)
