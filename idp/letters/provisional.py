"""Provisional passwords: 12 random characters of Crockford's base32, which is 60 bits; and the hashes of a batch.

argon2id is slow on purpose, so that a batch is hashed on all cores. The processes of the pool import this module, and
nothing of the application. The alphabet has no I, L and O, which look like 1 and 0 on paper, and no U, so that no rude
word appears.
"""

import secrets
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Self

from argon2 import Parameters, PasswordHasher, extract_parameters

from idp.letters.process_pool import process_pool

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor

    from idp.accounts.passwords.hasher import Hasher

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 12
GROUP = 4


def draw() -> str:
    """Return a new provisional password, in upper case, without separators."""
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


def show(secret: str) -> str:
    """Return `secret` in groups of four: « XXXX-XXXX-XXXX »."""
    return "-".join(secret[start : start + GROUP] for start in range(0, len(secret), GROUP))


class BatchHasher:
    """Hashes many passwords with the parameters of `hasher`, on as many cores as it may use.

    The pool starts at the first batch of several passwords. Use it in a `with` statement, which ends the pool.
    """

    def __init__(self, hasher: "Hasher") -> None:
        self._hasher = hasher
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def hash(self, passwords: Sequence[str], progress: Callable[[int, int], None] | None = None) -> list[str]:
        """Return the hash of each password, in the same order.

        `hasher` hashes the first one; the pool takes its parameters from that hash. `progress` is called with the
        number of hashes that are done, and of all.

        Raises:
            HasherBusyError: the hasher had no free slot.
            BrokenProcessPool: a process of the pool was killed.
        """
        if not passwords:
            return []
        first, others = self._hasher.hash(passwords[0], "sign_in"), passwords[1:]
        if not others:
            return [first]
        if self._pool is None:
            self._pool = process_pool(self._hasher.concurrency)
        hashes = [first]
        for hashed in self._pool.map(partial(_hash, extract_parameters(first)), others):
            hashes.append(hashed)
            if progress:
                progress(len(hashes), len(passwords))
        return hashes


def _hash(parameters: Parameters, password: str) -> str:
    return PasswordHasher.from_parameters(parameters).hash(password)
