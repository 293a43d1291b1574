"""Marks what must not wait: the event loop of the server, which answers some requests from memory.

What waits for the database, a hash or another server asks first, in `idp.db`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_is_refused: ContextVar[bool] = ContextVar("is_refused", default=False)


class WouldWaitError(BaseException):
    """The block of `without_waiting` would wait. It is no `Exception`: no handler of errors answers it."""


@contextmanager
def without_waiting() -> Iterator[None]:
    """Run the block only as far as it needs no statement and nothing else that takes time.

    Raises:
        WouldWaitError: it does. Nothing was written.
    """
    token = _is_refused.set(True)
    try:
        yield
    finally:
        _is_refused.reset(token)


def refuse() -> None:
    """Raise WouldWaitError in a block of `without_waiting`."""
    if _is_refused.get():
        raise WouldWaitError
