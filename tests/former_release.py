"""`python -m tests.former_release`: write the statements of this release into tests/database/former_release.jsonl.

Run it when a release is cut, on its commit. The next release's schema must still run these statements, since nodes of
both releases run side by side while an operator upgrades (`tests/database/test_migration_rule.py`). The file has all
columns of all tables, each in an INSERT, a SELECT, an UPDATE and a DELETE, and the prepared statements of hot requests.
"""

import gc
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psycopg
from sqlalchemy import Table

from idp import tables
from idp.app import create_app
from idp.paths import CHECKOUT
from idp.services import services_of
from idp.statements import Statement
from tests.databases import postgresql_copy, settings_for

FILE = CHECKOUT / "tests/database/former_release.jsonl"


class Former(NamedTuple):
    """A statement of a release: its text with placeholders `$1`, and the object ids of the types that are given."""

    text: str
    types: list[int]


def of_this_release(database_url: str) -> list[Former]:
    app = create_app(settings_for(database_url))
    try:
        hot = {(each.numbered.decode(), tuple(each.types)) for each in gc.get_objects() if isinstance(each, Statement)}
    finally:
        services_of(app).close()
    return [
        *(Former(text, []) for table in tables.metadata.sorted_tables for text in _of_table(table)),
        *(Former(text, list(types)) for text, types in sorted(hot)),
    ]


def read() -> list[Former]:
    """Return the statements of the former release; none before the first one."""
    if not FILE.exists():
        return []
    return [Former(**json.loads(line)) for line in FILE.read_text(encoding="utf-8").splitlines()]


def find_broken(connection: psycopg.Connection, statements: list[Former]) -> list[str]:
    """Return the statements that the schema does not know any more, each with the server's reason."""
    broken = []
    connection.execute("SAVEPOINT as_it_was")
    for number, (text, types) in enumerate(statements):
        result = connection.pgconn.prepare(b"former_%d" % number, text.encode(), types or None)
        if message := result.error_message.decode():
            broken.append(f"{text}: {message.splitlines()[0]}")
            connection.execute("ROLLBACK TO SAVEPOINT as_it_was")
    return broken


def find_unwritten(connection: psycopg.Connection, statements: list[Former]) -> list[str]:
    """Return the columns that a row must have, and that no INSERT of `statements` into their table names."""
    written = {
        (table, column.strip('" '))
        for text, _ in statements
        if text.startswith('INSERT INTO "')
        for table, names in [text.removeprefix('INSERT INTO "').split('" (', 1)]
        for column in names.partition(")")[0].split(",")
    }
    known = {table for table, _ in written}
    needed = connection.execute(
        "SELECT table_name, column_name FROM information_schema.columns"
        " WHERE table_schema = 'public' AND is_nullable = 'NO' AND column_default IS NULL AND is_identity = 'NO'"
    )
    return sorted(f"{table}.{name}" for table, name in needed if table in known and (table, name) not in written)


def _of_table(table: Table) -> Iterator[str]:
    names = [f'"{column.name}"' for column in table.columns]
    places = [f"${place}" for place in range(1, len(names) + 1)]
    keys = [place for place, column in enumerate(table.columns) if column.primary_key]
    where = " AND ".join(f"{names[place]} = {places[place]}" for place in keys)
    only = " AND ".join(f"{names[place]} = ${number}" for number, place in enumerate(keys, 1))
    pairs = ", ".join(f"{name} = {place}" for name, place in zip(names, places, strict=True))
    yield f'INSERT INTO "{table.name}" ({", ".join(names)}) VALUES ({", ".join(places)})'  # noqa: S608 - names of this tree
    yield f'SELECT {", ".join(names)} FROM "{table.name}" WHERE {only}'  # noqa: S608 - names of this tree
    yield f'UPDATE "{table.name}" SET {pairs} WHERE {where}'  # noqa: S608 - names of this tree
    yield f'DELETE FROM "{table.name}" WHERE {only}'  # noqa: S608 - names of this tree


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, postgresql_copy(Path(folder)) as url:
        lines = [json.dumps(statement._asdict()) for statement in of_this_release(url)]
    FILE.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
