"""The processes of `idp serve`: what is lost when one of them is killed."""

import os
import signal
import socket
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from tests import forked
from tests.commands.processes import PATIENCE, connect, free_port, read_all, running
from tests.databases import postgresql_copy, settings_for
from tests.waiting import is_alive, wait_for

LAST = b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.fixture
def served(shared: Path, tmp_path: Path) -> Iterator[tuple[int, forked.Program, Path]]:
    """A server with two workers that have answered a request each."""
    port, log = free_port(), tmp_path / "log"
    arguments = ("serve", "--bind", f"127.0.0.1:{port}", "--workers", "2", "--threads", "4")
    with postgresql_copy(shared) as url, running(settings_for(url), log, *arguments) as process:
        wait_for(lambda: len(workers(process.pid)) == 2)
        for _ in range(20):
            answer(port, process, log)
        yield port, process, log


def workers(parent: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def answer(port: int, process: forked.Program, log: Path, path: bytes = b"/healthz") -> bytes:
    """Return the answer to one request; empty if its worker was killed meanwhile."""
    try:
        with connect(port, process, log) as connection:
            connection.sendall(LAST % path)
            return read_all(connection)
    except ConnectionResetError:
        return b""


@pytest.mark.row("W-03")
def test_a_killed_worker_is_replaced_and_the_others_answer(served: tuple[int, forked.Program, Path]) -> None:
    port, process, log = served
    killed, other = workers(process.pid)
    os.kill(killed, signal.SIGKILL)
    lost = sum(not answer(port, process, log).startswith(b"HTTP/1.1 200 ") for _ in range(40))
    assert lost <= 2, "only connections that the killed worker had"
    wait_for(lambda: len(workers(process.pid)) == 2 and killed not in workers(process.pid))
    assert other in workers(process.pid)
    for _ in range(20):
        assert answer(port, process, log).startswith(b"HTTP/1.1 200 ")
    process.terminate()
    assert process.wait(PATIENCE) == 0


KEPT_ALIVE = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
TAKES_LONG = b"POST /token HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n"


def reach(port: int) -> bytes:
    """Return what the server sends until it closes the connection; nothing if it takes none.

    Raises:
        ConnectionResetError: it took the connection and cut it.
    """
    try:
        connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    except ConnectionRefusedError:
        return b""
    with connection:
        connection.sendall(KEPT_ALIVE)
        return read_all(connection) or b"cut"


def test_a_server_that_stops_is_not_ready_then_takes_no_connection_and_cuts_none(shared: Path, tmp_path: Path) -> None:
    """As systemd does, all processes get the signal. The listener must not outlast the last connection it takes."""
    port, log = free_port(), tmp_path / "log"
    arguments = ("serve", "--bind", f"127.0.0.1:{port}", "--workers", "2", "--threads", "4")
    with postgresql_copy(shared) as url, running(settings_for(url, drain_seconds=1), log, *arguments) as process:
        answer(port, process, log)
        wait_for(lambda: len(workers(process.pid)) == 2)
        with connect(port, process, log) as in_hand:
            in_hand.sendall(TAKES_LONG)
            assert in_hand.recv(100).startswith(b"HTTP/1.1 100 ")
            for pid in (process.pid, *workers(process.pid)):
                os.kill(pid, signal.SIGTERM)
            wait_for(lambda: b'"stopping"' in answer(port, process, log, b"/readyz"))
            with ThreadPoolExecutor(8) as clients:
                answers = list(clients.map(partial(reach_until_refused, port), range(8)))
            assert process.poll() is None, "a request is in hand"
            in_hand.sendall(b"x")
            assert b"HTTP/1.1 " in read_all(in_hand)
        assert process.wait(15) == 0, "before the parent loses patience"
    for each in answers:
        assert len(each) > 1, "connections are taken during the delay"
        assert all(text.startswith(b"HTTP/1.1 200 ") and b"connection: close" in text.lower() for text in each)


def reach_until_refused(port: int, _number: int) -> list[bytes]:
    answers = []
    while text := reach(port):
        answers.append(text)
    return answers


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_workers_that_are_still_starting_end_at_once(tmp_path: Path, stop: signal.Signals) -> None:
    (ready := tmp_path / "ready").mkdir()
    arguments = (str(ready), "--bind", f"127.0.0.1:{free_port()}")
    with forked.Program("tests.serving.slow_start", *arguments) as process:
        wait_for(lambda: process.poll() is not None or len(list(ready.iterdir())) == 2)
        assert process.poll() is None, process.stderr
        process.send_signal(stop)
        assert process.wait(15) == 0, "before the parent loses patience"


def test_workers_end_when_their_parent_is_killed(served: tuple[int, forked.Program, Path]) -> None:
    _, process, _ = served
    left = workers(process.pid)
    process.kill()
    process.wait(PATIENCE)
    wait_for(lambda: not any(map(is_alive, left)))


def test_the_socket_file_of_a_killed_server_is_replaced_and_that_of_a_running_one_is_not(
    shared: Path, tmp_path: Path
) -> None:
    path, log = tmp_path / "s", tmp_path / "log"
    arguments = ("serve", "--bind", f"unix:{path}", "--workers", "1", "--threads", "2")
    with socket.socket(socket.AF_UNIX) as abandoned:
        abandoned.bind(str(path))
    with postgresql_copy(shared) as url, running(settings_for(url), log, *arguments) as process:
        wait_for(lambda: path.is_socket() and _answers(path))
        assert stat.S_IMODE(path.stat().st_mode) == 0o666
        with running(settings_for(url), tmp_path / "second", *arguments) as second:
            assert second.wait(PATIENCE) == 1
        shown = (tmp_path / "second").read_text()
        assert shown == f"Error: cannot listen on unix:{path} (Address already in use)\n"
        process.terminate()
        assert process.wait(PATIENCE) == 0


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(str(path)) == 0
