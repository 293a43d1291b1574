"""Many processes write and seal one chain; a sealer may be killed at any statement."""

import json

import pytest
from flask import Flask
from sqlalchemy import func, select

from idp.audit import sealing
from idp.audit.models import AuditEntry, AuditSeal
from idp.db import db
from tests import forked, killing
from tests.audit.journal import ids, list_findings, verified, write
from tests.builders import Build
from tests.commands.conftest import Run

pytestmark = pytest.mark.row("O-06")


def run(*arguments: str) -> str:
    done = forked.run(*arguments, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize("rounds", [8, pytest.param(25, marks=pytest.mark.long)])
def test_concurrent_writers_and_sealers_create_one_chain(
    act: Run, app: Flask, build: Build, database_url: str, rounds: int
) -> None:
    result = json.loads(run("tests.audit.rush", database_url, str(rounds)))
    assert result["found"] == 0, "no check sees anything wrong meanwhile"
    code, wrong, summary = verified(act)
    assert (code, wrong, summary["unsealed"]) == (0, [], 0)
    assert summary["entries"] == result["written"] == len(ids())
    assert db.session.scalar(select(func.sum(AuditSeal.count))) == result["written"], "each is in one batch"
    seals = db.session.scalars(select(AuditSeal).order_by(AuditSeal.id)).all()
    assert [seal.id for seal in seals] == list(range(1, len(seals) + 1))
    assert [seal.previous for seal in seals[1:]] == [seal.mac for seal in seals[:-1]], "no fork"
    db.session.rollback()


def test_entry_that_commits_late_with_a_lower_id_is_sealed_later(
    act: Run, app: Flask, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(build.active(), 5)
    late = ids()[0]
    db.session.execute(AuditEntry.__table__.update().where(AuditEntry.id != late).values(kind="sign_in"))  # type: ignore[attr-defined]
    db.session.execute(AuditEntry.__table__.update().where(AuditEntry.id == late).values(seal_id=99))  # type: ignore[attr-defined]
    db.session.commit()
    assert sealing.seal_all(build.settings.secrets) == 4, "it is not visible yet"
    db.session.execute(AuditEntry.__table__.update().where(AuditEntry.id == late).values(seal_id=None))  # type: ignore[attr-defined]
    db.session.commit()
    assert sealing.seal_all(build.settings.secrets) == 1
    assert list_findings(act) == []
    assert ids(AuditEntry.seal_id == 2) == [late]


@pytest.mark.parametrize("points", killing.POINTS)
def test_killed_sealer_leaves_the_chain_valid(act: Run, app: Flask, build: Build, points: str) -> None:
    write(build.active(), 40)
    db.session.rollback()
    assert int(run("tests.audit.killed", build.settings.database_url, "seal", points)) > 6
    code, wrong, summary = verified(act)
    assert (code, wrong, summary["entries"], summary["unsealed"]) == (0, [], 40, 0)
