"""Letters are typeset in a process of its own, which is replaced before it takes too much memory."""

import multiprocessing
import os
import signal
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace

import pytest

from idp.letters.render import typesetting
from idp.letters.render.pdf import LetterError
from idp.letters.render.typesetting import Typesetter
from tests.letters.read_back import NOEMIE

pytestmark = pytest.mark.usefixtures("spawned_pools")


def pool_pids() -> list[int]:
    return [process.pid for process in multiprocessing.active_children() if process.pid]


def test_the_process_is_replaced_after_a_number_of_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typesetting, "_LETTERS_PER_PROCESS", 3)
    with Typesetter() as typesetter:
        seen = []
        for count in (2, 2, 1, 2):
            assert typesetter.render([NOEMIE] * count).startswith(b"%PDF")
            seen += pool_pids()
        assert len(seen) == 4
        first, second, third, fourth = seen
        assert first == second != third == fourth
    assert pool_pids() == []


def test_the_error_names_the_account_of_the_invalid_letter() -> None:
    with Typesetter() as typesetter:
        with pytest.raises(LetterError, match="it has no recipient") as error:
            typesetter.render([NOEMIE, replace(NOEMIE, recipient=[])], as_slips=True)
        assert error.value.usernames == (NOEMIE.username,)
        assert typesetter.render([NOEMIE], as_slips=True).startswith(b"%PDF")


def test_a_killed_process_is_an_error() -> None:
    with Typesetter() as typesetter:
        typesetter.render([NOEMIE])
        os.kill(pool_pids()[0], signal.SIGKILL)
        with pytest.raises(BrokenProcessPool):
            typesetter.render([NOEMIE])
