"""Guards of the account's pages: one requires a session, the other a password typed recently.

The pages of the links in mails limit guesses, and tell a link that was cut from one that does not work.
"""

from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Concatenate, ParamSpec

from flask import Response, request, url_for

from idp.accounts import one_time_links
from idp.accounts.models import Account
from idp.clock import now
from idp.sessions import manager, staying
from idp.sessions.models import PASSKEY_IN_SOFTWARE, Session, is_at_least
from idp.throttle import guard, limits
from idp.web.errors import IncompleteLinkError, TooManyRequestsError
from idp.web.redirects import see_other
from idp.web.request_context import remote_ip

# How long a password that was typed again counts on the pages of the account.
_REAUTHENTICATION_WINDOW = timedelta(minutes=5)
_P = ParamSpec("_P")
PROOF = "reauthentication.verify"  # the page that asks for the password again


def signed_in(page: Callable[Concatenate[Session, Account, _P], Response]) -> Callable[_P, Response]:
    """Give `page` the live session and its account; redirect other browsers.

    They are led to the sign-in, to the confirmation of the address that the account waits for, or to the question for
    the password if the person stays signed in on the device and has not typed it.
    """

    @wraps(page)
    def guarded(*args: _P.args, **kwargs: _P.kwargs) -> Response:
        signed_in_as = manager.current()
        if signed_in_as is None:
            return sign_in_first()
        session, account = signed_in_as
        if account.email is None and account.pending_email is not None:
            return see_other(url_for("email_confirmation.waiting"))
        if request.endpoint != PROOF and staying.has_opened(session):
            return see_other(url_for(PROOF))
        return page(session, account, *args, **kwargs)

    return guarded


def sign_in_first() -> Response:
    """Redirect to the sign-in, which leads to the account's page."""
    return see_other(url_for("login.sign_in"))


def proved_recently(session: Session) -> bool:
    """Return whether the person proved who they are within the re-authentication window (OWASP ASVS 5, V 7.5.1)."""
    return now() - session.auth_time <= _REAUTHENTICATION_WINDOW


def typed_password_recently(session: Session) -> bool:
    """Return whether the password itself was verified within that window: a passkey adds no other passkey."""
    return proved_recently(session) and not is_at_least(session.acr, PASSKEY_IN_SOFTWARE)


def count_bad_link() -> None:
    """Count an invalid link for the IP.

    Raises:
        TooManyRequestsError: there were too many.
    """
    if seconds := guard.take_or_wait((limits.BAD_LINK_IP, remote_ip())):
        raise TooManyRequestsError(seconds)


def refuse_incomplete_link(token: str, onward: tuple[str, str] | None = None) -> None:
    """Count a text that is no token. `onward` is the button of the page that says so.

    Raises:
        IncompleteLinkError: the text is no token.
        TooManyRequestsError: there were too many.
    """
    if not one_time_links.is_complete(token):
        count_bad_link()
        raise IncompleteLinkError(onward)
