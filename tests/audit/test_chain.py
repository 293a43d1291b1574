"""A change of the journal by SQL, without the secret key, is detected, whatever process seals or is killed."""

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, insert, select
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from idp.audit import log, sealing
from idp.audit.data_events import AccountErased
from idp.audit.models import AuditEntry, AuditSeal
from idp.clock import now
from idp.config import Settings
from idp.db import db
from tests import forked, killing
from tests.audit.journal import a_day, fail, ids, list_findings, other_secret, seal, tamper, verified, write
from tests.builders import Build, commit
from tests.commands.conftest import Run
from tests.commands.remains import keep

pytestmark = pytest.mark.row("O-06")


COLUMNS = (
    "at", "kind", "result", "account_id", "client_id", "staff_id", "school_id", "actor", "ip", "request_id", "details",
    "salt",
)  # fmt: skip
OTHER = {
    "at": now() - timedelta(hours=3),
    "kind": "sign_out",
    "result": "refused",
    "account_id": "0" * 32,
    "client_id": "0" * 32,
    "staff_id": "0" * 32,
    "school_id": "0" * 32,
    "actor": "uid 0 (root)",
    "ip": "198.51.100.9",
    "request_id": "ZZZZ-ZZZZ",
    "details": '{"sid": "another"}',
    "salt": b"0" * 16,
}


def test_journal_of_a_day_is_valid_before_and_after_its_seals(
    act: Run, app: Flask, build: Build, browser: FlaskClient
) -> None:
    a_day(app, build, browser)
    for sealed, seals in ((0, 0), (len(ids()), 1)):
        _, wrong, summary = verified(act)
        assert (wrong, summary["entries"], summary["seals"]) == ([], sealed, seals)
        assert sealed + summary["unsealed"] == len(ids()) >= 4
        assert seal(app) == len(ids()) - sealed, "sealing again seals nothing"
    issued = db.session.scalars(select(AuditEntry).where(AuditEntry.kind == "code.issued")).one()
    assert issued.personal_digest is not None, "the worker completed the entry of the code"


def test_the_worker_seals_the_journal(act: Run, app: Flask, build: Build) -> None:
    write(build.active(), 3)
    assert act("worker", "--once").code == 0
    assert ids(AuditEntry.seal_id.is_(None)) == []
    assert list_findings(act) == []


def test_seal_is_logged_once_it_is_committed(app: Flask, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(step: Callable[[], object]) -> None:
        step()
        db.session.rollback()
        raise OperationalError("COMMIT", None, Exception())

    write(build.active(), 2)
    with capture_logs() as lines, monkeypatch.context() as broken:
        broken.setattr(sealing, "retry_unit_of_work", refused)
        with pytest.raises(OperationalError):
            seal(app)
    assert lines == [], "a seal that was logged and is missing would raise the alarm"
    with capture_logs() as lines:
        assert seal(app) == 2
    assert [(line["event"], line["seal"], line["entries"]) for line in lines] == [("audit.sealed", 1, 2)]


@pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "not sealed yet"])
@pytest.mark.parametrize("column", COLUMNS)
def test_changed_entry_is_found(act: Run, app: Flask, build: Build, column: str, *, sealed: bool) -> None:
    write(build.active(), 5)
    if sealed:
        seal(app)
    key = ids()[2]
    value = OTHER[column]
    if column == "at":
        db.session.execute(AuditEntry.__table__.update().where(AuditEntry.id == key).values(at=value))  # type: ignore[attr-defined]
        db.session.commit()
    else:
        cast = "CAST(:value AS uuid)" if column.endswith("_id") and column != "request_id" else ":value"
        cast = "CAST(:value AS json)" if column == "details" else cast
        tamper(f"UPDATE audit SET {column} = {cast} WHERE id = :key", value=value, key=key)  # noqa: S608 - a column's name
    [(seal_id, entry, what)] = list_findings(act)
    assert (seal_id, entry) == (1 if sealed else None, key)
    assert "changed" in what


@pytest.mark.parametrize("column", ["client_id", "account_id", "details", "ip", "request_id", "salt", "mac"])
def test_changed_entry_of_a_code_is_found_before_its_seal_and_after(
    act: Run, app: Flask, build: Build, browser: FlaskClient, column: str
) -> None:
    a_day(app, build, browser)
    [key] = ids(AuditEntry.kind == "code.issued")
    null = column in {"client_id", "mac"}
    value = {
        "account_id": "(SELECT id FROM account WHERE username = 'other')",
        "details": "CAST(:value AS json)",
    }.get(column, "NULL" if null else ":value")
    build.active(username="other")
    tamper(f"UPDATE audit SET {column} = {value} WHERE id = :key",  # noqa: S608 - as above
           key=key, **({"value": OTHER[column]} if ":value" in value else {}))  # fmt: skip
    assert [entry for _, entry, _ in list_findings(act)] == [key]
    seal(app)
    assert [(number, entry) for number, entry, _ in list_findings(act)] == [(1, key)], "the seal makes nothing good"


@pytest.mark.parametrize("erased", [False, True], ids=["kept", "erased"])
@pytest.mark.parametrize("whose", ["own", "another"])
def test_reinserted_unsealed_entry_is_found(
    act: Run, app: Flask, build: Build, browser: FlaskClient, whose: str, *, erased: bool
) -> None:
    account, other = a_day(app, build, browser), build.active(username="other")
    table = AuditEntry.__table__
    captured = dict(db.session.execute(select(table).where(table.c.kind == "code.issued")).mappings().one())
    del captured["id"]
    seal(app)
    if erased:
        log.forget(account.id)
        log.record(AccountErased(account_id=account.id, reason="asked", kept=[]))
        db.session.commit()
        seal(app)
    assert list_findings(act) == []
    for _ in range(2):
        commit(insert(AuditEntry).values(captured | ({"account_id": other.id} if whose == "another" else {})))
    forged = ids()[-2:]
    for _ in range(2):
        wrong = list_findings(act)
        assert {entry for _, entry, _ in wrong} == set(forged), wrong
        seal(app)


def test_removed_entry_is_found(act: Run, app: Flask, build: Build) -> None:
    write(build.active(), 4)
    seal(app)
    write(build.active(), 2)
    seal(app)
    key = ids()[1]
    tamper("DELETE FROM audit WHERE id = :key", key=key)
    assert list_findings(act) == [(1, key, "the entry was removed")]


@pytest.mark.parametrize("name", ["seal_id", "NULL"])
def test_copied_entry_is_found(act: Run, app: Flask, build: Build, name: str) -> None:
    write(build.active(), 4)
    seal(app)
    first = ids()[0]
    columns = "at, kind, result, account_id, client_id, actor, ip, request_id, details, salt, personal_digest, mac"
    statement = f"INSERT INTO audit ({columns}, seal_id) SELECT {columns}, {name} FROM audit WHERE id = :key"  # noqa: S608
    tamper(statement, key=first)
    copy = ids()[-1]
    assert f"the entry is a copy of entry {first}" in {what for _, entry, what in list_findings(act) if entry == copy}
    seal(app)
    assert {entry for _, entry, _ in list_findings(act)} == {copy}, "the seal makes nothing good"


def test_forged_entry_is_found_sealed_or_not(act: Run, app: Flask, build: Build) -> None:
    account = build.active()
    write(account, 2)
    keep(
        AuditEntry(kind="sign_in", result="ok", account_id=account.id, details={"sid": "x"}),
        AuditEntry(kind="code.issued", result="ok", account_id=account.id, salt=b"1" * 16, mac=b"2" * 36),
    )
    forged = ids()[-2:]
    sentences = ["the entry was not written by this service", "the entry was changed"]
    for number in (None, 1):
        assert list_findings(act) == [(number, key, sentence) for key, sentence in zip(forged, sentences, strict=True)]
        seal(app)


def test_swapped_entries_are_found(act: Run, app: Flask, build: Build) -> None:
    write(build.active(), 4)
    seal(app)
    first, second = ids()[0], ids()[3]
    tamper("UPDATE audit SET id = -1 WHERE id = :key", key=first)
    tamper("UPDATE audit SET id = :one WHERE id = :other", one=first, other=second)
    tamper("UPDATE audit SET id = :other WHERE id = -1", other=second)
    assert list_findings(act) == [(1, key, "the entry differs from the sealed one") for key in (first, second)]


def test_entry_moved_to_another_batch_is_found(act: Run, app: Flask, build: Build) -> None:
    for _ in range(2):
        write(build.active(), 2)
        seal(app)
    key = ids()[0]
    tamper("UPDATE audit SET seal_id = 2 WHERE id = :key", key=key)
    assert [(number, entry) for number, entry, _ in list_findings(act)] == [(1, key), (2, key)]
    tamper("UPDATE audit SET seal_id = 9 WHERE id = :key", key=key)
    assert (9, key, "the entry names a seal that is not there") in list_findings(act)


def three_seals(app: Flask, build: Build) -> None:
    for _ in range(3):
        write(build.active(), 3)
        seal(app)


@pytest.mark.parametrize("column", ["count", "entries", "mac", "previous", "sealed_at"])
def test_changed_seal_is_found(act: Run, app: Flask, build: Build, column: str) -> None:
    three_seals(app, build)
    row = db.session.get_one(AuditSeal, 2)
    changed = {
        "count": 2,
        "entries": row.entries[:-33],
        "mac": row.mac[:-1] + bytes([row.mac[-1] ^ 1]),
        "previous": b"",
        "sealed_at": row.sealed_at + timedelta(seconds=1),
    }
    setattr(row, column, changed[column])
    db.session.commit()
    assert (2, None, "the seal was changed") in list_findings(act)
    assert {number for number, _, _ in list_findings(act)} == {2}


def test_missing_seal_is_found(act: Run, app: Flask, build: Build) -> None:
    three_seals(app, build)
    tamper("DELETE FROM audit_seal WHERE id = 2")
    assert list_findings(act) == [(2, None, "the seal is missing")]
    tamper("DELETE FROM audit WHERE seal_id = 2")
    assert list_findings(act) == [(2, None, "the seal is missing")]


def test_truncated_end_is_found_with_a_noted_head(act: Run, app: Flask, build: Build) -> None:
    three_seals(app, build)
    head = verified(act)[2]["head"]
    assert list_findings(act, "--head", head) == []
    tamper("DELETE FROM audit_seal WHERE id = 3")
    assert {what for _, _, what in list_findings(act)} == {"the entry names a seal that is not there"}
    tamper("DELETE FROM audit WHERE seal_id = 3")
    assert list_findings(act) == [], "the database alone does not know what it held"
    cut = "the seal was noted before and is missing: the end of the chain was cut off"
    assert list_findings(act, "--head", head) == [(3, None, cut)]
    write(build.active())
    seal(app)
    rewritten = "the seal differs from the one that was noted before: the chain was rewritten"
    assert list_findings(act, "--head", head) == [(3, None, rewritten)]
    assert act("audit", "verify", "--head", "three").code == 2


def test_former_secret_key_verifies_and_a_missing_key_is_reported(
    act: Run, app: Flask, build: Build, settings: Settings, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    write(build.active(), 2)
    seal(app)
    write(build.active(), 2)
    monkeypatch.setenv("IDP_SECRET_KEY", other_secret(database_url).secret_key.get_secret_value())
    entries = "2 entries were written under a secret key that is not here"
    seal_of = (1, None, "the seal was made under a secret key that is not here")
    assert set(list_findings(act)) == {seal_of, (1, None, entries), (None, None, entries)}
    monkeypatch.setenv("IDP_SECRET_KEY_FALLBACKS", json.dumps([settings.secret_key.get_secret_value()]))
    assert act("worker", "--once").code == 0
    assert list_findings(act) == []


def test_text_output_of_verify_locates_the_findings(act: Run, app: Flask, build: Build) -> None:
    write(build.active(), 2)
    fail(None, 1)
    seal(app)
    assert act("audit", "verify").out.splitlines()[0] == "whole: 3 entries in 1 seals, 0 not sealed yet"
    key = ids()[0]
    tamper("UPDATE audit SET result = 'refused' WHERE id = :key", key=key)
    broken = act("audit", "verify")
    assert broken.out.startswith(f"seal 1, entry {key}, of 20")
    assert "1 finding: 3 entries in 1 seals" in broken.out


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
