"""Provisional passwords are hashed by a pool, with the parameters of all passwords (6.1)."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

import pytest
from argon2 import PasswordHasher, extract_parameters

from idp.accounts.passwords.hasher import Hasher, Lane
from idp.letters import provisional
from idp.letters.provisional import BatchHasher
from idp.paths import CHECKOUT
from tests.databases import NOWHERE, settings_for

pytestmark = pytest.mark.usefixtures("spawned_pools")

SETTINGS = settings_for(NOWHERE, hash_concurrency=2)


class Counting(Hasher):
    here = 0

    def hash(self, password: str, lane: Lane) -> str:
        self.here += 1
        return super().hash(password, lane)


def pool_pids() -> list[int]:
    return [process.pid for process in multiprocessing.active_children() if process.pid]


def test_letters_are_hashed_in_other_processes_like_passwords() -> None:
    hasher = Counting(SETTINGS)
    secrets = [provisional.draw() for _ in range(6)]
    with BatchHasher(hasher) as batch_hasher:
        hashes = batch_hasher.hash(secrets)
        pids = pool_pids()
        assert len(pids) == 2
        assert os.getpid() not in pids
        nice = os.getpriority(os.PRIO_PROCESS, 0)
        until = time.monotonic() + 60  # one process may do all the work while the other still starts
        while (priorities := [os.getpriority(os.PRIO_PROCESS, pid) for pid in pids]) != [min(19, nice + 10)] * 2:
            assert time.monotonic() < until, priorities
            time.sleep(0.05)
        again = batch_hasher.hash(secrets[:2])
        assert pool_pids() == pids, "they stay for the next batch"
    assert hasher.here == 2, "one of each batch, which gives the pool its parameters"
    assert all(PasswordHasher().verify(hashed, secret) for hashed, secret in zip(hashes, secrets, strict=True))
    assert len({*hashes, *again}) == 8, "each has a salt of its own"
    assert {str(extract_parameters(hashed)) for hashed in hashes} == {str(extract_parameters(hashes[0]))}
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_single_letter_is_hashed_without_a_pool() -> None:
    with BatchHasher(Hasher(SETTINGS)) as batch_hasher:
        assert batch_hasher.hash([]) == []
        assert len(batch_hasher.hash([provisional.draw()])) == 1
        assert pool_pids() == []


def test_a_killed_process_of_the_pool_is_an_error() -> None:
    with BatchHasher(Hasher(SETTINGS)) as batch_hasher:
        batch_hasher.hash([provisional.draw() for _ in range(3)])
        for pid in pool_pids():  # while one process is left, it may do all the work before the pool notices
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(BrokenProcessPool):
            batch_hasher.hash([provisional.draw() for _ in range(3)])


@pytest.mark.parametrize("module", ["idp.letters.provisional", "idp.__main__"])
def test_a_process_of_the_pool_imports_nothing_of_the_application(module: str) -> None:
    heavy = "{'flask', 'sqlalchemy', 'pydantic', 'idp.app'}"
    known = f"import sys, {module}; print(sorted({heavy} & {{*sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", known], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


PROGRAM = f"""
import sys
sys.path.insert(0, {str(CHECKOUT)!r})
from idp.letters.process_pool import process_pool
if __name__ == "__main__":
    import signal, time
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have started the tests without it
    pool = process_pool(1)
    print("ready", pool.submit(abs, -1).result(), flush=True)
    try:
        print(pool.submit(time.sleep, 60 if len(sys.argv) > 1 else 0).result())
    except KeyboardInterrupt:
        sys.exit(3)
    finally:
        pool.shutdown(cancel_futures=True)
"""


def test_a_pool_imports_nothing_from_the_working_directory(tmp_path: Path) -> None:
    program, folder = tmp_path / "program.py", tmp_path / "folder"
    program.write_text(PROGRAM)
    folder.mkdir()
    for name in ("pickle", "multiprocessing", "signal", "runpy"):
        (folder / f"{name}.py").write_text("raise SystemExit('imported from the working directory')")
    done = subprocess.run([sys.executable, program], cwd=folder, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("ready 1\nNone\n", "")


@contextmanager
def busy_pool(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program whose pool has a task of a minute; see its processes end with it."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    pipe = subprocess.PIPE
    command = [sys.executable, str(program), "busy"]
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, start_new_session=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready 1\n"
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        assert len(children) >= 1
        yield parent
    until = time.monotonic() + 20
    while any(Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children):
        assert time.monotonic() < until, "a process of the pool outlives its parent"
        time.sleep(0.05)


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_a_busy_pool_ends_with_its_parent(tmp_path: Path, sent: signal.Signals) -> None:
    with busy_pool(tmp_path) as parent:
        parent.send_signal(sent)
        assert parent.wait(10) == -sent


def test_ctrl_c_ends_a_busy_pool_without_a_traceback(tmp_path: Path) -> None:
    with busy_pool(tmp_path) as parent:
        time.sleep(0.2)
        os.killpg(parent.pid, signal.SIGINT)
        assert parent.communicate(timeout=10) == (b"", b"")
        assert parent.returncode == 3
