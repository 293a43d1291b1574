"""A connection whose request is being received, and whether the request is complete (RFC 9112).

Requests with a body must have a `Content-Length` (RFC 9112 6.3 allows a server to require it): browsers and the
libraries of ENTs send it, and a buffering proxy adds it. Any other framing is refused before a thread has the request,
so that this module and gunicorn's parser cannot disagree on its end. Gunicorn's parser then reads the whole request.
"""

import re
from enum import Enum, auto

from gunicorn.workers.gthread import TConn

from idp.web.http import MAX_BODY

MAX_HEAD = 64 * 1024
"""Bytes of request line and headers, at most; gunicorn's own limits allow a mebibyte."""
_LINE = b"\r\n"
_END = b"\r\n\r\n"
_EXPECTS = re.compile(rb"\r\nexpect:[ \t]*100-continue", re.IGNORECASE)
_DIGITS = 12


class Progress(Enum):
    """The state of a request; the last three are refusals."""

    PARTIAL = auto()
    WHOLE = auto()
    TOO_LONG = auto()
    LENGTHLESS = auto()
    MALFORMED = auto()


class Arrival(TConn):  # type: ignore[misc] # gunicorn publishes no types
    """Gunicorn's connection, with the received bytes of the next request.

    Attributes:
        deadline: when the request must be complete, on the monotonic clock.
        ending: whether the response is sent, so that received bytes are discarded.
        oversized: whether the announced body is too large; the application refuses it unread, so it is not awaited.
    """

    deadline = 0.0
    ending = False
    oversized = False

    def begin(self) -> None:
        """Reset the state for the next request."""
        self.received = bytearray()
        self._searched = 0
        self._total = 0
        self.expects = False
        self.oversized = False

    def add(self, part: bytes) -> Progress:
        """Add received bytes and return the state. Do not add bytes after a refusal."""
        self.received += part
        if not self._total:
            size = self._find_head()
            if not size:
                return Progress.TOO_LONG if len(self.received) > MAX_HEAD else Progress.PARTIAL
            length = _body_length(bytes(self.received[:size]))
            if isinstance(length, Progress):
                return length
            self._total = size + length
            self.oversized = length > MAX_BODY
            self.expects = bool(length) and bool(_EXPECTS.search(self.received, 0, size))
        return Progress.WHOLE if self.oversized or len(self.received) >= self._total else Progress.PARTIAL

    def _find_head(self) -> int:
        """Return the size of the request line and headers with the final empty line, or 0 if it is not received yet."""
        if not self._searched:
            self.received = self.received.lstrip(_LINE)  # 2.2: empty lines before a request are ignored
        end = self.received.find(_END, max(0, self._searched - 3))
        self._searched = len(self.received)
        return end + len(_END) if end >= 0 else 0


def _body_length(head: bytes) -> int | Progress:
    """Return the length of the body that `head` announces, or the refusal."""
    lengths = []
    for line in head.split(_LINE)[1:]:
        name, _, value = line.partition(b":")
        if name[:1].isspace() or name[-1:].isspace():
            return Progress.MALFORMED  # 5.1, 5.2: some parsers ignore folded lines and names with spaces
        if name.lower() == b"transfer-encoding":
            return Progress.LENGTHLESS
        if name.lower() == b"content-length":
            lengths.append(value.strip(b" \t"))
    if not lengths:
        return 0
    if len(lengths) > 1 or not lengths[0].isdigit():
        return Progress.MALFORMED
    return int(lengths[0].lstrip(b"0")[:_DIGITS] or b"0")  # a number of more digits is too large as well
