"""Hashes provisional passwords, many at once: argon2id is slow on purpose, and takes one core for each.

`python -m idp.letters.hashing` is one such process; it knows nothing of the application.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self

from argon2 import PasswordHasher, extract_parameters

from idp.letters import subprocess_worker

if TYPE_CHECKING:
    from idp.accounts.passwords.hasher import Hasher


class Hashers:
    """As many processes as the hasher may use cores, started at the first need; close it, or use it in a `with`."""

    def __init__(self, hasher: "Hasher") -> None:
        self._hasher = hasher
        self._workers: list[subprocess_worker.Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def hash(self, secrets: Sequence[str]) -> list[str]:
        """Return the hash of each of `secrets`, in their order.

        The first is hashed here, by the hasher itself: it tells the processes its parameters, whatever they become.

        Raises:
            HasherBusyError: no turn came for it.
            apart.Gone: a process ended before its work.
        """
        if not secrets:
            return []
        first, rest = self._hasher.hash(secrets[0], "sign_in"), secrets[1:]
        if not rest:
            return [first]
        found = extract_parameters(first)
        cost = {"time_cost": found.time_cost, "memory_cost": found.memory_cost, "parallelism": found.parallelism}
        crowd = self._crowd(len(rest))
        with ThreadPoolExecutor(len(crowd)) as threads:  # they only wait for the processes
            parts = [rest[start :: len(crowd)] for start in range(len(crowd))]
            try:
                answers = list(threads.map(lambda worker, part: worker.ask((cost, part)), crowd, parts))
            except BaseException:  # Ctrl-C too: nobody waits for what is not wanted any more
                self.close()
                raise
        hashes: list[str] = [""] * len(rest)
        for start, answer in enumerate(answers):
            hashes[start :: len(crowd)] = answer
        return [first, *hashes]

    def pids(self) -> list[int]:
        """Return the numbers of the processes that were started."""
        return [worker.pid for worker in self._workers]

    def close(self) -> None:
        """End the processes."""
        while self._workers:
            self._workers.pop().close()

    def _crowd(self, wanted: int) -> list[subprocess_worker.Worker]:
        size = min(self._hasher.concurrency, wanted)
        while len(self._workers) < size:
            self._workers.append(subprocess_worker.Worker("idp.letters.hashing"))
        return self._workers[:size]


def _hash(job: tuple[dict[str, Any], Sequence[str]]) -> list[str]:
    cost, secrets = job
    argon2 = PasswordHasher(**cost)
    return [argon2.hash(secret) for secret in secrets]


if __name__ == "__main__":
    subprocess_worker.serve(_hash)
