"""At a terminal, commands that act at once on one person or message ask; `--yes`, or no terminal, asks nothing."""

import io
import sys
from pathlib import Path

import pytest

from idp.accounts.models import Account
from idp.clock import now
from idp.db import db, unit_of_work
from idp.outbox.queue import enqueue
from idp.outbox.worker import DEAD
from tests.builders import COLLEGE, Build
from tests.commands.conftest import Run
from tests.rows import each_row

WHY = ("--reason", "Un jugement")
ACTS = (
    ("staff", "end", "ines@college.test"),
    ("letters", "print", "--username", "USER", "--out", "FILE", *WHY),
    ("outbox", "drop", "MESSAGE"),
)


class _Terminal(io.StringIO):
    """The standard input of somebody who types the same answer to each question."""

    def isatty(self) -> bool:
        """Return True."""
        return True


@pytest.mark.usefixtures("ent")
@each_row("arguments", ACTS)
def test_an_act_on_one_person_or_message_waits_for_an_answer(
    act: Run, build: Build, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    child = build.child()
    account = build.active(children=[child])
    act("staff", "invite", "ines@college.test", "--name", "Inès Roy", "--role", "head", "--school", COLLEGE)
    with unit_of_work():
        message = enqueue("account.notice", {})
        message.outcome, message.finished_at = DEAD, now()
    named = {
        "USER": account.username,
        "MESSAGE": str(message.id),
        "FILE": str(tmp_path / "letter.pdf"),
    }
    command = [named.get(word, word) for word in arguments]
    before = db.session.get_one(Account, account.id).generation
    monkeypatch.setattr(sys, "stdin", _Terminal("n\n"))
    refused = act(*command)
    assert (refused.code, refused.out) == (1, "")
    assert "? [y/N]: " in refused.err
    assert "Aborted!" in refused.err
    assert db.session.get_one(Account, account.id).generation == before
    monkeypatch.setattr(sys, "stdin", _Terminal("y\n"))
    done = act(*command)
    assert done.code == 0, done.err
    monkeypatch.setattr(sys, "stdin", _Terminal(""))
    again = act(*command, "--yes")
    assert "? [y/N]" not in again.err, "nothing is asked"
