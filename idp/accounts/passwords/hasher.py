"""What people type to be let in, and the slow hash that guards it (NIST SP 800-63B-4, OWASP password storage).

Every length is checked before Unicode normalisation: normalising a very long run of combining marks takes minutes.
"""

import os
import re
import secrets
import threading
import unicodedata
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Final, Literal, TypeVar

from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import HashingError, InvalidHashError, VerificationError

from idp.config import Settings
from idp.db import release_connection

MAX_PASSWORD_LENGTH: Final = 128
"""Code points of a password; in UTF-8 this is never more than 512 bytes."""
MAX_USERNAME_LENGTH: Final = 64
PROVISIONAL_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: no I, L, O (read as 1, 1, 0) and no U."""
PROVISIONAL_LENGTH: Final = 12
"""Characters of a provisional password, without its hyphens: 60 bits."""

Lane = Literal["sign_in", "activation"]
"""Which queue a hash waits in: people who activate or choose a new password do not wait behind a flood of sign-ins."""

_USERNAME = re.compile(r"[a-z0-9.]+")
_MEMORY_KIB = 19_456
_ITERATIONS = 2
_MOST_MEMORY_KIB: Final = 8 * 19_456
_MOST_ITERATIONS: Final = 16
_ACTIVATIONS_AT_ONCE = 1
_CROWD: Final = 16
"""People who wait for a hash or have one, in each queue of a process: with some 50 ms each, about a second of work."""
_MINUS = "\u2212"
_T = TypeVar("_T")
_LOOK_ALIKES = str.maketrans("OIL", "011")


class PasswordTooLong(ValueError):  # noqa: N818 - reads as the sentence it is
    """The password has more than `MAX_PASSWORD_LENGTH` code points; it was not looked at."""


class Busy(Exception):  # noqa: N818 - a state, not a mistake
    """No turn came in time; nothing was decided. `retry_after` is in seconds."""

    def __init__(self, retry_after: int = 5) -> None:
        super().__init__("too many password hashes at once")
        self.retry_after = retry_after


def fold_username(typed: str) -> str | None:
    """Return the identifier that `typed` stands for; case, width, accents, spaces and hyphens are forgiven.

    All spellings of one identifier give one value, so that they share one throttle counter. None for what cannot be an
    identifier (a mail address, more than 64 characters): the caller then hashes all the same, and refuses.
    """
    if len(typed) > MAX_USERNAME_LENGTH:
        return None
    # A Turkish keyboard capitalises i as İ and writes I as ı: both mean the i that is printed on the letter.
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", typed).casefold().replace("ı", "i"))
    folded = "".join(c for c in decomposed if unicodedata.category(c) != "Mn" and not _is_gap(c))
    return folded if len(folded) <= MAX_USERNAME_LENGTH and _USERNAME.fullmatch(folded) else None


def fold_provisional(typed: str) -> str:
    """Return a letter's secret as it was hashed: upper case, no gap, O read as 0, I and L as 1.

    What is too long to be a password comes back as it is, and is refused for its length by who hashes it.
    """
    if len(typed) > MAX_PASSWORD_LENGTH:
        return typed
    upper = unicodedata.normalize("NFKC", typed).upper()
    folded = "".join(c for c in upper if not _is_gap(c)).translate(_LOOK_ALIKES)
    # some characters grow: what folding made too long would be refused without a hash, and the time would tell
    return folded if len(folded) <= MAX_PASSWORD_LENGTH else typed


def looks_provisional(folded: str) -> bool:
    """Return whether a folded text has the form of a letter's secret: only then is it worth a hash to know."""
    return len(folded) == PROVISIONAL_LENGTH and all(c in PROVISIONAL_ALPHABET for c in folded)


def normalise(password: str) -> str:
    """Return the text that is hashed: NFKC, nothing cut, nothing trimmed (é typed on any keyboard is one password).

    Raises:
        PasswordTooLong: more than 128 code points.
    """
    if len(password) > MAX_PASSWORD_LENGTH:
        raise PasswordTooLong
    return unicodedata.normalize("NFKC", password)


def _is_gap(character: str) -> bool:
    """Spaces, hyphens and dashes of all kinds, and what cannot be seen: control and format characters."""
    return unicodedata.category(character) in {"Zs", "Zl", "Zp", "Pd", "Cc", "Cf"} or character == _MINUS


class _Queue:
    """A fixed number of threads that hash, and a bounded wait for one of them.

    The threads of the web server only wait: the C library keeps the memory of a hash for each thread that ever made
    one, so that a crowd of threads would hold 19 MiB each, however few of them hash at once.
    """

    def __init__(self, size: int, wait: float) -> None:
        self.places = threading.BoundedSemaphore(_CROWD)
        self._turns = threading.BoundedSemaphore(size)
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="hash")
        self._wait = wait

    def run(self, work: Callable[[], _T]) -> _T:
        """Return what `work` returns, or raise `Busy` when no turn comes in time."""
        release_connection()
        if not self._turns.acquire(timeout=self._wait):
            raise Busy
        try:
            return self._threads.submit(work).result()
        finally:
            self._turns.release()


class Hasher:
    """argon2id (19 MiB, 2 passes, 1 lane), a bounded number at once: make one per process.

    More hashes at once than cores give no more sign-ins, only more memory: at most (`concurrency` + 1) × 19 MiB are in
    use. Who gets no turn in `hash_wait` seconds is sent away with `Busy`, so that the queue cannot grow.
    """

    def __init__(self, settings: Settings) -> None:
        self._argon2 = PasswordHasher(time_cost=_ITERATIONS, memory_cost=_MEMORY_KIB, parallelism=1)
        self._wait = settings.hash_wait
        self.concurrency = settings.hash_concurrency or _cores()
        # Made here, not written down: it has the parameters of real hashes, whatever they become.
        self._dummy = self._argon2.hash(secrets.token_bytes())
        self._open_queues()
        if hasattr(os, "register_at_fork"):  # a forked worker has none of the threads, and no turn of the parent's
            os.register_at_fork(after_in_child=partial(_reopen_queues, weakref.ref(self)))

    def hash(self, password: str, lane: Lane) -> str:
        """Return the PHC string to store.

        Raises:
            PasswordTooLong: more than 128 code points.
            Busy: no turn, or no memory.
        """
        secret = _to_bytes(password)
        try:
            return self._queues[lane].run(lambda: self._argon2.hash(secret))
        except HashingError as error:
            raise Busy from error

    def verify(self, stored: str | None, password: str, lane: Lane) -> bool:
        """Return if `password` is the one of `stored`; the same work is done when there is nothing to compare with.

        Over-long passwords are refused at once, for every account alike.

        Raises:
            Busy: no turn came.
        """
        try:
            secret = _to_bytes(password)
        except PasswordTooLong:
            return False
        usable = stored is not None and _is_usable(stored)
        compared = stored if stored is not None and usable else self._dummy
        try:
            self._queues[lane].run(lambda: self._argon2.verify(compared, secret))
        except (VerificationError, InvalidHashError):
            return False
        return usable

    @contextmanager
    def place(self, lane: Lane) -> Iterator[None]:
        """Hold one of the few places for people who will need a hash, from before their first statement to their last.

        A crowd that waits for turns, or for the database on the way there, would take every thread of the web server:
        beyond a bounded number each is sent away at once, and all other pages keep answering.

        Raises:
            Busy: no place is free.
        """
        places = self._queues[lane].places
        if not places.acquire(blocking=False):
            raise Busy
        try:
            yield
        finally:
            places.release()

    def needs_rehash(self, stored: str) -> bool:
        """Return whether `stored` was made with other parameters than today's; call it after a successful `verify`."""
        return _is_usable(stored) and self._argon2.check_needs_rehash(stored)

    def _open_queues(self) -> None:
        self._queues: dict[Lane, _Queue] = {
            "sign_in": _Queue(self.concurrency, self._wait),
            "activation": _Queue(_ACTIVATIONS_AT_ONCE, self._wait),
        }


def _reopen_queues(reference: "weakref.ref[Hasher]") -> None:
    hasher = reference()
    if hasher:
        hasher._open_queues()  # noqa: SLF001 - its own module


def _to_bytes(password: str) -> bytes:
    return normalise(password).encode("utf-8", "surrogatepass")


def _is_usable(stored: str) -> bool:
    """Return if a stored value is a hash that this process can afford: a foreign row must not take all its memory."""
    try:
        parameters = extract_parameters(stored)
    except (InvalidHashError, ValueError, LookupError):
        return False
    affordable = parameters.memory_cost <= _MOST_MEMORY_KIB and parameters.time_cost <= _MOST_ITERATIONS
    return stored.isascii() and affordable and parameters.parallelism <= 8  # noqa: PLR2004 - more threads than we give


def _cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
