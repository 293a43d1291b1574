"""Identifiers and passwords as people type them, and the slow hash (NIST SP 800-63B-4, OWASP password storage).

Every length is checked before Unicode normalisation: normalising a very long run of combining marks takes minutes.

Argon2id uses memory on huge pages, which each thread keeps: a hash takes a tenth less time than in new memory. It reads
its 19 MiB in an unpredictable order, and on pages of 4 KiB the processor spends that tenth on address translation.
"""

import ctypes
import hmac
import mmap
import os
import re
import threading
import time
import unicodedata
import weakref
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Final, Literal, TypeVar

from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import HashingError, InvalidHashError, VerificationError, VerifyMismatchError
from argon2.low_level import core, error_to_str, ffi

from idp.config import Settings
from idp.db import release_connection
from idp.metrics.catalogue import HASH_WAIT_SECONDS, HASHES_REFUSED, HASHES_WAITING
from idp.tracing import Span

MAX_PASSWORD_LENGTH: Final = 128  # code points of a password; in UTF-8 this is never more than 512 bytes
MAX_USERNAME_LENGTH: Final = 64
PROVISIONAL_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: no I, L, O (read as 1, 1, 0) and no U."""
PROVISIONAL_LENGTH: Final = 12  # characters of a provisional password, without its hyphens: 60 bits

Lane = Literal["sign_in", "activation"]
"""The queue that a hash waits in: activations and new passwords do not wait behind a flood of sign-ins."""

_USERNAME = re.compile(r"[a-z0-9.]+")
_MEMORY_KIB = 19_456
_ITERATIONS = 2
_MOST_MEMORY_KIB: Final = 8 * 19_456
_MOST_ITERATIONS: Final = 16
_ACTIVATIONS_AT_ONCE = 1
_MEASURED = 8
WAIT_SECONDS = 2.0  # how long a sign-in waits for its turn to hash before it is answered with 503
# The most people in each queue of a process, waiting or served: at some 50 ms each, about a second of work.
_CROWD: Final = 16
_MINUS = "\u2212"
_T = TypeVar("_T")
_LOOK_ALIKES = str.maketrans("OIL", "011")


class PasswordTooLongError(ValueError):
    """The password has more than `MAX_PASSWORD_LENGTH` code points; it was not hashed."""


class HasherBusyError(Exception):
    """The hash could not be computed in time; nothing was decided. `retry_after` is in seconds."""

    def __init__(self, retry_after: int = 5) -> None:
        super().__init__("too many password hashes at once")
        self.retry_after = retry_after


def fold_username(typed: str) -> str | None:
    """Return the identifier for `typed`, or None if it cannot be one.

    Case, width, accents, spaces and hyphens do not count: all spellings of one identifier give one value, so that they
    share one rate limit. If the result is None (a mail address, more than 64 characters), the caller hashes all the
    same, and refuses.
    """
    if len(typed) > MAX_USERNAME_LENGTH:
        return None
    # A Turkish keyboard capitalises i as İ and writes I as ı: both mean the i that is printed on the letter.
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", typed).casefold().replace("ı", "i"))
    folded = "".join(c for c in decomposed if unicodedata.category(c) != "Mn" and not _is_gap(c))
    return folded if len(folded) <= MAX_USERNAME_LENGTH and _USERNAME.fullmatch(folded) else None


def fold_provisional(typed: str) -> str:
    """Return a letter's secret as it was hashed: upper case, without gaps, O read as 0, I and L as 1.

    A text that is too long for a password is returned unchanged; hashing it raises `PasswordTooLongError`.
    """
    if len(typed) > MAX_PASSWORD_LENGTH:
        return typed
    upper = unicodedata.normalize("NFKC", typed).upper()
    folded = "".join(c for c in upper if not _is_gap(c)).translate(_LOOK_ALIKES)
    # Folding makes some characters longer. If the result were refused for its length, the response time would tell.
    return folded if len(folded) <= MAX_PASSWORD_LENGTH else typed


def looks_provisional(folded: str) -> bool:
    """Return whether a folded text has the form of a letter's secret; other texts need no hash to be compared."""
    return len(folded) == PROVISIONAL_LENGTH and all(c in PROVISIONAL_ALPHABET for c in folded)


def normalise(password: str) -> str:
    """Return the text that is hashed: NFKC, neither cut nor trimmed (é typed on any keyboard is one password).

    Raises:
        PasswordTooLongError: more than 128 code points.
    """
    if len(password) > MAX_PASSWORD_LENGTH:
        raise PasswordTooLongError
    return unicodedata.normalize("NFKC", password)


def _is_gap(character: str) -> bool:
    return unicodedata.category(character) in {"Zs", "Zl", "Zp", "Pd", "Cc", "Cf"} or character == _MINUS


class _Queue:
    """A fixed number of threads that hash, and a bounded wait for one of them.

    The threads of the web server only wait. Each thread that ever computed a hash keeps its memory, so many threads
    would hold 20 MiB each, even if few of them hash at once.
    """

    def __init__(self, lane: Lane, size: int, wait: float) -> None:
        self.lane = lane
        self.slots = threading.BoundedSemaphore(_CROWD)
        self._turns = threading.BoundedSemaphore(size)
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="hash")
        self._wait = wait

    def run(self, work: Callable[[], _T]) -> _T:
        """Return the result of `work`; raise `HasherBusyError` if no thread is free in time."""
        release_connection()
        self._await_turn()
        try:
            with Span("password hash"):
                return self._threads.submit(work).result()
        finally:
            self._turns.release()

    def _await_turn(self) -> None:
        start = time.perf_counter()
        with HASHES_WAITING.held(self.lane):
            has_turn = self._turns.acquire(timeout=self._wait)
        HASH_WAIT_SECONDS.observe(time.perf_counter() - start, self.lane)
        if not has_turn:
            HASHES_REFUSED.count(self.lane, "late")
            raise HasherBusyError


class Hasher:
    """Computes argon2id hashes (19 MiB, 2 passes, 1 lane), a bounded number at once; make one per process.

    More concurrent hashes than cores only take more memory: at most (`concurrency` + 1) × 20 MiB are in use. A request
    that gets no thread in `WAIT_SECONDS` ends with `HasherBusyError`, so that the queue cannot grow.
    """

    def __init__(self, settings: Settings) -> None:
        self._argon2 = HugePageHasher(time_cost=_ITERATIONS, memory_cost=_MEMORY_KIB)
        self._wait = WAIT_SECONDS
        self.concurrency = settings.hash_concurrency or _cores()
        self._dummy = self._argon2.unknown()
        self._open_queues()
        if hasattr(os, "register_at_fork"):  # a forked process has none of its parent's threads
            os.register_at_fork(after_in_child=partial(_reopen_queues, weakref.ref(self)))

    def hash(self, password: str, lane: Lane) -> str:
        """Return the PHC string to store.

        Raises:
            PasswordTooLongError: more than 128 code points.
            HasherBusyError: no thread is free, or there is no memory.
        """
        secret = _to_bytes(password)
        try:
            return self._queues[lane].run(lambda: self._argon2.hash(secret))
        except HashingError as error:
            HASHES_REFUSED.count(lane, "memory")
            raise HasherBusyError from error

    def verify(self, stored: str | None, password: str, lane: Lane) -> bool:
        """Return whether `password` matches `stored`; do the same work if `stored` is None.

        A password that is too long is refused at once, for every account.

        Raises:
            HasherBusyError: no thread is free, or there is no memory.
        """
        try:
            secret = _to_bytes(password)
        except PasswordTooLongError:
            return False
        usable = stored is not None and _is_usable(stored)
        compared = stored if stored is not None and usable else self._dummy
        try:
            self._queues[lane].run(lambda: self._argon2.verify(compared, secret))
        except (VerificationError, InvalidHashError):
            return False
        except OSError as error:
            HASHES_REFUSED.count(lane, "memory")
            raise HasherBusyError from error
        return usable

    @contextmanager
    def queue_slot(self, lane: Lane) -> Iterator[None]:
        """Hold one of a few slots of the queue, from the first statement of a request that needs a hash to its last.

        Requests that wait for a hash, or for the database before it, could take every thread of the web server. Beyond
        a bounded number each is refused at once, so that all other pages keep answering.

        Raises:
            HasherBusyError: no slot is free.
        """
        slots = self._queues[lane].slots
        if not slots.acquire(blocking=False):
            HASHES_REFUSED.count(lane, "full")
            raise HasherBusyError
        try:
            yield
        finally:
            slots.release()

    def rate(self) -> float:
        """Return how many hashes a second a core of this machine computes, measured for about a tenth of a second."""
        begun = time.process_time()
        for _ in range(_MEASURED):
            self.verify(None, "", "sign_in")
        return _MEASURED / (time.process_time() - begun)

    def needs_rehash(self, stored: str) -> bool:
        """Return whether `stored` was made with other parameters than today's; call it after a successful `verify`."""
        return _is_usable(stored) and self._argon2.check_needs_rehash(stored)

    def _open_queues(self) -> None:
        self._queues: dict[Lane, _Queue] = {
            "sign_in": _Queue("sign_in", self.concurrency, self._wait),
            "activation": _Queue("activation", _ACTIVATIONS_AT_ONCE, self._wait),
        }


def _reopen_queues(reference: "weakref.ref[Hasher]") -> None:
    hasher = reference()
    if hasher:
        hasher._open_queues()  # noqa: SLF001 - this module owns the class


def _to_bytes(password: str) -> bytes:
    return normalise(password).encode("utf-8", "surrogatepass")


def _is_usable(stored: str) -> bool:
    """Return whether `stored` is a hash that this process can afford: a foreign row must not take all its memory."""
    try:
        parameters = extract_parameters(stored)
    except (InvalidHashError, ValueError, LookupError):
        return False
    affordable = parameters.memory_cost <= _MOST_MEMORY_KIB and parameters.time_cost <= _MOST_ITERATIONS
    return stored.isascii() and affordable and parameters.parallelism <= 8  # noqa: PLR2004 - more lanes than this service uses


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_HUGE_PAGE: Final = 2 * 1024 * 1024
_OK: Final = 0


class _Memory(threading.local):
    """One block of memory for each thread, and the functions that lend it to the C library.

    The library overwrites the block with zeros before it gives it back, as it does with memory of its own.
    """

    def __init__(self, size: int) -> None:
        pages = -(-size // _HUGE_PAGE)
        self.block = mmap.mmap(-1, (pages + 1) * _HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        with suppress(OSError):  # a kernel without huge pages
            self.block.madvise(mmap.MADV_HUGEPAGE)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self.block))
        self._aligned = ffi.cast("uint8_t *", -(-start // _HUGE_PAGE) * _HUGE_PAGE)
        self.allocate = ffi.callback("int(uint8_t **, size_t)", self._lend)
        self.free = ffi.callback("void(uint8_t *, size_t)", lambda _memory, _size: None)

    def _lend(self, memory: Any, _size: int) -> int:
        memory[0] = self._aligned
        return _OK


class HugePageHasher(PasswordHasher):
    """A `PasswordHasher` that verifies hashes of its own parameters in kept memory, and other hashes as usual."""

    def __init__(self, time_cost: int, memory_cost: int) -> None:
        super().__init__(time_cost=time_cost, memory_cost=memory_cost, parallelism=1)
        self._memory = _Memory(memory_cost * 1024)

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002 - argon2's name
        """Return True if `password` matches `hash`.

        Raises:
            VerificationError: it does not match.
            InvalidHashError: `hash` is malformed.
            OSError: there is no memory.
        """
        encoded = hash if isinstance(hash, str) else hash.decode("ascii")
        if extract_parameters(encoded) != self._parameters:
            return super().verify(hash, password)
        salt, tag = map(_decode, encoded.split("$")[-2:])
        secret = password if isinstance(password, bytes) else password.encode(self.encoding)
        if not hmac.compare_digest(self._tag(secret, salt), tag):
            raise VerifyMismatchError
        return True

    def unknown(self) -> str:
        """Return a hash with a random salt and a random tag, which no known password has; it costs no computation."""
        salt, tag = (b64encode(os.urandom(length)).decode().rstrip("=") for length in (self.salt_len, self.hash_len))
        costs = f"m={self.memory_cost},t={self.time_cost},p={self.parallelism}"
        return f"$argon2id$v={self._parameters.version}${costs}${salt}${tag}"

    def _tag(self, secret: bytes, salt: bytes) -> bytes:
        """Compute the last part of a hash (RFC 9106 3.2)."""
        out = bytearray(self.hash_len)
        context = ffi.new(
            "argon2_context *",
            {
                "out": ffi.from_buffer("uint8_t[]", out),
                "outlen": len(out),
                "pwd": ffi.from_buffer("uint8_t[]", secret),
                "pwdlen": len(secret),
                "salt": ffi.from_buffer("uint8_t[]", salt),
                "saltlen": len(salt),
                "t_cost": self.time_cost,
                "m_cost": self.memory_cost,
                "lanes": self.parallelism,
                "threads": self.parallelism,
                "version": self._parameters.version,
                "allocate_cbk": self._memory.allocate,
                "free_cbk": self._memory.free,
            },
        )
        if (result := core(context, self.type.value)) != _OK:
            raise VerificationError(error_to_str(result))
        return bytes(out)


def _decode(part: str) -> bytes:
    try:
        return b64decode(part + "=" * (-len(part) % 4), validate=True)
    except ValueError as error:
        raise InvalidHashError from error
