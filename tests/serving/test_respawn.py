"""Workers of `idp serve` that fail again and again: the others serve meanwhile, and a server without any ends."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from idp.config import Settings
from idp.node import Failures
from idp.operations.checks import proxy
from tests import forked
from tests.commands.processes import PATIENCE, connect, environment, free_port
from tests.databases import postgresql_copy, settings_for
from tests.serving.test_processes import answer, workers
from tests.waiting import wait_for

NEVER = "3600"


@dataclass(frozen=True)
class Served:
    """A server with two workers that have started."""

    settings: Settings
    process: forked.Program
    port: int
    log: Path
    obstacle: Path

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: pid not in self.workers())

    def workers(self) -> list[int]:
        assert self.process.poll() is None, self.log.read_text()
        return workers(self.process.pid)

    def replacement(self, before: list[int]) -> int:
        wait_for(lambda: set(self.workers()) - set(before), tell=self.log.read_text)
        [new] = set(self.workers()) - set(before)
        return new

    def check_answers(self) -> None:
        for _ in range(5):
            assert answer(self.port, self.process, self.log).startswith(b"HTTP/1.1 200 "), self.log.read_text()

    def lines(self, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(PATIENCE) == 0, self.log.read_text()


Serving = Callable[[str, str, str], AbstractContextManager[Served]]


@pytest.fixture
def serving(shared: Path, tmp_path: Path) -> Serving:
    """A server by SETTLED_SECONDS, FIRST_PAUSE and MOST_PAUSE."""

    @contextmanager
    def serve(*seconds: str) -> Iterator[Served]:
        port, log, obstacle = free_port(), tmp_path / "log", tmp_path / "obstacle"
        command = ("serve", "--bind", f"127.0.0.1:{port}", "--workers", "2", "--threads", "2")
        with postgresql_copy(shared) as url, log.open("wb") as file:
            settings = settings_for(url, drain_seconds=0)
            program = ("tests.serving.short_lives", *seconds, str(obstacle), *command)
            with forked.Program(*program, env=environment(settings), output=file) as process:
                served = Served(settings, process, port, log, obstacle)
                connect(port, process, log).close()
                wait_for(lambda: len(served.workers()) == 2)
                yield served
                process.kill()

    return serve


def test_a_worker_that_is_killed_five_times_is_replaced_after_growing_pauses_while_the_other_answers(
    serving: Serving,
) -> None:
    with serving(NEVER, "0.05", "0.5") as served:
        victim, other = served.workers()
        for _ in range(5):
            served.kill(victim)
            served.check_answers()
            victim = served.replacement([victim, other])
        assert other in served.workers()
        failures = served.lines("server.worker_failed")
        assert [failure["pause"] for failure in failures] == [0.05, 0.1, 0.2, 0.4, 0.5]
        assert {(failure["worker"], failure["exit_code"]) for failure in failures} == {(1, -signal.SIGKILL)}
        asked = proxy.ask(served.settings, f"http://127.0.0.1:{served.port}")
        assert asked.failures == Failures(5, 0), "the other worker knows"
        served.stop()


def test_a_worker_that_had_settled_is_replaced_at_once(serving: Serving) -> None:
    with serving("0", NEVER, NEVER) as served:
        victim, other = served.workers()
        for _ in range(3):
            served.kill(victim)
            victim = served.replacement([victim, other])


def test_a_server_stops_while_a_dead_worker_is_not_replaced_yet(serving: Serving) -> None:
    with serving(NEVER, NEVER, NEVER) as served:
        victim, other = served.workers()
        served.kill(victim)
        served.check_answers()
        assert served.workers() == [other]
        served.stop()


def test_a_worker_is_replaced_when_the_server_can_fork_again(serving: Serving) -> None:
    with serving(NEVER, "0.05", "0.1") as served:
        victim, other = served.workers()
        served.obstacle.touch()
        served.kill(victim)
        wait_for(lambda: len(served.lines("server.cannot_fork")) > 1)
        served.check_answers()
        served.obstacle.unlink()
        served.replacement([victim, other])
        served.stop()


def test_a_server_ends_with_an_error_when_no_worker_has_settled_for_long(tmp_path: Path) -> None:
    with forked.Program("tests.serving.crashing", "3", str(tmp_path)) as process:
        assert process.wait(PATIENCE) == 1, process.stderr
    assert "server.gave_up" in process.stdout
    assert len(list(tmp_path.iterdir())) > 2, "they were replaced meanwhile"
