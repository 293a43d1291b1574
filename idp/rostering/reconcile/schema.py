"""Declares the staging database: each table of an import's private SQLite database, once, as a typed row.

A class is a table and its fields are the columns, in order: `str` is TEXT, `int` and `bool` are INTEGER, `| None`
allows NULL, and a field's default is the column's default. `Staging` creates all tables. A phase creates the index that
it needs (`INDEXES`) after the table is full, because one sort is cheaper than many insertions.

Ids of the database are 32 hexadecimal digits. Postal address lines are a JSON list. Days are in ISO 8601.
"""

from typing import NamedTuple

from idp.rostering.reconcile.statements import stem
from idp.rostering.reconcile.tables import table

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


# What the files say. The columns from `copies` on are notes about the record.


@table("school", "PRIMARY KEY (key)", has_rowid=True)
class SchoolRow(NamedTuple):
    """A school's record.

    `copies` counts the records of this key; `differs` says that they contradict each other; `file2`, `line2`: the last.
    """

    key: str
    act: str
    uai: str | None
    name: str | None
    degree: str | None
    address_lines: str | None
    phone: str | None
    file: int
    line: int
    copies: int = 1
    differs: bool = False
    file2: int | None = None
    line2: int | None = None


@table("student", "PRIMARY KEY (key)", has_rowid=True)
class StudentRow(NamedTuple):
    """A pupil's record.

    `first_class_name` and `first_birth_date` are those of the first of several records; `lists_guardians` says that the
    record, number `record`, names all guardians. `renamed` says that two whole records have different names. `uai` and
    `child_id` are the pupil's school and id here. `outcome` is what `decide` returned, `fate` what follows from it.
    """

    key: str
    act: str
    school: str | None
    student_id: str | None
    family_name: str | None
    given_name: str | None
    class_name: str | None
    left_on: str | None
    birth_date: str | None
    lists_guardians: bool | None
    record: int | None
    is_second_hand: bool
    file: int
    line: int
    copies: int = 1
    differs: bool = False
    renamed: bool = False
    file2: int | None = None
    line2: int | None = None
    first_class_name: str | None = None
    first_birth_date: str | None = None
    uai: str | None = None
    child_id: str | None = None
    outcome: str | None = None
    fate: str | None = None


@table("guardian", "PRIMARY KEY (key)", has_rowid=True)
class GuardianRow(NamedTuple):
    """A guardian's record; its notes are those of a pupil's, and `account_id` is the person's account."""

    key: str
    act: str
    civility: str | None
    family_name: str | None
    birth_name: str | None
    given_name: str | None
    address_lines: str | None
    postcode: str | None
    city: str | None
    country: str | None
    email: str | None
    address_diffusion: bool | None
    file: int
    line: int
    copies: int = 1
    differs: bool = False
    renamed: bool = False
    file2: int | None = None
    line2: int | None = None
    account_id: str | None = None
    outcome: str | None = None
    fate: str | None = None


@table("link", "PRIMARY KEY (student, guardian)")
class LinkRow(NamedTuple):
    """A guardian named for a pupil. `record` is the pupil's record that named them; 0 for a record of its own."""

    student: str
    guardian: str
    kinship: str
    authority: int
    class_name: str
    birth_date: str | None
    record: int
    file: int
    line: int


@table("unread", has_rowid=True)
class UnreadRow(NamedTuple):
    """A record that the file holds and that was not taken; `kind` is `student`, `guardian` or `link`."""

    kind: str
    key: str


@table("issue", has_rowid=True)
class IssueRow(NamedTuple):
    """Something wrong in the files."""

    severity: str
    file: int
    line: int
    key: str
    code: str
    message: str


# What the database knows.


@table("known_school", "PRIMARY KEY (id)", "UNIQUE (uai)", has_rowid=True)
class KnownSchoolRow(NamedTuple):
    """A school of the database."""

    id: str
    key: str | None
    uai: str
    name: str
    degree: str
    address_lines: str
    phone: str
    source: str


@table("known_child", "PRIMARY KEY (id)", "UNIQUE (key)", has_rowid=True)
class KnownChildRow(NamedTuple):
    """A pupil, `in_scope` if of a school of the files; `key`: of the pupil's record; `stored`: of the database."""

    id: str
    key: str | None
    school_id: str
    student_id: str
    family_name: str
    given_name: str
    class_name: str
    birth_date: str | None
    is_left: bool
    in_scope: bool
    stored: str | None


@table("known_account", "PRIMARY KEY (id)", "UNIQUE (key)", has_rowid=True)
class KnownAccountRow(NamedTuple):
    """An account, `is_blank` if never printed a letter; `opened_as`: the given name at first, or a confirmed one."""

    id: str
    key: str | None
    civility: str
    family_name: str
    birth_name: str
    given_name: str
    address_lines: str
    postcode: str
    city: str
    country: str
    email: str
    address_diffusion: bool | None
    is_left: bool
    username: str
    is_disabled: bool
    is_blank: bool
    opened_as: str
    name_key: str | None
    is_shut: bool


@table("known_link", "PRIMARY KEY (child, account)")
class KnownLinkRow(NamedTuple):
    """A link known here. `is_active`: of an active guardian. `closed`: `closed`, `waits` for the head, or ""."""

    child: str
    account: str
    kinship: str
    authority: int
    is_ended: bool
    is_disputed: bool
    is_excluded: bool
    was_excluded: bool
    is_active: bool
    closed: str


@table("known_alias", "PRIMARY KEY (key)", has_rowid=True)
class KnownAliasRow(NamedTuple):
    """The second key of an account that was merged with another one."""

    key: str
    account: str


# What the phases find out.


@table("scope", "PRIMARY KEY (uai)")
class ScopeRow(NamedTuple):
    """A school that the files speak for; `id` is NULL for a new one."""

    uai: str
    id: str | None


@table("compared", "PRIMARY KEY (key)")
class ComparedRow(NamedTuple):
    """A guardian's record whose person may not be the account's, with everything that `decide` needs.

    A field that the record leaves out has the account's value. `ties` and `key_kind` are values of `decide.Ties` and
    `decide.KeyKind`. `has_children` says whether the account ever had a child.
    """

    key: str
    account: str
    act: str
    key_kind: str
    ties: str
    civility: str
    given_name: str
    family_name: str
    birth_name: str
    known_civility: str
    known_given_name: str
    known_family_name: str
    known_birth_name: str
    opened_as: str
    is_alias: bool
    is_blank: bool
    has_children: bool
    keeps_child: bool
    keeps_home: bool
    keeps_email: bool


@table("exchanged_key", "PRIMARY KEY (key)")
class ExchangedKeyRow(NamedTuple):
    """A compared record that has exactly the names of the person of another account."""

    key: str
    account: str


@table("retired_key", "PRIMARY KEY (key)")
class RetiredKeyRow(NamedTuple):
    """A key of the files that was the key of an account that is removed, of another given name."""

    key: str


@table("doubted_account", "PRIMARY KEY (account)")
class DoubtedAccountRow(NamedTuple):
    """An account whose record is refused because the person is in doubt: its schools are told."""

    account: str


@table("replaced_key", "PRIMARY KEY (key)")
class ReplacedKeyRow(NamedTuple):
    """A key that goes from an account to a new one; `closes` says whether the former account closes."""

    key: str
    account: str
    why: str
    closes: bool = True


@table("kept_key", "PRIMARY KEY (key)")
class KeptKeyRow(NamedTuple):
    """A key that an account keeps although it gives another key up."""

    key: str
    account: str


@table("allowed_link", "PRIMARY KEY (child, account)")
class AllowedLinkRow(NamedTuple):
    """A link that the files ask for and the rules allow; `wait` says why the head decides first, or is empty."""

    child: str
    account: str
    kinship: str
    authority: int
    wait: str


@table("excluded_link", "PRIMARY KEY (child, account)")
class ExcludedLinkRow(NamedTuple):
    """A link that the school excluded and the files still name as before: it stays ended."""

    child: str
    account: str


@table("absent_student", "PRIMARY KEY (id)")
class AbsentStudentRow(NamedTuple):
    """A pupil of a school of the files whom the files do not name."""

    id: str


@table("ending_link", "PRIMARY KEY (child, account)")
class EndingLinkRow(NamedTuple):
    """A link that the import ends."""

    child: str
    account: str


@table("lifted_exclusion", "PRIMARY KEY (child, account)")
class LiftedExclusionRow(NamedTuple):
    """A link that the school excluded and the files no longer name: it waits for the head if a file names it again."""

    child: str
    account: str


@table("leaving_account", "PRIMARY KEY (account)")
class LeavingAccountRow(NamedTuple):
    """An account that has no child left."""

    account: str


@table("closing_account", "PRIMARY KEY (account)")
class ClosingAccountRow(NamedTuple):
    """An account that the import disables: it is leaving, or its key goes to a new account."""

    account: str


@table("changed_student", "PRIMARY KEY (key)")
class ChangedStudentRow(NamedTuple):
    """A known pupil whom the files change: the pupil's own data (`own`), or the links alone."""

    key: str
    own: bool


@table("changed_guardian", "PRIMARY KEY (key)")
class ChangedGuardianRow(NamedTuple):
    """A known guardian whom the files change."""

    key: str


GUARDIAN_FIELDS = GuardianRow._fields[2:12]
"""The columns of a guardian that the files decide, as `guardian` and `known_account` name them."""
