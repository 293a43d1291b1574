"""Holds the records of an import in a private SQLite database while they are checked and compared.

The database is SQLite's own temporary file: it has no name, no other process can open it, and it is gone when the
process ends. The two million records of an académie take some hundred megabytes of disk, little memory, and no time of
the real database.
"""

import sqlite3
from collections import Counter, namedtuple
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from idp.rostering.reconcile import schema, statements
from idp.rostering.records import Act, Form, Issue, Mode, Place, Severity

_PAGE = 2000
# How many issues of one code are stored one by one; further ones are counted.
_MOST_KEPT = {Severity.WARNING: 1000, Severity.ERROR: 10_000}


class Staging:
    """The records of one import, and what is wrong with them.

    Attributes:
        connection: The private database, with the tables of `schema`.
        read: How many records of each kind (`student`, `guardian`) the files hold, refused ones included.
        refused: How many of these their reader refused.
        acts: The acts that the records ask for.
        fatal: The issues that stop the import, in the order in which they were found.
    """

    def __init__(self) -> None:
        # SQLite removes the file of an empty name as soon as it is open
        self.connection = sqlite3.connect("", isolation_level=None)
        self.connection.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-32768; PRAGMA temp_store=FILE"
        )
        columns = schema.create_tables(self.connection)
        self._insertions = {table: schema.insertion(table, names) for table, names in columns.items()}
        self._storing = schema.storing(columns)
        statements.register(self.connection)
        self.read: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.acts: set[Act] = set()
        self.fatal: list[Issue] = []
        self._issues: Counter[str] = Counter()
        self._files: dict[str, int] = {}
        self._waiting: dict[str, list[Sequence[Any]]] = {}

    def close(self) -> None:
        """Discard the database."""
        self.connection.close()

    def put(self, table: str, values: Sequence[Any]) -> None:
        """Store a record, or merge it into the stored one; `values` are the columns up to its place."""
        waiting = self._waiting.setdefault(table, [])
        waiting.append(values)
        if len(waiting) >= _PAGE:
            self.flush()

    def place(self, place: Place) -> tuple[int, int]:
        """Return the number of a file, and the line."""
        return self._files.setdefault(place.file, len(self._files) + 1), place.line

    def no_file(self) -> int:
        """Return the number of the file of issues that have no place."""
        return self.place(Place("", 0))[0]

    def tell(self, issue: Issue) -> None:
        """Store an issue, or count it if there are many of its code."""
        self._issues[issue.code] += 1
        if self._issues[issue.code] <= _MOST_KEPT[issue.severity]:
            values = (issue.severity.value, *self.place(issue.place), issue.key, issue.code, issue.message)
            self.put("issue", values)

    def tell_all(self, severity: Severity, code: str, message: str, statement: str, **values: Any) -> int:
        """Store an issue for each row (`file`, `line`, `key`) of a statement, and return how many there are."""
        count = 0
        for page in self._fetch(self._execute(statement, values), _PAGE):
            count += len(page)
            self._issues[code] += len(page)
            kept = page[: max(0, _MOST_KEPT[severity] - count + len(page))]
            self._waiting.setdefault("issue", []).extend(
                (severity.value, file, line, key, code, message) for file, line, key in kept
            )
        self.flush()
        return count

    def issues(self) -> Iterator[Issue]:
        """Yield the issues: errors first, by file and line; then how many were not stored."""
        names = {number: name for name, number in self._files.items()}
        for issue in self.rows(
            "SELECT severity, file, line, key, code, message FROM issue ORDER BY severity, file, line, rowid"
        ):
            place = Place(names[issue.file], issue.line)
            yield Issue(Severity(issue.severity), place, issue.key, issue.code, issue.message)
        kept = dict(self._execute("SELECT code, count(*) FROM issue GROUP BY code", {}).fetchall())
        for code, count in sorted(self._issues.items()):
            if more := count - kept.get(code, 0):
                message = f"{more} autres lignes ont la même remarque."
                yield Issue(Severity.WARNING, Place("", 0), "", code, message)

    def value(self, statement: str, **values: Any) -> Any:
        """Return the first value of the only row of a statement."""
        return self._execute(statement, values).fetchone()[0]

    def run(self, statement: str, **values: Any) -> int:
        """Run a statement and return how many rows it changed."""
        return self._execute(statement, values).rowcount

    def rows(self, statement: str, **values: Any) -> Iterator[Any]:
        """Yield the rows of a statement as tuples whose fields have the names of the columns.

        Meanwhile, the caller may change other rows than those that the statement reads.
        """
        for page in self.pages(statement, _PAGE, **values):
            yield from page

    def pages(self, statement: str, size: int, **values: Any) -> Iterator[list[Any]]:
        """Yield the rows of a statement as `rows` does, `size` at a time."""
        cursor = self._execute(statement, values)
        row = _row_class(*(name for name, *_ in cursor.description))
        for page in self._fetch(cursor, size):
            yield [row._make(values) for values in page]

    def values(self, statement: str, **values: Any) -> Iterator[Any]:
        """Yield the values of a statement that selects one column."""
        for page in self.value_pages(statement, _PAGE, **values):
            yield from page

    def value_pages(self, statement: str, size: int, **values: Any) -> Iterator[list[Any]]:
        """Yield the values of a statement that selects one column, `size` at a time."""
        for page in self._fetch(self._execute(statement, values), size):
            yield [value for (value,) in page]

    def insert(self, table: str, rows: Iterable[Sequence[Any]]) -> None:
        """Insert whole rows into a table, except rows whose key is there already."""
        self.fill(self._insertions[table], rows)

    def fill(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement for each of `rows`, in one transaction."""
        self.flush()
        self.connection.execute("BEGIN")
        self.connection.executemany(statement, rows)
        self.connection.execute("COMMIT")

    def create_index(self, name: str) -> None:
        """Create an index of `schema.INDEXES`."""
        self._execute(schema.INDEXES[name], {})

    def flush(self) -> None:
        """Write the records that wait to be stored together."""
        if not any(self._waiting.values()):
            return
        self.connection.execute("BEGIN")
        for table, statement in self._storing.items():
            if rows := self._waiting.pop(table, None):
                self.connection.executemany(statement, rows)
        self.connection.execute("COMMIT")

    def _execute(self, statement: str, values: dict[str, Any]) -> sqlite3.Cursor:
        self.flush()
        return self.connection.cursor().execute(statement, values)

    @staticmethod
    def _fetch(cursor: sqlite3.Cursor, size: int) -> Iterator[list[Any]]:
        while page := cursor.fetchmany(size):
            yield page


@lru_cache
def _row_class(*names: str) -> Any:
    return namedtuple("Row", names)  # noqa: PYI024 - the statement has the names


Tick = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """An import whose files have been read.

    Attributes:
        mode: The mode that the operator, the names or the records gave.
        most_authority: The last rank of authority that gets an account.
        set_total: Called with the number of keys that will be compared with the database.
        tick: Called with the number of keys that a statement compared.
    """

    staging: Staging
    form: Form
    mode: Mode
    most_authority: int
    set_total: Tick
    tick: Tick
