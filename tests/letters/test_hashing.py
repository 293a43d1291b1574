"""Secrets are hashed in separate processes, with the parameters of all passwords (6.1)."""

import os
import signal
import subprocess
import sys

import pytest
from argon2 import PasswordHasher, extract_parameters

from idp.accounts.passwords.hasher import Hasher, Lane
from idp.letters import provisional
from idp.letters.hashing import Hashers
from idp.letters.subprocess_worker import Gone
from tests.databases import settings_for

SETTINGS = settings_for("sqlite:///nowhere.db", hash_concurrency=2)


class Counting(Hasher):
    """Counts the hashes of this process."""

    here = 0

    def hash(self, password: str, lane: Lane) -> str:
        self.here += 1
        return super().hash(password, lane)


def test_the_hashes_are_made_in_other_processes_as_those_of_passwords() -> None:
    hasher = Counting(SETTINGS)
    secrets = [provisional.draw() for _ in range(6)]
    with Hashers(hasher) as hashers:
        hashes = hashers.hash(secrets)
        workers = hashers.pids()
        assert len(workers) == 2
        assert os.getpid() not in workers
        nice = os.getpriority(os.PRIO_PROCESS, 0)
        assert [os.getpriority(os.PRIO_PROCESS, pid) for pid in workers] == [min(19, nice + 10)] * 2
        again = hashers.hash(secrets[:2])
        assert hashers.pids() == workers, "they stay for the next batch"
    assert hasher.here == 2, "one of each batch, that tells the others its parameters"
    assert all(PasswordHasher().verify(made, secret) for made, secret in zip(hashes, secrets, strict=True))
    assert len({*hashes, *again}) == 8, "each has a salt of its own"
    assert {str(extract_parameters(made)) for made in hashes} == {str(extract_parameters(hashes[0]))}
    for pid in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_one_letter_needs_no_process() -> None:
    with Hashers(Hasher(SETTINGS)) as hashers:
        assert hashers.hash([]) == []
        assert len(hashers.hash([provisional.draw()])) == 1
        assert hashers.pids() == []


def test_a_process_that_ends_before_its_work_is_said() -> None:
    with Hashers(Hasher(SETTINGS)) as hashers:
        hashers.hash([provisional.draw() for _ in range(3)])
        os.kill(hashers.pids()[0], signal.SIGKILL)
        with pytest.raises(Gone):
            hashers.hash([provisional.draw() for _ in range(3)])


def test_a_process_that_hashes_knows_nothing_of_the_application() -> None:
    heavy = "{'flask', 'sqlalchemy', 'pydantic', 'idp.app'}"
    known = f"import sys, idp.letters.hashing; print(sorted({heavy} & {{*sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", known], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
