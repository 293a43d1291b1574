"""A connection whose request is still on its way, and how much of it is missing (RFC 9112).

Nothing is judged here: gunicorn's parser reads every byte again and refuses what is wrong.
"""

import re
from enum import Enum, auto

from gunicorn.workers.gthread import TConn

from idp.web.security import MAX_BODY

LONGEST_HEAD = 64 * 1024
"""Bytes of request line and headers: gunicorn's own limits would let a head grow to a mebibyte."""
_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*0*([0-9]+)[ \t]*\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[^\r\n]*chunked", re.IGNORECASE)
_EXPECTS = re.compile(rb"\r\nexpect:[ \t]*100-continue", re.IGNORECASE)
_CHUNK = re.compile(rb"([0-9a-f]{1,8})[ \t]*(?:;.*)?", re.IGNORECASE)
_LINE = b"\r\n"
_DIGITS = 12


class Progress(Enum):
    """What is known of a request by what has arrived of it."""

    PARTIAL = auto()
    WHOLE = auto()
    TOO_LONG = auto()


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
        self._total: int | None = None
        self._body = 0
        self._chunk = 0
        self.expects = False
        self.oversized = False

    def add(self, part: bytes) -> Progress:
        """Take `part` in; say whether the request is all there."""
        self.received += part
        if not self._body and not self._find_head():
            return Progress.TOO_LONG if len(self.received) > LONGEST_HEAD else Progress.PARTIAL
        if self.oversized:
            return Progress.WHOLE
        if self._total is not None:
            return Progress.WHOLE if len(self.received) >= self._total else Progress.PARTIAL
        return Progress.WHOLE if self._find_last_chunk() else Progress.PARTIAL

    def _find_last_chunk(self) -> bool:
        """Go from chunk to chunk to the one of size zero and what follows it (7.1); wrong ones end the search too."""
        while self._chunk - self._body <= MAX_BODY and len(self.received) - self._body <= 2 * MAX_BODY:
            end = self.received.find(_LINE, self._chunk)
            if end < 0:
                return False
            size = _CHUNK.fullmatch(self.received[self._chunk : end])
            if size is None:
                return True
            if not int(size[1], 16):
                return self.received.find(_END, end) >= 0
            self._chunk = end + len(_LINE) + int(size[1], 16) + len(_LINE)
        self.oversized = True
        return True

    def _find_head(self) -> bool:
        """Look for the end of the headers, and in them for how the body is framed."""
        if not self._looked:
            self.received = self.received.lstrip(b"\r\n")  # 2.2: an empty line before a request means nothing
        end = self.received.find(_END, max(0, self._looked - 3))
        self._looked = len(self.received)
        if end < 0:
            return False
        self._body = self._chunk = end + len(_END)
        head = bytes(self.received[: self._body])
        length = _LENGTH.search(head)
        size = int(length[1][:_DIGITS]) if length else 0  # cut: a number of a thousand digits is too long as well
        self.oversized = size > MAX_BODY
        if not _CHUNKED.search(head):
            self._total = self._body + size
        self.expects = self._total != self._body and bool(_EXPECTS.search(head))
        return True
