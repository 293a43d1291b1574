"""`idp audit verify` reports rows that the service cannot have written, and still reports all other findings."""

import sys
from collections.abc import Iterator

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from idp.audit.models import AuditEntry
from idp.db import db
from tests.audit.journal import ids, list_findings, seal, tamper, write
from tests.builders import Build
from tests.commands.conftest import Run

COLUMNS = "at, kind, result, account_id, client_id, actor, ip, request_id, details, salt, personal_digest, mac"
UNREADABLE = "the entry was changed: it cannot be read"
STORED = {"number": f'{{"n": {"1" * 5000}}}', "deep": "[" * 3000 + "]" * 3000}
"""JSON that the database stores but Python cannot parse."""


@pytest.fixture(autouse=True)
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


@pytest.mark.parametrize("number", ["NULL", "1"])
def test_inserted_entry_below_all_others_is_found(act: Run, app: Flask, build: Build, number: str) -> None:
    write(build.active(), 3)
    seal(app)
    forged = forge(number, key=-7)
    assert forged == -7
    assert {entry for _, entry, _ in list_findings(act)} == {-7}


def test_database_refuses_a_seal_number_below_one(build: Build) -> None:
    write(build.active(), 1)
    for number in (0, -5):
        with pytest.raises(IntegrityError), db.engine.begin() as connection:
            connection.execute(text("UPDATE audit SET seal_id = :number"), {"number": number})


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


def test_unreadable_record_of_the_purge_is_a_finding(act: Run, app: Flask, build: Build) -> None:
    write(build.active(), 2)
    seal(app)
    act("purge")
    tamper("UPDATE audit_beginning SET recorded_at = 'infinity'")
    assert (None, None, "the record of the last purge was changed") in list_findings(act)
