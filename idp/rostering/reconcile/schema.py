"""Declares the staging database: the tables of an import's private SQLite database, and how records are stored in them.

A phase creates the index that it needs (`INDEXES`) after the table is full, because one sort is cheaper than many
insertions. A table has a rowid where the order of insertion counts.

Ids of the database are 32 hexadecimal digits. Postal address lines are a JSON list. Days are in ISO 8601.

A second record of a key is not lost: `copies` counts it and `differs` says that it contradicts the first one. In a
Delta, a later record changes an earlier one, in the order of the files.
"""

import sqlite3
from collections.abc import Mapping, Sequence

from idp.rostering.reconcile.statements import stem

_TABLES = """
-- What the files say. The columns from `copies` on are notes about the record.

-- A school's record. `copies` counts the records of this key; `differs` says that they contradict each other;
-- `file2`, `line2`: the last.
CREATE TABLE school (
    key TEXT NOT NULL PRIMARY KEY, act TEXT NOT NULL, uai TEXT, name TEXT, degree TEXT, address_lines TEXT,
    phone TEXT, file INTEGER NOT NULL, line INTEGER NOT NULL, copies INTEGER NOT NULL DEFAULT 1,
    differs INTEGER NOT NULL DEFAULT 0, file2 INTEGER, line2 INTEGER
);
-- A pupil's record. `first_class_name` and `first_birth_date` are those of the first of several records;
-- `lists_guardians` says that the record, number `record`, names all guardians. `renamed` says that two whole
-- records have different names. `uai` and `child_id` are the pupil's school and id here. `outcome` is what `decide`
-- returned, `fate` what follows from it.
CREATE TABLE student (
    key TEXT NOT NULL PRIMARY KEY, act TEXT NOT NULL, school TEXT, student_id TEXT, family_name TEXT,
    given_name TEXT, class_name TEXT, left_on TEXT, birth_date TEXT, lists_guardians INTEGER, record INTEGER,
    is_second_hand INTEGER NOT NULL, file INTEGER NOT NULL, line INTEGER NOT NULL, copies INTEGER NOT NULL DEFAULT 1,
    differs INTEGER NOT NULL DEFAULT 0, renamed INTEGER NOT NULL DEFAULT 0, file2 INTEGER, line2 INTEGER,
    first_class_name TEXT, first_birth_date TEXT, uai TEXT, child_id TEXT, outcome TEXT, fate TEXT
);
-- A guardian's record; its notes are those of a pupil's, and `account_id` is the person's account.
CREATE TABLE guardian (
    key TEXT NOT NULL PRIMARY KEY, act TEXT NOT NULL, civility TEXT, family_name TEXT, birth_name TEXT,
    given_name TEXT, address_lines TEXT, postcode TEXT, city TEXT, country TEXT, email TEXT,
    address_diffusion INTEGER, file INTEGER NOT NULL, line INTEGER NOT NULL, copies INTEGER NOT NULL DEFAULT 1,
    differs INTEGER NOT NULL DEFAULT 0, renamed INTEGER NOT NULL DEFAULT 0, file2 INTEGER, line2 INTEGER,
    account_id TEXT, outcome TEXT, fate TEXT
);
-- A guardian named for a pupil. `record` is the pupil's record that named them; 0 for a record of its own.
CREATE TABLE link (
    student TEXT NOT NULL, guardian TEXT NOT NULL, kinship TEXT NOT NULL, authority INTEGER NOT NULL,
    class_name TEXT NOT NULL, birth_date TEXT, record INTEGER NOT NULL, file INTEGER NOT NULL, line INTEGER NOT NULL,
    PRIMARY KEY (student, guardian)
) WITHOUT ROWID;
-- A record that the file holds and that was not taken; `kind` is `student`, `guardian` or `link`.
CREATE TABLE unread (kind TEXT NOT NULL, key TEXT NOT NULL);
-- Something wrong in the files.
CREATE TABLE issue (
    severity TEXT NOT NULL, file INTEGER NOT NULL, line INTEGER NOT NULL, key TEXT NOT NULL, code TEXT NOT NULL,
    message TEXT NOT NULL
);

-- What the database knows.

-- A school of the database.
CREATE TABLE known_school (
    id TEXT NOT NULL PRIMARY KEY, key TEXT, uai TEXT NOT NULL UNIQUE, name TEXT NOT NULL, degree TEXT NOT NULL,
    address_lines TEXT NOT NULL, phone TEXT NOT NULL, source TEXT NOT NULL
);
-- A pupil, `in_scope` if of a school of the files; `key`: of the pupil's record; `stored`: of the database.
CREATE TABLE known_child (
    id TEXT NOT NULL PRIMARY KEY, key TEXT UNIQUE, school_id TEXT NOT NULL, student_id TEXT NOT NULL,
    family_name TEXT NOT NULL, given_name TEXT NOT NULL, class_name TEXT NOT NULL, birth_date TEXT,
    is_left INTEGER NOT NULL, in_scope INTEGER NOT NULL, stored TEXT
);
-- An account, `is_blank` if never printed a letter; `opened_as`: the given name at first, or a confirmed one.
CREATE TABLE known_account (
    id TEXT NOT NULL PRIMARY KEY, key TEXT UNIQUE, civility TEXT NOT NULL, family_name TEXT NOT NULL,
    birth_name TEXT NOT NULL, given_name TEXT NOT NULL, address_lines TEXT NOT NULL, postcode TEXT NOT NULL,
    city TEXT NOT NULL, country TEXT NOT NULL, email TEXT NOT NULL, address_diffusion INTEGER,
    is_left INTEGER NOT NULL, username TEXT NOT NULL, is_disabled INTEGER NOT NULL, is_blank INTEGER NOT NULL,
    opened_as TEXT NOT NULL, name_key TEXT, is_shut INTEGER NOT NULL
);
-- A link known here. `is_active`: of an active guardian.
-- `closed`: `excluded`, `disputed`, `closed`, `waits` for the head, or "".
CREATE TABLE known_link (
    child TEXT NOT NULL, account TEXT NOT NULL, kinship TEXT NOT NULL, authority INTEGER NOT NULL,
    is_ended INTEGER NOT NULL, is_active INTEGER NOT NULL, closed TEXT NOT NULL, PRIMARY KEY (child, account)
) WITHOUT ROWID;
-- The second key of an account that was merged with another one.
CREATE TABLE known_alias (key TEXT NOT NULL PRIMARY KEY, account TEXT NOT NULL);

-- What the phases find out.

-- A school that the files speak for; `id` is NULL for a new one.
CREATE TABLE scope (uai TEXT NOT NULL PRIMARY KEY, id TEXT) WITHOUT ROWID;
-- A guardian's record whose person may not be the account's, with everything that `decide` needs. A field that the
-- record leaves out has the account's value. `ties` and `key_kind` are values of `decide.Ties` and
-- `decide.KeyKind`. `has_children` says whether the account ever had a child.
CREATE TABLE compared (
    key TEXT NOT NULL PRIMARY KEY, account TEXT NOT NULL, act TEXT NOT NULL, key_kind TEXT NOT NULL,
    ties TEXT NOT NULL, civility TEXT NOT NULL, given_name TEXT NOT NULL, family_name TEXT NOT NULL,
    birth_name TEXT NOT NULL, known_civility TEXT NOT NULL, known_given_name TEXT NOT NULL,
    known_family_name TEXT NOT NULL, known_birth_name TEXT NOT NULL, opened_as TEXT NOT NULL,
    is_alias INTEGER NOT NULL, is_blank INTEGER NOT NULL, has_children INTEGER NOT NULL,
    keeps_child INTEGER NOT NULL, keeps_home INTEGER NOT NULL, keeps_email INTEGER NOT NULL
) WITHOUT ROWID;
-- A compared record that has exactly the names of the person of another account.
CREATE TABLE exchanged_key (key TEXT NOT NULL PRIMARY KEY, account TEXT NOT NULL) WITHOUT ROWID;
-- A key of the files that was the key of an account that is removed, of another given name.
CREATE TABLE retired_key (key TEXT NOT NULL PRIMARY KEY) WITHOUT ROWID;
-- An account whose record is refused because the person is in doubt: its schools are told.
CREATE TABLE doubted_account (account TEXT NOT NULL PRIMARY KEY) WITHOUT ROWID;
-- A key that goes from an account to a new one; `closes` says whether the former account closes.
CREATE TABLE replaced_key (
    key TEXT NOT NULL PRIMARY KEY, account TEXT NOT NULL, why TEXT NOT NULL, closes INTEGER NOT NULL DEFAULT 1
) WITHOUT ROWID;
-- A key that an account keeps although it gives another key up.
CREATE TABLE kept_key (key TEXT NOT NULL PRIMARY KEY, account TEXT NOT NULL) WITHOUT ROWID;
-- A link that the files ask for and the rules allow; `wait` says why the head decides first, or is empty.
CREATE TABLE allowed_link (
    child TEXT NOT NULL, account TEXT NOT NULL, kinship TEXT NOT NULL, authority INTEGER NOT NULL,
    wait TEXT NOT NULL, PRIMARY KEY (child, account)
) WITHOUT ROWID;
-- A link that the school excluded and the files still name as before: it stays ended.
CREATE TABLE excluded_link (child TEXT NOT NULL, account TEXT NOT NULL, PRIMARY KEY (child, account)) WITHOUT ROWID;
-- A pupil of a school of the files whom the files do not name.
CREATE TABLE absent_student (id TEXT NOT NULL PRIMARY KEY) WITHOUT ROWID;
-- A link that the import ends.
CREATE TABLE ending_link (child TEXT NOT NULL, account TEXT NOT NULL, PRIMARY KEY (child, account)) WITHOUT ROWID;
-- A link that the school excluded and the files no longer name: it waits for the head if a file names it again.
CREATE TABLE lifted_exclusion (child TEXT NOT NULL, account TEXT NOT NULL, PRIMARY KEY (child, account)) WITHOUT ROWID;
-- An account that has no child left.
CREATE TABLE leaving_account (account TEXT NOT NULL PRIMARY KEY) WITHOUT ROWID;
-- An account that the import disables: it is leaving, or its key goes to a new account.
CREATE TABLE closing_account (account TEXT NOT NULL PRIMARY KEY) WITHOUT ROWID;
-- A known pupil whom the files change: the pupil's own data (`own`), or the links alone.
CREATE TABLE changed_student (key TEXT NOT NULL PRIMARY KEY, own INTEGER NOT NULL) WITHOUT ROWID;
-- A known guardian whom the files change.
CREATE TABLE changed_guardian (key TEXT NOT NULL PRIMARY KEY) WITHOUT ROWID;

-- What the phases find out of other schools, closed people and namesakes.

-- A key of the files that is a pupil's of another school.
CREATE TABLE outside_student (key TEXT NOT NULL PRIMARY KEY) WITHOUT ROWID;
-- A key of the files whose account belongs to other schools alone.
CREATE TABLE outside_guardian (key TEXT NOT NULL PRIMARY KEY) WITHOUT ROWID;
-- An account that belongs to other schools alone.
CREATE TABLE outside_account (account TEXT NOT NULL PRIMARY KEY) WITHOUT ROWID;
-- An account that has a child in this school and one in another.
CREATE TABLE shared_account (account TEXT NOT NULL PRIMARY KEY) WITHOUT ROWID;
-- A pupil to whom somebody's access is closed, with the school and the names.
CREATE TABLE protected_child (child TEXT NOT NULL PRIMARY KEY, uai TEXT NOT NULL, name_key TEXT NOT NULL) WITHOUT ROWID;
-- The names of a person whose access a school closed, or whom it excluded from a pupil.
CREATE TABLE closed_person (
    uai TEXT NOT NULL, name_key TEXT NOT NULL, is_excluded INTEGER NOT NULL,
    PRIMARY KEY (uai, name_key, is_excluded)
) WITHOUT ROWID;
-- A new guardian, as near duplicates are looked for.
CREATE TABLE new_person (key TEXT NOT NULL, name_key TEXT NOT NULL, postcode TEXT);
-- A new guardian who looks like somebody under another key.
CREATE TABLE near_duplicate (key TEXT NOT NULL PRIMARY KEY) WITHOUT ROWID;
"""

INDEXES = {
    "link_guardian": "CREATE INDEX link_guardian ON link (guardian)",
    "student_folded": "CREATE INDEX student_folded ON student (lower(key))",
    "guardian_folded": "CREATE INDEX guardian_folded ON guardian (lower(key))",
    "student_stem": f"CREATE INDEX student_stem ON student ({stem('key')})",
    "known_child_stem": f"CREATE INDEX known_child_stem ON known_child ({stem('stored')})",
    "student_child": "CREATE INDEX student_child ON student (child_id)",
    "known_school_key": "CREATE INDEX known_school_key ON known_school (key)",
    "known_account_name": "CREATE INDEX known_account_name ON known_account (name_key)",
    "known_link_account": "CREATE INDEX known_link_account ON known_link (account)",
    "allowed_link_account": "CREATE INDEX allowed_link_account ON allowed_link (account)",
    "ending_link_account": "CREATE INDEX ending_link_account ON ending_link (account)",
    "new_person_name": "CREATE INDEX new_person_name ON new_person (name_key, postcode)",
}

GUARDIAN_FIELDS = (
    "civility", "family_name", "birth_name", "given_name", "address_lines", "postcode", "city", "country", "email",
    "address_diffusion",
)  # fmt: skip
"""The columns of a guardian that the files decide, as `guardian` and `known_account` name them."""

# The fields that one file of a pair may leave out: that is no contradiction.
_OPTIONAL = frozenset(("left_on", "birth_date"))
_NOT_COMPARED = frozenset(("key", "act", "lists_guardians", "record", "is_second_hand", "file", "line"))
_RENAMED = (
    "renamed = renamed OR (act = 'put' AND excluded.act = 'put' AND "
    "(family_name IS NOT excluded.family_name OR given_name IS NOT excluded.given_name))"
)
_MERGED_ACT = "act = iif(excluded.act = 'modify' AND act <> 'delete', act, excluded.act)"
_SECOND_HAND = "is_second_hand"
_MERGED_AUTHORITY = "iif(record = excluded.record, min(authority, excluded.authority), excluded.authority)"


def create_tables(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """Create all tables, and return their columns by the name of the table."""
    connection.executescript(_TABLES)
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    return {table: [name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")] for (table,) in tables}


def insertion(table: str, columns: Sequence[str]) -> str:
    """Return the statement that inserts a row, except one whose key is there already."""
    return f"{_insert(table, columns)} ON CONFLICT DO NOTHING"


def storing(columns: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return the statements that store what readers yield by table, in the order in which the tables are filled."""
    return {
        **{table: _merge(table, columns[table]) for table in ("school", "student", "guardian")},
        "link": f"{_insert('link', columns['link'])} ON CONFLICT DO UPDATE SET kinship = excluded.kinship, "
        f"authority = {_MERGED_AUTHORITY}, record = excluded.record",
        **{table: _insert(table, columns[table]) for table in ("unread", "issue")},
    }


def _merge(table: str, columns: Sequence[str]) -> str:
    names = columns[: columns.index("line") + 1]  # the columns that come from a record end with its place
    fields = [name for name in names if name not in _NOT_COMPARED]
    is_second_hand = _SECOND_HAND in names
    counted = f"NOT ({_SECOND_HAND} OR excluded.{_SECOND_HAND})" if is_second_hand else "1"
    changes = [
        f"copies = copies + {counted}",
        f"differs = differs OR NOT ({' AND '.join(map(_same, fields))})",
        *([_RENAMED] if "given_name" in names else ()),
        *(f"first_{name} = coalesce(first_{name}, {name})" for name in ("class_name", "birth_date") if name in names),
        _MERGED_ACT,
        *(_taken(name) for name in names if name not in {"key", "act", "file", "line", _SECOND_HAND}),
        *([f"{_SECOND_HAND} = {_SECOND_HAND} AND excluded.{_SECOND_HAND}"] if is_second_hand else ()),
        "file2 = excluded.file",
        "line2 = excluded.line",
    ]
    return f"{_insert(table, names)} ON CONFLICT (key) DO UPDATE SET {', '.join(changes)}"


def _same(field: str) -> str:
    same = f"{field} IS excluded.{field}"
    return f"({same} OR {field} IS NULL OR excluded.{field} IS NULL)" if field in _OPTIONAL else f"({same})"


def _taken(name: str) -> str:
    """Return the assignment of a field of the later record; a partial record keeps what it does not say."""
    later = f"coalesce(excluded.{name}, {name})"
    if name in _OPTIONAL:
        return f"{name} = {later}"
    return f"{name} = iif(excluded.act = 'modify', {later}, excluded.{name})"


def _insert(table: str, names: Sequence[str]) -> str:
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
