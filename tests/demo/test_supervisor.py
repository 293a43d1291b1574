"""The supervisor with small real processes: each test runs it in a process of its own, as `idp demo` does."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from demo.supervisor import first_taken
from tests.waiting import is_alive, wait_for

PROGRAM = """
import signal, sys
from pathlib import Path
from demo.supervisor import Child, StopRequest, Supervisor

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # as in a terminal, though the tests were started by nohup
folder = Path(sys.argv[1])
children = [
    Child(name, f"the process {name}", [sys.executable, "-c", code], {"PLACE": str(folder)},
          answers=(folder / f"{name}.up").is_file)
    for name, code in zip(sys.argv[3::2], sys.argv[4::2])
]
with StopRequest() as stop:
    with Supervisor(stop, logs=folder / "logs", folder=folder, inherited={"PATH": "/usr/bin"}) as watched:
        watched.start(children)
        failure = watched.run(lambda: print("READY", flush=True), patience=float(sys.argv[2]))
if failure:
    print(failure, file=sys.stderr)
    sys.exit(1)
"""
UP = """
import os, pathlib, signal, sys, time
def up(name):
    place = pathlib.Path(os.environ["PLACE"])
    (place / f"{name}.pid").write_text(str(os.getpid()))
    (place / f"{name}.up").touch()
"""
STEADY = UP + "up('steady'); time.sleep(120)"
GENTLE = (
    UP
    + """
def end(*_):
    (pathlib.Path(os.environ["PLACE"]) / "gentle.ended").touch()
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
up('gentle')
time.sleep(120)
"""
)
WITH_WORKER = UP + "os.fork() or up('worker'); up('parent'); time.sleep(120)"
FAILING = (
    UP
    + """
up('failing')
print('la base ne répond pas')
while not (pathlib.Path(os.environ["PLACE"]) / "gentle.up").exists():
    time.sleep(0.01)
sys.exit(3)
"""
)
MUTE = UP + "time.sleep(120)"
NOHUP = """
import signal
from demo.supervisor import StopRequest

signal.signal(signal.SIGHUP, signal.SIG_IGN)
with StopRequest() as stop:
    signal.raise_signal(signal.SIGHUP)
    print(bool(stop))
    signal.raise_signal(signal.SIGTERM)
    print(bool(stop))
"""
PATIENCE = 60.0
Supervise = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Supervise]:
    """Run a supervisor of the given children; whatever a test that failed left of it is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(*children: str, patience: float = PATIENCE) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", PROGRAM, str(tmp_path), str(patience), *children]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        with process:  # closes its pipes, and waits
            process.kill()


def wait_ready(process: "subprocess.Popen[str]") -> None:
    assert process.stdout
    assert process.stdout.readline() == "READY\n"


def pid_of(folder: Path, name: str) -> int:
    return int((folder / f"{name}.pid").read_text())


def running_in(folder: Path) -> list[int]:
    """Return the processes that were given `folder` as their place, whether or not they could say so themselves."""
    place, pids = f"PLACE={folder}".encode(), []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # it has ended, or is another user's
            if place in environment.read_bytes().split(b"\0"):
                pids.append(int(environment.parent.name))
    return [pid for pid in pids if is_alive(pid)]


def test_failing_process_ends_the_others_and_is_reported(tmp_path: Path, supervise: Supervise) -> None:
    process = supervise("gentle", GENTLE, "failing", FAILING)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "the process failing ended (exit code 3)" in errors
    assert "la base ne répond pas" in errors
    assert "Traceback" not in errors
    assert (tmp_path / "gentle.ended").exists()
    assert not is_alive(pid_of(tmp_path, "gentle"))


def test_killed_process_is_named_with_its_signal(tmp_path: Path, supervise: Supervise) -> None:
    process = supervise("gentle", GENTLE, "steady", STEADY)
    wait_ready(process)
    os.kill(pid_of(tmp_path, "steady"), signal.SIGKILL)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "the process steady ended (signal SIGKILL)" in errors
    assert not is_alive(pid_of(tmp_path, "gentle"))


def test_process_that_never_answers_is_a_failure(tmp_path: Path, supervise: Supervise) -> None:
    process = supervise("mute", MUTE, "steady", STEADY, patience=1)
    output, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "READY" not in output
    assert "the process mute does not answer after 1 seconds" in errors
    assert running_in(tmp_path) == []


def test_process_that_cannot_be_started_is_a_failure(tmp_path: Path) -> None:
    program = PROGRAM.replace("[sys.executable, ", '["/nulle/part", ')
    ended = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), "30", "absent", "pass"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ended.returncode == 1
    assert "the process absent ended (exit code 1)" in ended.stderr
    assert "/nulle/part: No such file or directory" in ended.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_stop_signal_ends_all_processes_in_order(tmp_path: Path, supervise: Supervise, number: signal.Signals) -> None:
    process = supervise("gentle", GENTLE, "steady", STEADY)
    wait_ready(process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors) == (0, "")
    assert (tmp_path / "gentle.ended").exists()
    assert not is_alive(pid_of(tmp_path, "steady"))


def test_a_terminal_that_closes_does_not_stop_what_nohup_started() -> None:
    ended = subprocess.run([sys.executable, "-c", NOHUP], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert ended.stdout.split() == ["False", "True"]


def test_grandchild_process_ends_with_its_parent(tmp_path: Path, supervise: Supervise) -> None:
    process = supervise("parent", WITH_WORKER)
    wait_ready(process)
    wait_for((tmp_path / "worker.up").is_file)
    assert is_alive(pid_of(tmp_path, "worker"))
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE)
    wait_for(lambda: not is_alive(pid_of(tmp_path, "worker")))


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")
def test_a_killed_supervisor_leaves_no_orphan(tmp_path: Path, supervise: Supervise) -> None:
    process = supervise("gentle", GENTLE, "steady", STEADY)
    wait_ready(process)
    children = [pid_of(tmp_path, "gentle"), pid_of(tmp_path, "steady")]
    assert all(is_alive(pid) for pid in children)
    process.kill()
    process.communicate(timeout=PATIENCE)
    wait_for(lambda: not any(is_alive(pid) for pid in children))
    assert (tmp_path / "gentle.ended").exists()


def test_a_taken_port_is_detected() -> None:
    with socket.socket() as taken, socket.socket() as left:
        for listener in (taken, left):
            listener.bind(("127.0.0.1", 0))
        taken.listen()
        port, free = taken.getsockname()[1], left.getsockname()[1]
        left.close()
        assert first_taken([free, port]) == port
        assert first_taken([free]) is None
