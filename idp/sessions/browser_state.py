"""The browser-state cookie, by which an ENT's page notices that the session has changed or ended.

OpenID Connect Session Management 1.0 calls it the OP browser state (section 2). The value is derived from the session's
`sid` under a key of this service. Scripts and frames have to read it, so it is neither `HttpOnly` nor `SameSite=Lax`.
It gives no access, contains no name, and does not reveal the session.
"""

from idp import opaque
from idp.services import services
from idp.web.browser import cookie_name
from idp.web.http import AnyResponse, current_request

_OPTIONS = {"path": "/", "secure": True, "httponly": False, "samesite": "None"}
"""`Secure` also over plain http: browsers accept that from loopback, the only place where plain http is used."""


def name() -> str:
    """Return the cookie's full name."""
    return cookie_name(services().settings, "bs")


def value(sid: str) -> str:
    """Return the state for a browser that holds the session `sid`."""
    return opaque.keyed_value(opaque.derive_key(services().settings.secrets[0], "browser state"), sid)


def kept() -> str:
    """Return the state that this browser sent; empty if it sent none."""
    return current_request().cookies.get(name(), "")


def keep(response: AnyResponse, state: str) -> None:
    """Set the browser's state if it differs; an empty state deletes the cookie."""
    if kept() == state:
        return
    if state:
        response.set_cookie(name(), state, **_OPTIONS)  # type: ignore[arg-type]
    else:
        forget(response)


def forget(response: AnyResponse) -> None:
    """Delete the browser's state: every ENT that checks it learns that something changed."""
    response.delete_cookie(name(), **_OPTIONS)  # type: ignore[arg-type]
