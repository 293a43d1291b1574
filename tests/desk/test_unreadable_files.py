"""Files of a school with many rows that cannot be read: their check ends early, and can be cancelled."""

import pytest
from flask import Flask

from idp.db import db
from idp.desk.jobs import asking, work
from idp.desk.jobs.models import Job, State
from idp.desk.school_files import policy
from idp.rostering.files.text import ROWS_PER_TICK
from idp.rostering.reconcile import intake
from idp.rostering.reconcile.staging import Staging
from idp.rostering.records import Record
from tests.desk.colleagues import Colleagues
from tests.desk.school_files import checked, do_all, key_of, row, send, sheet, zipped


@pytest.mark.row("K-23")
def test_files_of_unreadable_rows_are_not_read_to_their_end(
    desk: Flask, colleagues: Colleagues, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy, "MOST_REFUSED", 20)
    browser, unreadable = colleagues.signed_in(), ["illisible"] * 15
    _, page = checked(browser, ("familles.csv", sheet(row(1), *unreadable)))
    assert "Importer</button>" in page
    files = zipped(("1.csv", sheet(row(1), *unreadable)), ("2.csv", sheet(*unreadable)), ("3.csv", sheet(row(2))))
    _, page = checked(browser, ("familles.zip", files))
    assert "Trop de lignes de ces fichiers ne peuvent pas être prises" in page
    assert "2.csv, ligne 7" in page
    assert "2.csv, ligne 8" not in page
    assert "Importer</button>" not in page


def test_a_check_is_cancelled_while_it_reads_the_rows(
    desk: Flask, colleagues: Colleagues, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stream of a CSV was copied by then, so that it tells no progress any more."""
    monkeypatch.setattr(work, "_TICK_SECONDS", 0.0)
    key = key_of(send(colleagues.signed_in(), sheet(*["illisible"] * (5 * ROWS_PER_TICK))))
    add, records = intake.add, list[Record]()

    def add_and_cancel(staging: Staging, record: Record) -> None:
        records.append(record)
        if len(records) == ROWS_PER_TICK:
            asking.cancel(db.session.get_one(Job, key))
        add(staging, record)

    monkeypatch.setattr(intake, "add", add_and_cancel)
    do_all()
    assert db.session.get_one(Job, key).state is State.CANCELLED
    assert len(records) <= 2 * ROWS_PER_TICK
