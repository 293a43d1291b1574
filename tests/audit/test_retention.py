"""The chain stays valid after deletions for data protection: a removed account, expired entries and failures."""

import json
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import delete, select, true

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

pytestmark = pytest.mark.row("O-06")

DAY = timedelta(days=1)


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


def test_account_removed_before_the_seal_of_its_codes_leaves_the_chain_valid(
    act: Run, app: Flask, build: Build, browser: FlaskClient
) -> None:
    assert unused_accounts.remove(a_day(app, build, browser).id, true())
    db.session.commit()
    for _ in range(2):
        assert list_findings(act) == []
        seal(app)


def test_erased_part_of_a_living_account_is_found(act: Run, app: Flask, build: Build) -> None:
    account = build.active()
    write(account, 2)
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


def test_removal_of_the_whole_chain_is_found_after_a_purge(act: Run, app: Flask, build: Build) -> None:
    a_year(app, build)
    purged(act)
    tamper("DELETE FROM audit")
    tamper("DELETE FROM audit_seal")
    assert list_findings(act) == [(3, None, "the seal is missing")]


def test_purges_with_different_settings_leave_the_chain_valid(act: Run, app: Flask, build: Build) -> None:
    a_year(app, build)
    settings = services_of(app).settings
    sealing.record_cut(settings.secrets, now() - 300 * DAY, now() - 100 * DAY)
    old = (AuditEntry.at < now() - 300 * DAY) | ((AuditEntry.at < now() - 100 * DAY) & (AuditEntry.result == "refused"))
    retry_unit_of_work(lambda: db.session.execute(delete(AuditEntry).where(old)))
    purged(act)
    assert list_findings(act) == []
    beginning = db.session.scalars(select(AuditBeginning)).one()
    assert beginning.entries_before > now() - 301 * DAY


@pytest.mark.parametrize("points", killing.POINTS)
def test_killed_purge_leaves_the_chain_valid(act: Run, app: Flask, build: Build, points: str) -> None:
    a_year(app, build)
    db.session.rollback()
    assert int(run("tests.audit.killed", build.settings.database_url, "purge", points)) > 3
    assert list_findings(act) == []
    assert number(AuditEntry) == 12
