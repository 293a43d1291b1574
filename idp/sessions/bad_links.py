"""Limits guesses at the links of mails, and tells a link that was cut from one that does not work."""

from idp.accounts import one_time_links
from idp.throttle import guard, limits
from idp.web.errors import IncompleteLinkError, TooManyRequestsError
from idp.web.request_context import remote_ip


def count() -> None:
    """Count an invalid link for the IP.

    Raises:
        TooManyRequestsError: there were too many.
    """
    if seconds := guard.take_or_wait((limits.BAD_LINK_IP, remote_ip())):
        raise TooManyRequestsError(seconds)


def refuse_incomplete(token: str, onward: tuple[str, str] | None = None) -> None:
    """Count a text that is no token. `onward` is the button of the page that says so.

    Raises:
        IncompleteLinkError: the text is no token.
        TooManyRequestsError: there were too many.
    """
    if not one_time_links.is_complete(token):
        count()
        raise IncompleteLinkError(onward)
