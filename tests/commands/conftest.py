"""Runs the `idp` command as its entry point does, in this process: the same settings, exit codes and streams."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import NullPool

from idp.cli import main
from idp.config import PREFIX, Settings
from idp.demo.processes import exported


@dataclass(frozen=True)
class Answer:
    """What a command left: its exit code and what it wrote."""

    code: int
    out: str
    err: str


Run = Callable[..., Answer]


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command in an environment without any setting."""
    for name in [name for name in os.environ if name.upper().startswith(PREFIX)]:
        monkeypatch.delenv(name)

    def run(*arguments: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["idp", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
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
    """That database, seen by something else than the product."""
    return create_engine(database_url, poolclass=NullPool)
