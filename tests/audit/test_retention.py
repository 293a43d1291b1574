"""The chain stays valid after deletions for data protection, and `idp audit verify` reports broken rows."""

import json
import sys
from collections.abc import Iterator
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import delete, select, text, true
from sqlalchemy.exc import IntegrityError

from idp.accounts.models import Account
from idp.audit import sealing
from idp.audit.models import AuditBeginning, AuditEntry, AuditSeal
from idp.clock import now
from idp.db import db, retry_unit_of_work
from idp.operations.purge import unused_accounts
from idp.services import services_of
from tests import killing
from tests.audit.journal import a_day, at, fail, ids, list_findings, other_secret, seal, tamper, verified, write
from tests.audit.test_chain import run
from tests.builders import Build
from tests.commands.conftest import Run
from tests.commands.remains import number, purged

DAY = timedelta(days=1)


@pytest.mark.row("O-06")
def test_removed_account_leaves_the_chain_valid(act: Run, app: Flask, build: Build, browser: FlaskClient) -> None:
    """The personal part is deleted, before or after the seal, and cannot be guessed from the rest."""
    sealed, waiting = a_day(app, build, browser), build.active()
    seal(app)
    write(waiting, 2)
    for account in (sealed, waiting):
        assert unused_accounts.remove(account.id, true())
        db.session.commit()
    left = db.session.scalars(select(AuditEntry).where(AuditEntry.kind.in_(("sign_in", "code.issued")))).all()
    assert {(e.ip, e.request_id, json.dumps(e.details), e.salt) for e in left} == {("", "", "{}", None)}
    assert all(e.personal_digest for e in left)
    db.session.rollback()
    for _ in range(2):
        assert list_findings(act) == []
        seal(app)


@pytest.mark.row("O-06")
def test_erased_part_of_a_living_account_is_found(act: Run, app: Flask, build: Build) -> None:
    write(build.active(), 2)
    write(None, 1)
    seal(app)
    first, _, nobodys = ids()
    erase = "UPDATE audit SET ip = '', request_id = '', details = '{}', salt = NULL WHERE id = :key"
    tamper(erase, key=nobodys)
    assert list_findings(act) == [(1, nobodys, "the personal part was erased, and the entry is about no account")]
    tamper(erase, key=first)
    assert (
        None,
        first,
        "the personal part was erased, and no event says that the account was removed",
    ) in list_findings(act)


@pytest.mark.row("O-06")
def test_restored_personal_part_is_found(act: Run, app: Flask, build: Build) -> None:
    account = build.active()
    write(account, 1)
    assert unused_accounts.remove(account.id, true())
    db.session.commit()
    seal(app)
    tamper("UPDATE audit SET ip = '198.51.100.9' WHERE id = :key", key=ids()[0])
    assert list_findings(act) == [(1, ids()[0], "the address, the request or the details of the entry were changed")]


def a_year(app: Flask, build: Build) -> Account:
    """Write and seal a batch of four entries on each of several days; half of them are failures."""
    account = build.active()
    for days in (370, 368, 364, 190, 180, 1):
        with at(now() - days * DAY):
            write(account, 2)
            fail(account, 2)
            seal(app)
    return account


@pytest.mark.row("O-06")
def test_purge_removes_old_entries_and_leaves_the_chain_valid(act: Run, app: Flask, build: Build) -> None:
    account = a_year(app, build)
    assert list_findings(act) == []
    done = purged(act)
    assert (done["journal_entries"], done["failures"]) == (8, 4)
    _, wrong, summary = verified(act)
    assert (wrong, summary["entries"], summary["seals"], summary["expired"]) == ([], 12, 4, 4)
    with at(now() + 10 * DAY):
        write(account, 1)
        assert "journal_entries" in purged(act)
        seal(app)
        assert list_findings(act) == []
    with at(now() + 800 * DAY):
        purged(act)
        assert number(AuditSeal) == 1, "the youngest seal stays: the next one is chained to it"
        write(account, 1)
        seal(app)
        assert (list_findings(act), number(AuditSeal)) == ([], 2)


@pytest.mark.row("O-06")
def test_early_removal_of_an_entry_is_found_after_a_purge(act: Run, app: Flask, build: Build) -> None:
    a_year(app, build)
    purged(act)
    [right, *_] = ids(AuditEntry.result == "ok", AuditEntry.at > now() - 183 * DAY)
    [wrong, *_] = ids(AuditEntry.result == "refused", AuditEntry.at > now() - 183 * DAY)
    tamper("DELETE FROM audit WHERE id IN (:right, :wrong)", right=right, wrong=wrong)
    assert [(entry, what) for _, entry, what in list_findings(act)] == [
        (right, "the entry was removed"),
        (wrong, "the entry was removed"),
    ]


@pytest.mark.row("O-06")
def test_changed_beginning_is_found_and_a_lost_key_is_told_apart(
    act: Run, app: Flask, build: Build, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    a_year(app, build)
    purged(act)
    changed, lost = "the record of the last purge was {}".format, "made under a secret key that is not here"
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("IDP_SECRET_KEY", other_secret(database_url).secret_key.get_secret_value())
        messages = [what for _, _, what in list_findings(act)]
    assert (messages[0], changed("changed") in messages) == (changed(lost), False)
    tamper("UPDATE audit_beginning SET first_seal = first_seal + 1")
    messages = [what for _, _, what in list_findings(act)]
    assert (changed("changed") in messages, changed(lost) in messages) == (True, False)
    tamper("UPDATE audit_beginning SET first_seal = first_seal - 1")
    assert list_findings(act) == []
    tamper("DELETE FROM audit_seal WHERE id = 3")
    tamper("DELETE FROM audit WHERE seal_id = 3")
    assert list_findings(act) == [(3, None, "the seal is missing")]
    tamper("DELETE FROM audit_beginning")
    assert list_findings(act)[0][2] == "seals 1 to 3 are missing"


@pytest.mark.row("O-06")
def test_removal_of_the_whole_chain_is_found_after_a_purge(act: Run, app: Flask, build: Build) -> None:
    a_year(app, build)
    purged(act)
    tamper("DELETE FROM audit")
    tamper("DELETE FROM audit_seal")
    assert list_findings(act) == [(3, None, "the seal is missing")]


@pytest.mark.row("O-06")
def test_purges_with_different_settings_leave_the_chain_valid(act: Run, app: Flask, build: Build) -> None:
    a_year(app, build)
    sealing.record_cut(services_of(app).settings.secrets, now() - 300 * DAY, now() - 100 * DAY)
    old = (AuditEntry.at < now() - 300 * DAY) | ((AuditEntry.at < now() - 100 * DAY) & (AuditEntry.result == "refused"))
    retry_unit_of_work(lambda: db.session.execute(delete(AuditEntry).where(old)))
    purged(act)
    assert list_findings(act) == []
    assert db.session.scalars(select(AuditBeginning)).one().entries_before > now() - 301 * DAY


@pytest.mark.row("O-06")
@pytest.mark.parametrize("points", killing.POINTS)
def test_killed_purge_leaves_the_chain_valid(act: Run, app: Flask, build: Build, points: str) -> None:
    a_year(app, build)
    db.session.rollback()
    assert int(run("tests.audit.killed", build.settings.database_url, "purge", points)) > 3
    assert list_findings(act) == []
    assert number(AuditEntry) == 12


COLUMNS = "at, kind, result, account_id, client_id, actor, ip, request_id, details, salt, personal_digest, mac"
UNREADABLE = "the entry was changed: it cannot be read"
STORED = {"number": f'{{"n": {"1" * 5000}}}', "deep": "[" * 3000 + "]" * 3000}
"""JSON that the database stores but Python cannot parse."""


@pytest.fixture
def emptied_journal(app: Flask) -> Iterator[None]:
    """Remove the rows at the end, because other fixtures cannot read them."""
    yield
    db.session.rollback()
    with db.engine.begin() as connection:
        for table in ("audit", "audit_seal", "audit_beginning"):
            connection.execute(text(f"DELETE FROM {table}"))  # noqa: S608 - of this function


def let_in() -> None:
    """Drop the constraint, as the owner of the database can."""
    db.session.rollback()
    with db.engine.begin() as connection:
        connection.execute(text("ALTER TABLE audit DROP CONSTRAINT ck_audit_seal_id"))


def forge(number: int | str, *, key: int | None = None, mac: str = "NULL") -> int:
    columns = COLUMNS.replace(", mac", "").replace(" request_id,", "")
    key_column = "" if key is None else "id, "
    statement = (
        f"INSERT INTO audit ({key_column}{columns}, request_id, mac, seal_id) "  # noqa: S608 - of this module
        f"SELECT {'' if key is None else f'{key}, '}{columns}, 'forged', {mac}, {number} FROM audit WHERE id = :first"
    )
    first = ids()[0]
    with db.engine.begin() as connection:
        connection.execute(text(statement), {"first": first})
    [forged] = ids(AuditEntry.request_id == "forged")
    return forged


@pytest.mark.usefixtures("emptied_journal")
@pytest.mark.parametrize("number", [0, -5])
@pytest.mark.parametrize("mac", ["NULL", "mac"])
def test_inserted_entry_of_a_seal_that_cannot_exist_is_found(
    act: Run, app: Flask, build: Build, number: int, mac: str
) -> None:
    write(build.active(), 3)
    seal(app)
    let_in()
    forged = forge(number, mac=mac)
    wrong = list_findings(act)
    assert {(number, forged, "the entry names a seal that is not there")} <= set(wrong)
    assert {entry for _, entry, _ in wrong} == {forged}


@pytest.mark.usefixtures("emptied_journal")
@pytest.mark.parametrize("number", ["NULL", "1"])
def test_inserted_entry_below_all_others_is_found(act: Run, app: Flask, build: Build, number: str) -> None:
    write(build.active(), 3)
    seal(app)
    assert forge(number, key=-7) == -7
    assert {entry for _, entry, _ in list_findings(act)} == {-7}


@pytest.mark.usefixtures("emptied_journal")
def test_database_refuses_a_seal_number_below_one(build: Build) -> None:
    write(build.active(), 1)
    for value in (0, -5):
        with pytest.raises(IntegrityError), db.engine.begin() as connection:
            connection.execute(text("UPDATE audit SET seal_id = :number"), {"number": value})


@pytest.mark.usefixtures("emptied_journal")
@pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "not sealed yet"])
@pytest.mark.parametrize("json", STORED)
def test_invalid_json_is_a_finding_like_others(act: Run, app: Flask, build: Build, json: str, *, sealed: bool) -> None:
    write(build.active(), 5)
    if sealed:
        seal(app)
    broken, changed = ids()[1], ids()[3]
    tamper("UPDATE audit SET details = CAST(:value AS json) WHERE id = :key", key=broken, value=STORED[json])
    tamper("UPDATE audit SET result = 'refused' WHERE id = :key", key=changed)
    number = 1 if sealed else None
    # Python 3.14 reads the deep one, and finds that its seal does not fit
    is_read = json == "deep" and sys.version_info >= (3, 14)
    expected = "the address, the request or the details of the entry were changed" if is_read else UNREADABLE
    assert list_findings(act) == [(number, broken, expected), (number, changed, "the entry was changed")]


@pytest.mark.usefixtures("emptied_journal")
@pytest.mark.parametrize("number", ["1", "NULL"])
def test_entry_with_an_invalid_time_is_a_finding_like_others(act: Run, app: Flask, build: Build, number: str) -> None:
    write(build.active(), 3)
    seal(app)
    broken, changed = ids()[0], ids()[2]
    tamper(f"UPDATE audit SET at = 'infinity', seal_id = {number} WHERE id = :key", key=broken)  # noqa: S608
    tamper("UPDATE audit SET result = 'refused' WHERE id = :key", key=changed)
    wrong = list_findings(act)
    assert (None if number == "NULL" else 1, broken, UNREADABLE) in wrong
    assert (1, changed, "the entry was changed") in wrong


@pytest.mark.usefixtures("emptied_journal")
@pytest.mark.parametrize("statement", [
    "UPDATE audit_seal SET sealed_at = 'infinity' WHERE id = 1",
    "UPDATE audit_seal SET entries = {record} WHERE id = 1",
])  # fmt: skip
def test_unreadable_seal_does_not_hide_other_findings(act: Run, app: Flask, build: Build, statement: str) -> None:
    for _ in range(2):
        write(build.active(), 3)
        seal(app)
    changed = ids()[1], ids()[4]
    for key in changed:
        tamper("UPDATE audit SET result = 'refused' WHERE id = :key", key=key)
    hexadecimal = "00" * 8 + "7f" + "ff" * 7 + "00" * 17  # one record, at the largest possible time
    tamper(statement.format(record=f"decode('{hexadecimal}', 'hex')"))
    wrong = list_findings(act)
    assert {number for number, _, what in wrong if what.startswith("the seal was changed")} == {1}
    assert {(1, changed[0]), (2, changed[1])} <= {(number, entry) for number, entry, _ in wrong}


@pytest.mark.usefixtures("emptied_journal")
def test_unreadable_record_of_the_purge_is_a_finding(act: Run, app: Flask, build: Build) -> None:
    write(build.active(), 2)
    seal(app)
    act("purge")
    tamper("UPDATE audit_beginning SET recorded_at = 'infinity'")
    assert (None, None, "the record of the last purge was changed") in list_findings(act)
