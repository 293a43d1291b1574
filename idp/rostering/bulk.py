"""Writes many rows in one statement, which takes a page of them as one JSON parameter.

With one parameter for each value, PostgreSQL's driver and parser take several times as long as the rows, and a generic
plan reads whole tables.
"""

import json
import uuid
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import JSON, Table, Text, bindparam, cast, column, func, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import OperationalError

from idp.db import db, patient_unit_of_work, upsert

_STATISTICS_SECONDS = 60

Rows = Sequence[dict[str, Any]]
"""Rows with the same columns. A missing column has the model's default, one value for all rows."""


def insert_rows(table: Table, rows: Rows) -> None:
    """Insert rows."""
    if rows:
        db.session.execute(_from_json(table, list(rows[0])), {"rows": _text(rows)})


def insert_unless_taken(table: Table, unique: str, rows: Rows) -> set[uuid.UUID]:
    """Insert the rows whose value of the column `unique` is not in the table, and return their ids."""
    if not rows:
        return set()
    from_json = _from_json(table, list(rows[0])).on_conflict_do_nothing(index_elements=[unique])
    return set(db.session.scalars(from_json.returning(table.c.id), {"rows": _text(rows)}))


def refresh_statistics(*tables: Table) -> None:
    """Refresh PostgreSQL's statistics about tables that have grown, so that its plans fit their new size.

    PostgreSQL skips tables that the role does not own. After a timeout, autovacuum refreshes the statistics later.
    """
    with suppress(OperationalError), patient_unit_of_work(_STATISTICS_SECONDS):
        db.session.execute(text(f"ANALYZE {', '.join(table.name for table in tables)}"))


def _from_json(table: Table, names: Sequence[str]) -> postgresql.Insert:
    """Return the INSERT of the JSON rows in the parameter `rows`, read with the types of `table`."""
    page = cast(bindparam("rows", type_=Text()), JSON())
    record = func.json_to_recordset(page).table_valued(*(column(name, table.c[name].type) for name in names))
    return upsert(table).from_select(names, select(*record.render_derived(name="page", with_types=True).c))


def _text(rows: Rows) -> str:
    return json.dumps(rows, default=str)
