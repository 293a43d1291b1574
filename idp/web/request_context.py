"""Who is asking, as far as the network tells, and the reference that joins a page, a log line and the journal."""

import secrets

from flask import Flask, g, request
from werkzeug.middleware.proxy_fix import ProxyFix

from idp.config import Settings

_ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
_ADDRESS_LENGTH = 45


def trust_proxies(app: Flask, settings: Settings) -> None:
    """Believe as many `X-Forwarded-For` and `-Proto` hops as the operator declared, none by default; never a host."""
    if settings.trusted_proxies:
        count = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=count, x_proto=count, x_host=0)  # type: ignore[method-assign]


def remote_address() -> str:
    """Return the network address of the browser or client, or an empty string."""
    return (request.remote_addr or "")[:_ADDRESS_LENGTH]


def user_agent() -> str:
    """Return the browser's name for itself, cut to what is kept of it."""
    return request.user_agent.string[:300]


def request_id() -> str:
    """Return this request's id, such as 7F3K-92QD: the same on an error page, in the log and in the journal.

    Short enough to read out on the phone; made at the first need.
    """
    if "request_id" not in g:
        number = secrets.randbelow(len(_ALPHABET) ** 8)  # one draw: eight would cost a request 20 µs
        letters = "".join(_ALPHABET[number // len(_ALPHABET) ** place % len(_ALPHABET)] for place in range(8))
        g.request_id = f"{letters[:4]}-{letters[4:]}"
    value: str = g.request_id
    return value
