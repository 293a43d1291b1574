"""The evening: who arrives when, and how long a person waits."""

import asyncio

import pytest

from bench.driver.transport import Answer
from bench.evening import visits
from bench.evening.visits import LeftError, PatientBrowser, Visit

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
