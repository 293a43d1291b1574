"""`make chaos`: which flows may fail, and each fault for two seconds; the evening: how long a person waits."""

import asyncio
import subprocess
import sys
from collections import Counter

import pytest

from bench.chaos.__main__ import broken_promises
from bench.chaos.faults import FAULTS
from bench.chaos.load import Failure, Ledger
from bench.driver.relying_party import WrongAnswerError
from bench.driver.transport import Answer, CutConnectionError
from bench.evening import visits
from bench.evening.visits import LeftError, PatientBrowser, Visit
from idp.paths import CHECKOUT
from tests.rows import each_row

_MOST_SECONDS = 240
"""For one fault. The run itself waits ten seconds for a flow and three minutes for mails before it says that they are
lost, and must not be ended before it has said so; the rest is for a busy machine to start and to end a server."""


@pytest.mark.interop
def test_under_each_fault_nothing_is_lost_or_done_twice() -> None:
    """Take about ten seconds a fault, each of which has a server of its own; longer for ten kills and late mails."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.chaos", "--seconds", "2"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=_MOST_SECONDS * len(FAULTS),
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


_CUT, _ANSWERED, _REFUSED = CutConnectionError("cut"), WrongAnswerError("503"), ConnectionRefusedError()


@each_row(
    "fault, error, is_due",
    [
        ("server worker killed", _CUT, True),
        ("server worker killed", _ANSWERED, False),
        ("server worker killed", _REFUSED, False),
        ("same worker killed", _CUT, True),
        ("database frozen", _ANSWERED, True),
        ("database frozen", _CUT, False),
        ("clock stepped", _ANSWERED, True),
        ("clock stepped", _CUT, False),
    ],
)
def test_a_fault_interrupts_flows_in_its_own_way(fault: str, error: Exception, *, is_due: bool) -> None:
    assert Failure(began=1, ended=3, error=error).is_due_to([(2, 2.1)], FAULTS[fault].interrupts) == is_due


@each_row(
    "failed, waited, makes_wait, is_broken",
    [(1, 0, False, False), (2, 0, False, True), (1, 1, False, True), (1, 9, True, False), (2, 0, True, True)],
)
def test_one_flow_of_a_hundred_may_fail_or_wait(failed: int, waited: int, *, makes_wait: bool, is_broken: bool) -> None:
    failures = [Failure(began=1, ended=3, error=_ANSWERED)] * failed
    ledger = Ledger(done=[1.0] * (100 - failed), failed=failures, waited=waited)
    promises = broken_promises(failures, ledger, Counter(), recovered=True, makes_wait=makes_wait)
    assert bool(list(promises)) == is_broken


BUSY = Answer(503, {"retry-after": "3"}, {}, b"<h1>Beaucoup de familles se connectent</h1>")


class Server:
    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str]] = []

    async def send(self, method: str, target: str, _headers: dict[str, str], _form: dict[str, str] | None) -> Answer:
        self.asked.append((method, target))
        return self.answers.pop(0)


@pytest.fixture
def paused(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    noted: list[float] = []

    async def pause(seconds: float) -> None:
        noted.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", pause)
    return noted


def test_a_person_waits_as_long_as_the_page_says_and_sends_the_same_again(paused: list[float]) -> None:
    server, diary = Server(BUSY, BUSY, Answer(200)), Visit("sign-in", "20:00")
    answer = asyncio.run(PatientBrowser(server, diary).post("/connexion", {}))
    assert answer.status == 200
    assert server.asked == [("POST", "/connexion")] * 3
    assert all(3 <= pause < 4 for pause in paused)
    assert diary.shed == ["Beaucoup de familles se connectent"] * 2


def test_a_person_leaves_after_some_tries(paused: list[float]) -> None:
    server, diary = Server(*[BUSY] * 20), Visit("sign-in", "20:00")
    with pytest.raises(LeftError):
        asyncio.run(PatientBrowser(server, diary).get("/connexion"))
    assert len(server.asked) == len(paused) == visits.TRIES
