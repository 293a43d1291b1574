"""Error pages for parents: the cause in plain French, and a link to continue."""

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
"""Seconds. An access token refused so soon after the sign-in has not expired: a new sign-in would not help."""
_SIGN_IN_NEEDED = frozenset(
    {"login_required", "interaction_required", "consent_required", "account_selection_required"}
)
_BUSY = frozenset({"server_error", "temporarily_unavailable"})
Page = tuple[str, int]
ErrorResponse = Page | tuple[str, int, dict[str, str]] | Response


def register_errors(app: Flask) -> None:
    """Register the handler of each error."""
    app.register_error_handler(CheckError, sign_in_error_page)
    app.register_error_handler(CSRFError, _csrf_error_page)
    app.register_error_handler(HTTPException, _http_error_page)


def sign_in_error_page(error: CheckError) -> ErrorResponse:
    """Return the page for an error between this ENT and the provider."""
    match error:
        case ProviderDownError():
            return _provider_down_page(error)
        case ProviderRefusedError():
            return _refusal_page(str(error))
        case CheckError(check="state"):
            return _page("lost", 400)  # the response came too late, or twice
        case _:
            return _failed_check_page(error)


def _page(kind: str, status: int, mark: str = "") -> Page:
    """Return the error page of that kind; `mark` is a code that the person can quote to the support."""
    return render_template("problem.html", kind=kind, mark=mark), status


def _failed_check_page(error: CheckError) -> Page:
    """Log the name of the failed check and return the page that shows it."""
    _log.warning("Sign-in refused, check %s: %s", error.check, error)
    return _page("not_believed", 400, error.check)


def _refusal_page(error_code: str) -> Page | Response:
    """Return the page for an error code of the provider (RFC 6749, 4.1.2.1; Core 1.0, 3.1.2.6)."""
    code = error_code if re.fullmatch(r"[a-z_]{1,40}", error_code) else "unknown"
    if code == "invalid_token":
        return _rejected_access_token()
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


def _provider_down_page(error: ProviderDownError) -> tuple[str, int, dict[str, str]]:
    """Return the page for a provider that does not respond."""
    _log.error("The provider cannot be used: %s", error)
    page, status = _page("down", 503)
    return page, status, {"Retry-After": str(_RETRY_AFTER)}


def _rejected_access_token() -> Page | Response:
    """Start a new sign-in if the access token can have expired; otherwise return an error page."""
    person = find_person(current_session())
    if person is None or now() - person.signed_in_at < _JUST_NOW:
        _log.error("The provider refuses an access token that it issued less than %s seconds ago.", _JUST_NOW)
        return _page("misconfigured", 400, "invalid_token")
    return redirect("/login", 303)


def _csrf_error_page(_error: CSRFError) -> Page:
    """Return the page for a form without a valid CSRF token."""
    return _page("form_lost", 400)


def _http_error_page(error: HTTPException) -> Page | HTTPException:
    """Return the page for an HTTP error."""
    if error.code is None or error.response is not None or isinstance(error, SecurityError):
        return error  # SecurityError: the Host header is not trusted, so the page's URLs cannot be built
    kind = {NotFound: "not_found", InternalServerError: "broken"}.get(type(error), "not_understood")
    return _page(kind, error.code)
