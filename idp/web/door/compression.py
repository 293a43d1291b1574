"""Pages are compressed with gzip, unless a person is signed in.

The length of a compressed page tells whether a text that an attacker put into it occurs in it a second time (BREACH).
Such an attack needs the cookies of the person and a page with a secret. So a response to a request with a session is
sent as it is. On other pages the only secret is the form token, whose signature is another in each second.
"""

import re
import zlib

from idp.web.http import Request, Response

_LEAST = 1024  # bytes of a body that fit into one packet anyway
_LEVEL, _WINDOW, _MEMORY = 3, 14, 6
"""A third of the time that zlib takes with its defaults, most of which is to clear its memory."""
_GZIP = 16  # what zlib adds to the size of the window for the format gzip
_REPLACED = frozenset({"content-length", "vary"})
_ACCEPTED = re.compile(r"\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))", re.IGNORECASE)


def compress(request: Request, response: Response) -> Response:
    """Compress the body of a page in place, if the browser accepts gzip (RFC 9110 12.5.3); return the response.

    The caller checks that the request has no session. Responses of other types, and short ones, stay as they are.
    """
    if len(response.body) < _LEAST or not _ACCEPTED.search(request.header("Accept-Encoding")):
        return response
    given = {name.lower(): value for name, value in response.headers}
    if not given.get("content-type", "").startswith("text/html") or "content-encoding" in given:
        return response
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP + _WINDOW, _MEMORY)
    response.body = packer.compress(response.body) + packer.flush()
    varying = ", ".join(filter(None, (given.get("vary", ""), "Accept-Encoding")))
    response.headers = [
        *(pair for pair in response.headers if pair[0].lower() not in _REPLACED),
        ("Content-Encoding", "gzip"),
        ("Content-Length", str(len(response.body))),
        ("Vary", varying),
    ]
    return response
