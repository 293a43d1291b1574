"""The IP, the user agent and the id of the request that is being answered."""

import os

from idp.web.http import current_request

_ALPHABET = b"23456789ABCDEFGHJKMNPQRSTVWXYZ"
_LETTERS = bytes(_ALPHABET[byte % len(_ALPHABET)] for byte in range(256))
"""The letter for each random byte. Some are a little more frequent, which does not matter: an id is no secret."""


def remote_ip() -> str:
    """Return the IP of the browser or client, or an empty string."""
    return current_request().remote_ip


def user_agent() -> str:
    """Return the `User-Agent` header, 300 characters at most."""
    return current_request().user_agent


def request_id() -> str:
    """Return the id of this request on error pages, in the log and in the journal."""
    request = current_request()
    request.id = request.id or new_id()
    return request.id


def new_id() -> str:
    """Return an id such as 7F3K-92QD."""
    letters = os.urandom(8).translate(_LETTERS).decode()
    return f"{letters[:4]}-{letters[4:]}"
