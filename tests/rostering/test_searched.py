"""The words by which the desk finds imported people."""

from pathlib import Path

from sqlalchemy import select

from idp.accounts.models import Account, Child
from idp.db import db
from idp.searched import words
from tests.commands.conftest import Run
from tests.rostering.aaf_school import Year
from tests.rostering.seen import imported


def test_imported_people_are_found_by_their_words(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    year.change("9100001", family="NOUVEAUNOM")
    year.change("9200001", group="5EME2")
    imported(act, year.write(folder))
    rows: list[Account | Child] = [*db.session.scalars(select(Account)), *db.session.scalars(select(Child))]
    assert len(rows) == 36
    for row in rows:
        names = [getattr(row, name) for name in row.searched_fields]
        assert all(word in row.search_text for name in names for word in words(name)), row.search_text
