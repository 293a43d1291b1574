"""Where the records of an import wait while they are checked: a private database of the process, flat in memory.

SQLite's own temporary file: it has no name, nobody else can open it, and it is gone when the process ends, however that
happens. An académie's two million records take some hundred megabytes of disk and none of the real database's time.

A record that comes twice is not lost: `copies` counts it, `differs` says that the two did not say the same. In a Delta,
what comes later changes what came before, in the file's order.
"""

import json
import sqlite3
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from idp.rostering.records import Act, Guardian, Issue, Place, Record, School, Severity, Student, StudentLink

_AT_ONCE = 2000
_KEPT = {Severity.WARNING: 1000, Severity.ERROR: 10_000}
"""How many issues of one kind are kept one by one; beyond, they are counted."""

_SCHEMA = """
PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-32768; PRAGMA temp_store=FILE;
CREATE TABLE school (key TEXT PRIMARY KEY, act TEXT, uai TEXT, name TEXT, degree TEXT, address TEXT, phone TEXT,
  file INT, line INT, copies INT DEFAULT 1, differs INT DEFAULT 0, file2 INT, line2 INT);
CREATE TABLE student (key TEXT PRIMARY KEY, act TEXT, school TEXT, student_id TEXT, family_name TEXT, given_name TEXT,
  class_name TEXT, left_on TEXT, birth_date TEXT, says_links INT, record INT, second_hand INT, file INT, line INT,
  copies INT DEFAULT 1, differs INT DEFAULT 0, renamed INT DEFAULT 0, file2 INT, line2 INT, fate TEXT);
CREATE TABLE guardian (key TEXT PRIMARY KEY, act TEXT, civility TEXT, family_name TEXT, birth_name TEXT,
  given_name TEXT, address TEXT, postcode TEXT, city TEXT, country TEXT, mail TEXT, address_diffusion INT, file INT,
  line INT, copies INT DEFAULT 1, differs INT DEFAULT 0, renamed INT DEFAULT 0, file2 INT, line2 INT, fate TEXT);
CREATE TABLE link (student TEXT, guardian TEXT, kinship TEXT, authority INT, record INT, file INT, line INT,
  PRIMARY KEY (student, guardian)) WITHOUT ROWID;
CREATE TABLE doubt (kind TEXT, key TEXT);
CREATE TABLE issue (severity TEXT, file INT, line INT, key TEXT, code TEXT, message TEXT);
"""

_STUDENT = ("school", "student_id", "family_name", "given_name", "class_name", "left_on", "birth_date")
GUARDIAN_FIELDS = (
    "civility",
    "family_name",
    "birth_name",
    "given_name",
    "address",
    "postcode",
    "city",
    "country",
    "mail",
    "address_diffusion",
)
_SCHOOL = ("uai", "name", "degree", "address", "phone")


_NO_RANK = 9
"""The rank of authority of whoever has none: the least, when one link is given twice."""

_DAYS = frozenset(("left_on", "birth_date"))
"""What one file of a pair says and the other leaves out: silence is no contradiction."""


def _upsert(table: str, fields: Sequence[str], *more: str) -> str:
    """Return the statement that adds a record, or merges it into the one of the same key."""
    names = ("key", "act", *fields, *more, "file", "line")
    same = " AND ".join(
        f"({field} IS excluded.{field}{f' OR {field} IS NULL OR excluded.{field} IS NULL' if field in _DAYS else ''})"
        for field in fields
    )
    other = "family_name IS NOT excluded.family_name OR given_name IS NOT excluded.given_name"
    renamed = f"renamed = renamed OR (act = 'put' AND excluded.act = 'put' AND ({other})), "
    again = "NOT (second_hand OR excluded.second_hand)" if "second_hand" in more else "1"
    taken = [
        f"{field} = iif(excluded.act = 'modify'{' OR TRUE' if field in _DAYS else ''}, "
        f"coalesce(excluded.{field}, {field}), excluded.{field})"
        for field in (*fields, *more)
        if field != "second_hand"
    ]
    if "second_hand" in more:
        taken.append("second_hand = second_hand AND excluded.second_hand")
    return (
        f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))}) "
        f"ON CONFLICT (key) DO UPDATE SET copies = copies + {again}, differs = differs OR NOT ({same}), "
        f"{renamed if 'given_name' in fields else ''}"
        f"act = iif(excluded.act = 'modify' AND act <> 'delete', act, excluded.act), {', '.join(taken)}, "
        "file2 = excluded.file, line2 = excluded.line"
    )


def _clean(text: str | None) -> str | None:
    """Return a text on one line and in its own direction: what a page or a claim must not obey is no part of a name."""
    if text is None or text.isprintable():
        return text
    shown = "".join(" " if c in "\t\r\n\u2028\u2029" else c for c in text if c not in _DIRECTIONS)
    return "".join(c for c in shown if unicodedata.category(c) not in _UNSEEN).strip()


_DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")
_UNSEEN = frozenset(("Cc", "Cs", "Co"))


class Staging:
    """The records of one import, and what is wrong with them.

    Attributes:
        read: how many records of each kind came (`student`, `guardian`), those that were refused among them.
        refused: how many were refused by their reader.
        acts: which acts were asked for.
        fatal: what stops the whole import, in the order in which it was found.
    """

    def __init__(self) -> None:
        # the empty name is SQLite's for a private file that is removed as soon as it is open
        self.connection = sqlite3.connect("", isolation_level=None)
        self.connection.executescript(_SCHEMA)
        self.read: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.acts: set[Act] = set()
        self.fatal: list[Issue] = []
        self._issues: Counter[str] = Counter()
        self._files: dict[str, int] = {}
        self._waiting: dict[str, list[tuple[Any, ...]]] = {}
        self._statements = {
            "school": _upsert("school", _SCHOOL),
            "student": _upsert("student", _STUDENT, "says_links", "record", "second_hand"),
            "guardian": _upsert("guardian", GUARDIAN_FIELDS),
            "link": "INSERT INTO link VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
            "kinship = excluded.kinship, "
            "authority = iif(record = excluded.record, min(authority, excluded.authority), excluded.authority), "
            "record = excluded.record",
            "doubt": "INSERT INTO doubt VALUES (?, ?)",
            "issue": "INSERT INTO issue VALUES (?, ?, ?, ?, ?, ?)",
        }

    def close(self) -> None:
        """Forget everything."""
        self.connection.close()

    def add(self, record: Record) -> None:
        """Keep a record. What a reader refused is counted here, so that no row is lost in silence."""
        match record:
            case Student():
                self._add_student(record)
            case Guardian():
                self.read["guardian"] += 1
                self.acts.add(record.act)
                self._put("guardian", self._guardian(record))
            case StudentLink():
                link = record.link
                place = self._place(record.place)
                self._put("link", (record.student, link.guardian, link.kinship, link.authority or _NO_RANK, 0, *place))
            case School():
                self._add_school(record)
            case Issue():
                if record.refuses or record.code == "bad_link":
                    self._put("doubt", (record.refuses or "link", record.key))
                if record.refuses:
                    self.read[record.refuses] += 1
                    self.refused[record.refuses] += 1
                elif record.severity is Severity.ERROR:
                    self.fatal.append(record)
                self.tell(record)

    def _add_school(self, record: School) -> None:
        """Keep a school; one that is only changed is silent of what it leaves empty."""
        self.acts.add(record.act)
        degree = record.degree.name if record.degree else None
        address = json.dumps(record.address, ensure_ascii=False) if record.address else ""
        values: tuple[str | None, ...] = (record.uai, record.name, degree, address, record.phone)
        if record.act is not Act.PUT:
            values = tuple(value or None for value in values)
        self._put("school", (record.key, record.act.value, *values, *self._place(record.place)))

    def _add_student(self, record: Student) -> None:
        self.read["student"] += 1
        self.acts.add(record.act)
        place = self._place(record.place)
        left_on, birth_date = (day.isoformat() if day else None for day in (record.left_on, record.birth_date))
        names = (record.family_name, record.given_name, record.class_name)
        values = (record.school, record.student_id, *map(_clean, names), left_on, birth_date)
        # what a later record says of the links takes the place of what an earlier one said: `drop_former_links`
        says = (None, None) if record.links is None else (1, self.read["student"])
        self._put("student", (record.key, record.act.value, *values, *says, record.is_second_hand, *place))
        for link in record.links or ():
            said = (link.guardian, link.kinship, link.authority or _NO_RANK, self.read["student"])
            self._put("link", (record.key, *said, *place))

    def drop_former_links(self) -> None:
        """Forget the links that a later record of the same pupil no longer names."""
        newest = "(SELECT record FROM student s WHERE s.key = link.student)"
        self.run(f"DELETE FROM link WHERE record > 0 AND record IS NOT {newest}")

    def _guardian(self, record: Guardian) -> tuple[Any, ...]:
        address = None if record.address is None else json.dumps([*map(_clean, record.address)], ensure_ascii=False)
        return (
            record.key,
            record.act.value,
            *map(_clean, (record.civility, record.family_name, record.birth_name, record.given_name)),
            address,
            *map(_clean, (record.postcode, record.city, record.country, record.mail)),
            record.address_diffusion,
            *self._place(record.place),
        )

    def tell(self, issue: Issue) -> None:
        """Keep an issue; of those of one kind the first ones, and how many there were."""
        self._issues[issue.code] += 1
        if self._issues[issue.code] <= _KEPT[issue.severity]:
            values = (issue.severity.value, *self._place(issue.place), issue.key, issue.code, issue.message)
            self._put("issue", values)

    def tell_all(self, severity: Severity, code: str, message: str, statement: str, *values: Any) -> int:
        """Keep an issue for each row (`file`, `line`, `key`) of `statement`; return how many there are."""
        self._flush()
        count = 0
        rows = self.connection.cursor().execute(statement, values)
        while page := rows.fetchmany(_AT_ONCE):
            count += len(page)
            self._issues[code] += len(page)
            kept = page[: max(0, _KEPT[severity] - count + len(page))]
            self._waiting.setdefault("issue", []).extend(
                (severity.value, file, line, key, code, message) for file, line, key in kept
            )
        self._flush()
        return count

    def refuse(self, table: str, code: str, message: str, found: str, severity: Severity = Severity.ERROR) -> None:
        """Refuse the records of `table` that `found`, the end of a query about `s`, selects, and say why."""
        self.tell_all(severity, code, message, f"SELECT s.file, s.line, s.key FROM {found}")
        self.run(f"UPDATE {table} SET fate = 'refused' WHERE key IN (SELECT s.key FROM {found})")

    def issues(self) -> Iterator[Issue]:
        """Yield what is wrong: errors first, each in the order of the files; then how many were not kept."""
        self._flush()
        names = {number: name for name, number in self._files.items()}
        rows = self.connection.execute("SELECT * FROM issue ORDER BY severity, file, line, rowid")
        for severity, file, line, key, code, message in rows:
            yield Issue(Severity(severity), Place(names[file], line), key, code, message)
        kept = dict(self.connection.execute("SELECT code, count(*) FROM issue GROUP BY code").fetchall())
        for code, count in sorted(self._issues.items()):
            if count > kept.get(code, 0):
                more = f"{count - kept.get(code, 0)} autres lignes ont la même remarque."
                yield Issue(Severity.WARNING, Place("", 0), "", code, more)

    def one(self, statement: str, *values: Any) -> Any:
        """Return the first value of the only row of `statement`."""
        self._flush()
        return self.connection.execute(statement, values).fetchone()[0]

    def run(self, statement: str, *values: Any) -> int:
        """Run a statement on the records; return how many rows it changed."""
        self._flush()
        return self.connection.execute(statement, values).rowcount

    def rows(self, statement: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of `statement`, a page at a time; the records may be changed meanwhile, not those it reads."""
        self._flush()
        cursor = self.connection.cursor().execute(statement, values)
        while page := cursor.fetchmany(_AT_ONCE):
            yield from page

    def pages(self, statement: str, size: int) -> Iterator[list[tuple[Any, ...]]]:
        """Yield the rows of `statement`, `size` at a time."""
        self._flush()
        cursor = self.connection.cursor().execute(statement)
        while page := cursor.fetchmany(size):
            yield page

    def fill(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run `statement` for each of `rows`."""
        self._flush()
        self.connection.execute("BEGIN")
        self.connection.executemany(statement, rows)
        self.connection.execute("COMMIT")

    def nowhere(self) -> int:
        """Return the number of the file of what stands in none."""
        return self._place(Place("", 0))[0]

    def _place(self, place: Place) -> tuple[int, int]:
        number = self._files.get(place.file)
        if number is None:
            number = self._files[place.file] = len(self._files) + 1
        return number, place.line

    def _put(self, table: str, values: tuple[Any, ...]) -> None:
        waiting = self._waiting.setdefault(table, [])
        waiting.append(values)
        if len(waiting) >= _AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        if not any(self._waiting.values()):
            return
        self.connection.execute("BEGIN")
        for table in ("school", "student", "guardian", "link", "doubt", "issue"):
            if rows := self._waiting.pop(table, None):
                self.connection.executemany(self._statements[table], rows)
        self.connection.execute("COMMIT")
