"""A connection whose request is still on its way, and how much of it is missing (RFC 9112).

Only bodies that say their length are taken: 6.3 lets a server ask for `Content-Length`, and all who speak to us send
it (browsers, the libraries of the ENTs; a proxy that buffers, such as the supplied nginx, counts the chunks of others
and sends it upstream). What is framed in any other way, or in two, is refused here, before any thread has it: the loop
and gunicorn's parser cannot come to disagree on where it ends. The rest is judged by that parser, which reads every
byte again.
"""

import re
from enum import Enum, auto

from gunicorn.workers.gthread import TConn

from idp.web.security import MAX_BODY

LONGEST_HEAD = 64 * 1024
"""Bytes of request line and headers: gunicorn's own limits would let a head grow to a mebibyte."""
_LINE = b"\r\n"
_END = b"\r\n\r\n"
_EXPECTS = re.compile(rb"\r\nexpect:[ \t]*100-continue", re.IGNORECASE)
_DIGITS = 12


class Progress(Enum):
    """What is known of a request by what has arrived of it; the last three are refusals."""

    PARTIAL = auto()
    WHOLE = auto()
    TOO_LONG = auto()
    LENGTHLESS = auto()
    MALFORMED = auto()


class Arrival(TConn):  # type: ignore[misc] # gunicorn publishes no types
    """Gunicorn's connection, with what has been received of the next request.

    `deadline` (on the monotonic clock) is when the rest must be there; `ending` says that the answer is sent and that
    what still comes is thrown away.
    """

    deadline = 0.0
    ending = False
    oversized = False
    """Whether the request announces a body that the application refuses unread: nobody waits for it."""

    def begin(self) -> None:
        """Forget the last request."""
        self.received = bytearray()
        self._looked = 0
        self._total = 0
        self.expects = False
        self.oversized = False

    def add(self, part: bytes) -> Progress:
        """Take `part` in; say whether the request is all there. Nothing may be added after a refusal."""
        self.received += part
        if not self._total:
            size = self._find_head()
            if not size:
                return Progress.TOO_LONG if len(self.received) > LONGEST_HEAD else Progress.PARTIAL
            length = _body_length(bytes(self.received[:size]))
            if isinstance(length, Progress):
                return length
            self._total = size + length
            self.oversized = length > MAX_BODY
            self.expects = bool(length) and bool(_EXPECTS.search(self.received, 0, size))
        return Progress.WHOLE if self.oversized or len(self.received) >= self._total else Progress.PARTIAL

    def _find_head(self) -> int:
        """Return the size of the request line and headers with the empty line that ends them; 0: not there yet."""
        if not self._looked:
            self.received = self.received.lstrip(_LINE)  # 2.2: an empty line before a request means nothing
        end = self.received.find(_END, max(0, self._looked - 3))
        self._looked = len(self.received)
        return end + len(_END) if end >= 0 else 0


def _body_length(head: bytes) -> int | Progress:
    """Return how many bytes of body `head` announces, or why that cannot be told."""
    lengths = []
    for line in head.split(_LINE)[1:]:
        name, _, value = line.partition(b":")
        if name[:1].isspace() or name[-1:].isspace():
            return Progress.MALFORMED  # 5.1 and 5.2: folded lines and spaces before a colon hide a header from some
        if name.lower() == b"transfer-encoding":
            return Progress.LENGTHLESS
        if name.lower() == b"content-length":
            lengths.append(value.strip(b" \t"))
    if not lengths:
        return 0
    if len(lengths) > 1 or not lengths[0].isdigit():
        return Progress.MALFORMED
    return int(lengths[0].lstrip(b"0")[:_DIGITS] or b"0")  # cut: a number of a thousand digits is too long as well
