"""The browser's state: a cookie by which an ENT's page learns that the session is another one, or none.

It is what OpenID Connect Session Management 1.0 calls the OP browser state (section 2): drawn from the `sid` of the
session under a key of this service's own. Scripts and frames may read it: that is what it is for, and why it is neither
`HttpOnly` nor `SameSite=Lax`. It opens nothing, names nobody, and cannot be turned back into the session.
"""

from flask import Response, request

from idp import opaque
from idp.services import services
from idp.web.browser import cookie_name

_OPTIONS = {"path": "/", "secure": True, "httponly": False, "samesite": "None"}
"""`Secure` also over plain http: browsers take it from loopback, which is all that plain http is for."""


def name() -> str:
    """Return the cookie's full name."""
    return cookie_name(services().settings, "bs")


def value(sid: str) -> str:
    """Return the state of a browser that holds the session `sid`."""
    return opaque.keyed_value(opaque.derive_key(services().settings.secrets[0], "browser state"), sid)


def kept() -> str:
    """Return the state that the browser has; empty for none."""
    return request.cookies.get(name(), "")


def keep(response: Response, state: str) -> None:
    """Give the browser its state, unless it has it; an empty one is none."""
    if kept() == state:
        return
    if state:
        response.set_cookie(name(), state, **_OPTIONS)  # type: ignore[arg-type]
    else:
        forget(response)


def forget(response: Response) -> None:
    """Take the browser's state away: every ENT that asks is told that something changed."""
    response.delete_cookie(name(), **_OPTIONS)  # type: ignore[arg-type]


def forget_if_kept(response: Response) -> None:
    """Take the browser's state away where it has one: the next answer to an ENT gives it that of the new session."""
    keep(response, "")
