"""Runs the `idp` command as its entry point does, in this process: the same settings, exit codes and streams."""

import contextvars
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Engine, create_engine, select
from sqlalchemy.pool import NullPool

from demo.processes import exported
from idp.audit.models import AuditEntry
from idp.cli import application, main
from idp.config import PREFIX, Settings
from idp.db import _PAUSES, db
from tests import applications


@dataclass(frozen=True)
class Answer:
    """What a command left: its exit code and what it wrote."""

    code: int
    out: str
    err: str


Run = Callable[..., Answer]


def read_json(run: Run, *arguments: str) -> Any:
    answer = run(*arguments, "--json")
    assert answer.code == 0, answer.err
    return json.loads(answer.out)


def check_refusal(answer: Answer, words: str) -> None:
    """Check that a command wrote nothing to stdout and one line with `words` to stderr, and exited with 1."""
    assert (answer.code, answer.out, answer.err.count("\n")) == (1, "", 1), answer
    assert words in answer.err


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    for name in [name for name in os.environ if name.upper().startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(application, "create_app", applications.for_command)

    def run(*arguments: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["idp", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            contextvars.Context().run(main)  # nothing of the test is shared
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        code = stop.value.code
        assert code is None or isinstance(code, int)
        return Answer(code or 0, out, err)

    return run


@pytest.fixture
def idp(bare: Run, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command on a migrated database that has a signing key."""
    for name, value in exported(settings).items():
        monkeypatch.setenv(name, value)
    return bare


@pytest.fixture
def engine(database_url: str) -> Engine:
    return create_engine(database_url, poolclass=NullPool)


@pytest.fixture
def act(idp: Run, app: Flask) -> Run:
    """The command on the database that the test builds in, as another process would: nothing of the test is shared."""

    def run(*arguments: str) -> Answer:
        db.session.rollback()
        answer: Answer = contextvars.Context().run(idp, *arguments)
        db.session.rollback()
        db.session.expire_all()
        return answer

    return run


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try a step as often as ever on a database that refuses it, but without pauses."""
    monkeypatch.setattr("idp.db._PAUSES", tuple(0.0 for _ in _PAUSES))


Events = Callable[[str], list[AuditEntry]]


@pytest.fixture
def events(app: Flask) -> Events:
    """What the journal holds of one kind of event, oldest first."""

    def read(kind: str) -> list[AuditEntry]:
        entries = list(db.session.scalars(select(AuditEntry).where(AuditEntry.kind == kind).order_by(AuditEntry.id)))
        db.session.rollback()
        return entries

    return read
