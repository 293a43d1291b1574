"""What a parent reads when something stops: the cause in plain words, that nothing is lost, and a way on."""

import logging
import re

from flask import Flask, redirect, render_template
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException, InternalServerError, NotFound, SecurityError
from werkzeug.wrappers import Response

from clients.ent.person import find_person
from clients.ent.sessions import current_session
from clients.kit.checks import CheckError, ProviderDownError, ProviderRefusedError, now

_log = logging.getLogger(__name__)
_RETRY_AFTER = 30
_JUST_NOW = 60
"""Seconds: an access token refused so soon after the sign-in was not too old, and another would fare no better."""
_SIGN_IN_NEEDED = frozenset(
    {"login_required", "interaction_required", "consent_required", "account_selection_required"}
)
_BUSY = frozenset({"server_error", "temporarily_unavailable"})
Page = tuple[str, int]
Answer = Page | tuple[str, int, dict[str, str]] | Response


def register_errors(app: Flask) -> None:
    """Give each error its page."""
    app.register_error_handler(CheckError, page_of)
    app.register_error_handler(CSRFError, _form_lost)
    app.register_error_handler(HTTPException, _http)


def page_of(error: CheckError) -> Answer:
    """Return the page of what stopped between this ENT and the provider."""
    match error:
        case ProviderDownError():
            return _down(error)
        case ProviderRefusedError():
            return _refused(str(error))
        case CheckError(check="state"):
            return _page("lost", 400)  # the answer comes too late, or a second time
        case _:
            return _not_believed(error)


def _page(kind: str, status: int, mark: str = "") -> Page:
    """Return the page of that kind; `mark` is what the person can quote to whoever helps."""
    return render_template("problem.html", kind=kind, mark=mark), status


def _not_believed(error: CheckError) -> Page:
    """An answer failed a check: say so, open nothing, and keep the rule's name for the log."""
    _log.warning("Sign-in refused, check %s: %s", error.check, error)
    return _page("not_believed", 400, error.check)


def _refused(given: str) -> Page | Response:
    """The provider said no (RFC 6749, 4.1.2.1; Core 1.0, 3.1.2.6), or the person did, over there."""
    code = given if re.fullmatch(r"[a-z_]{1,40}", given) else "unknown"
    if code == "invalid_token":
        return _token_expired()
    if code == "access_denied":
        return _page("denied", 403)
    if code in _SIGN_IN_NEEDED:
        return _page("sign_in_needed", 400)
    if code in _BUSY:
        return _page("busy", 400)
    if code == "invalid_grant":
        return _page("lost", 400)
    _log.error("The provider refuses this ENT: %s. Compare its settings with the registration.", code)
    return _page("misconfigured", 400, code)


def _down(error: ProviderDownError) -> tuple[str, int, dict[str, str]]:
    """The provider cannot be reached: nothing that the person typed is the cause."""
    _log.error("The provider cannot be used: %s", error)
    page, status = _page("down", 503)
    return page, status, {"Retry-After": str(_RETRY_AFTER)}


def _token_expired() -> Page | Response:
    """The access token died while a person was reading: another sign-in, without a password, brings a new one."""
    person = find_person(current_session())
    if person is None or now() - person.signed_in_at < _JUST_NOW:
        _log.error("The provider refuses the access token that it has just given.")
        return _page("misconfigured", 400, "invalid_token")
    return redirect("/login", 303)


def _form_lost(_error: CSRFError) -> Page:
    """A form without its token: it waited too long, or another site sent it."""
    return _page("form_lost", 400)


def _http(error: HTTPException) -> Page | HTTPException:
    """An address that leads nowhere, a method that has no meaning there, a body too large, or our own fault."""
    if error.code is None or error.response is not None or isinstance(error, SecurityError):
        return error  # a Host that is not ours has no page: no address could be built for it
    kind = {NotFound: "not_found", InternalServerError: "broken"}.get(type(error), "not_understood")
    return _page(kind, error.code)
