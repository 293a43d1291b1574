"""The browser cookie: it binds forms and authorization requests to a browser, before any sign-in.

It has a random value and a short memory, is signed, and identifies no person. Endpoints for programs do not read it.
Over http, in development only, its name has no `__Host-` prefix, which browsers would refuse.
"""

import hmac
from datetime import timedelta
from typing import Any

from flask import Flask, g

from idp import opaque
from idp.clock import now
from idp.config import Settings
from idp.services import services
from idp.web.http import AnyResponse, Request, current_request

_MAX_ANSWERED = 12
_MAX_ACTIVATED = 2
_TOKEN = "csrf_token"  # noqa: S105 - the name of the field
_PARTS = 4  # the cookie is written again after this part of its lifetime, so that the browser keeps it while in use


class BrowserCookie:
    """The content of the cookie of one request; the response sets the cookie if it `is_changed`."""

    def __init__(self, content: dict[str, Any], *, is_changed: bool = False) -> None:
        self.content = content
        self.is_changed = is_changed

    def set(self, name: str, value: Any) -> None:
        """Change one value."""
        self.content[name] = value
        self.is_changed = True


def _cookie() -> BrowserCookie:
    request = current_request()
    if request.browser_cookie is None:
        request.browser_cookie = _read(request, services().settings)
    known: BrowserCookie = request.browser_cookie
    return known


def _read(request: Request, settings: Settings) -> BrowserCookie:
    value = request.cookies.get(cookie_name(settings, "tx"), "")
    if not value:
        return BrowserCookie({})
    try:
        content, signed_at = _signer(settings).loads(value, _cookie_lifetime())
    except opaque.InvalidValueError:
        return BrowserCookie({})
    if not isinstance(content, dict):
        return BrowserCookie({})
    is_due = now() - signed_at > timedelta(seconds=_form_lifetime() / _PARTS)
    return BrowserCookie(content, is_changed=is_due)


def _form_lifetime() -> int:
    return int(services().form_lifetime.total_seconds())


def _cookie_lifetime() -> int:
    """Return the lifetime in seconds, that of a form and a quarter: the cookie may be a quarter old already."""
    return _form_lifetime() + _form_lifetime() // _PARTS


def _signer(settings: Settings) -> opaque.Signer:
    return opaque.signer(settings.secrets, "browser cookie")


def save(request: Request, response: AnyResponse) -> None:
    """Write the browser cookie of `request` to `response`, if it has changed or is old."""
    cookie: BrowserCookie | None = request.browser_cookie
    if cookie is not None and cookie.is_changed:
        settings = services().settings
        value = _signer(settings).dumps(cookie.content)
        options = cookie_options(settings)
        response.set_cookie(cookie_name(settings, "tx"), value, max_age=_cookie_lifetime(), **options)


def cookie_name(settings: Settings, name: str) -> str:
    """Return the full name of a cookie, with the `__Host-` prefix over https (RFC 6265bis 4.1.3.2)."""
    return f"__Host-{name}" if settings.https else f"idp-{name}"


def cookie_options(settings: Settings) -> dict[str, Any]:
    """Return the attributes of all cookies of this service (security row B-01)."""
    return {"path": "/", "secure": settings.https, "httponly": True, "samesite": "Lax"}


def configure(app: Flask) -> None:
    """Write the browser cookie to the pages of `app`, and give its templates the form token."""

    @app.after_request
    def save_cookie(response: Any) -> Any:
        save(current_request(), response)
        return response

    app.jinja_env.globals["csrf_token"] = lambda: g.get("form_token") or form_token()


def binding() -> str:
    """Return the random value of this browser; create it at the first call."""
    cookie = _cookie()
    value = cookie.content.get("b")
    if not isinstance(value, str):
        value = opaque.new_value()
        cookie.set("b", value)
    return value


def is_known() -> bool:
    """Return whether this browser was on our pages within the lifetime of its cookie."""
    return isinstance(_cookie().content.get("b"), str)


def note_answered(name: str) -> None:
    """Store in the browser cookie that the request `name` was answered. The last twelve are kept."""
    names = [answered for answered in _texts("d") if answered != name]
    _cookie().set("d", [name, *names][:_MAX_ANSWERED])


def was_answered(name: str) -> bool:
    """Return whether the browser cookie says that the request `name` was answered."""
    return name in _texts("d")


def _texts(key: str) -> list[str]:
    names = _cookie().content.get(key)
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def note_activation(account: str, interaction: str) -> None:
    """Store in the browser cookie that the account with this id was activated here. The last two are kept."""
    others = [pair for pair in _texts("v") if not pair.startswith(f"{account} ")]
    _cookie().set("v", [f"{account} {interaction}", *others][:_MAX_ACTIVATED])


def activations() -> dict[str, str]:
    """Return the ids of the accounts that this browser activated a short time ago, each with its interaction's id."""
    return dict(pair.split(" ", 1) for pair in _texts("v") if " " in pair)


def note_used_link(name: str) -> None:
    """Store in the browser cookie that the link with the id `name` was used here."""
    _cookie().set("l", [name])


def forget_used_link() -> None:
    """Remove the link from the browser cookie: somebody signed in here."""
    if used_link():
        _cookie().set("l", [])


def used_link() -> str:
    """Return the id of the link that was used here last, or an empty string."""
    return next(iter(_texts("l")), "")


def form_token(scope: str = "") -> str:
    """Return the token of the forms of this browser, which another site cannot know.

    `scope` is what else the forms are bound to, readable, without spaces; see `form_scope`.
    """
    subject = _token_subject(binding())
    return _token_signer().dumps(f"{subject} {scope}" if scope else subject)


def has_form_token(request: Request) -> bool:
    """Return whether a form has the token of this browser, and was not open for too long."""
    return form_scope(request) is not None


def form_scope(request: Request) -> str | None:
    """Return the scope of a form's token, empty for a token without one; None if `has_form_token` is false."""
    token, own = request.fields.get(_TOKEN), _cookie().content.get("b")
    if not token or not isinstance(own, str):
        return None
    try:
        value, _ = _token_signer().loads(token, _form_lifetime())
    except opaque.InvalidValueError:
        return None
    subject, _, scope = value.partition(" ") if isinstance(value, str) else ("", "", "")
    is_own = hmac.compare_digest(opaque.digest(subject), opaque.digest(_token_subject(own)))
    return scope if is_own else None


def renew_form_token() -> None:
    """Draw a new token, so that forms from before a sign-in are refused (security row I-12)."""
    _cookie().set("f", opaque.new_value()[:11])


def _token_subject(own: str) -> str:
    """Return what a form token is about: the browser and the last renewal, hashed, since every page has the token."""
    return opaque.digest(f"{own} {_cookie().content.get('f', '')}").hex()[:32]


def _token_signer() -> opaque.Signer:
    return opaque.signer(services().settings.secrets, "form token")
