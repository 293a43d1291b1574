"""Selects from the staging database what is to be written: all statements of this folder, and the rows they return."""

from typing import NamedTuple

from idp.rostering.reconcile.schema import GUARDIAN_FIELDS
from idp.rostering.reconcile.statements import ACTIVE, HERE, added_links, made_of_names, said_or_known, stem


class SchoolOfFile(NamedTuple):
    """A school as the files describe it; None and the empty text for what they do not say."""

    key: str
    uai: str
    name: str | None
    degree: str | None
    address_lines: str | None
    phone: str | None


SCHOOLS = (
    "SELECT key, uai, name, degree, address_lines, phone FROM school "
    "WHERE act <> 'delete' AND NOT differs AND uai IS NOT NULL"
)


class Person(NamedTuple):
    """A guardian as an account will have it."""

    account_id: str
    key: str
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


NEW_ACCOUNTS = (
    f"SELECT account_id, key, {', '.join(GUARDIAN_FIELDS)} FROM guardian "
    "WHERE fate = 'new' AND key NOT IN (SELECT key FROM replaced_key) ORDER BY key"
)


class ChangedPerson(NamedTuple):
    """A guardian whose account changes; `first_given_name` is None if it is the given name."""

    account_id: str
    key: str
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
    first_given_name: str | None

    def person(self) -> Person:
        """Return the guardian alone."""
        return Person(*self[:-1])


_MERGED = ", ".join(f"{said_or_known('g', 'k', field)} AS {field}" for field in GUARDIAN_FIELDS)
CHANGED_ACCOUNTS = (
    f"SELECT k.id AS account_id, k.key AS key, {_MERGED}, "
    "iif(k.is_blank OR k.opened_as = coalesce(g.given_name, k.given_name), NULL, k.opened_as) AS first_given_name "
    "FROM changed_guardian c JOIN guardian g ON g.key = c.key JOIN known_account k ON k.key = c.key ORDER BY k.id"
)


class Replacement(NamedTuple):
    """A key that goes from an account to a new one; `uai` is the first school of the new account's pupils."""

    former_id: str
    why: str
    uai: str | None
    account_id: str
    key: str
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

    def person(self) -> Person:
        """Return the guardian alone."""
        return Person(*self[3:])


FORMER_ACCOUNTS = "SELECT DISTINCT account FROM replaced_key ORDER BY account"
REPLACEMENTS = (
    "SELECT r.account AS former_id, r.why AS why, (SELECT min(s.uai) FROM link l JOIN student s ON s.key = l.student "
    "WHERE l.guardian = g.key) AS uai, g.account_id AS account_id, g.key AS key, "
    f"{', '.join(f'g.{field} AS {field}' for field in GUARDIAN_FIELDS)} "
    "FROM replaced_key r JOIN guardian g ON g.key = r.key "
    "WHERE r.account IN (SELECT value FROM json_each(:accounts)) ORDER BY r.account, r.key"
)

DOUBTED_ACCOUNTS = "SELECT account FROM doubted_account ORDER BY account"
IS_ANSWERED = (
    "SELECT EXISTS (SELECT 1 FROM guardian WHERE fate = 'known' AND account_id = :account AND given_name IS NOT NULL) "
    "AND NOT EXISTS (SELECT 1 FROM doubted_account WHERE account = :account)"
)
"""Whether the files name the person of an account, and no record of that person is in doubt."""


class Pupil(NamedTuple):
    """A pupil to write; `known_id` is None for a new one, and `own` says that more than the links changes.

    A new pupil has another key than the file's if a namesake has that one. The number is not a digest of the birth
    date, which an ENT that knows the names would compute.
    """

    child_id: str
    key: str
    known_id: str | None
    own: bool
    uai: str
    student_id: str | None
    family_name: str
    given_name: str
    class_name: str
    birth_date: str | None


STUDENTS = (
    f"SELECT s.child_id AS child_id, iif(k.id IS NULL AND {made_of_names('s.key')}, coalesce((SELECT {stem('s.key')} "
    f"|| substr(o.id, 1, 16) FROM known_child o WHERE {stem('o.stored')} = {stem('s.key')} AND o.stored = s.key), "
    "s.key), s.key) AS key, k.id AS known_id, coalesce(c.own, 1) AS own, s.uai AS uai, "
    f"coalesce(nullif(s.student_id, ''), k.student_id, iif(s.birth_date IS NOT NULL AND {made_of_names('s.key')}, "
    "substr(s.child_id, 1, 16), NULL)) AS student_id, "
    "coalesce(s.family_name, k.family_name) AS family_name, coalesce(s.given_name, k.given_name) AS given_name, "
    "coalesce(s.class_name, k.class_name) AS class_name, coalesce(s.birth_date, k.birth_date) AS birth_date "
    "FROM student s LEFT JOIN known_child k ON k.key = s.key "
    "LEFT JOIN changed_student c ON c.key = s.key "
    f"WHERE s.fate IN {HERE} AND (k.id IS NULL OR c.key IS NOT NULL) ORDER BY s.rowid"
)


class ChangedLink(NamedTuple):
    """A link that is new, changed, or holds again; the facts are about the link in the database."""

    child: str
    account: str
    kinship: str
    authority: int
    wait: str
    is_known: bool
    is_ended: bool
    is_disputed: bool
    has_account: bool


CHANGED_LINKS = (
    "SELECT l.child AS child, l.account AS account, l.kinship AS kinship, l.authority AS authority, "
    "l.wait AS wait, k.child IS NOT NULL AS is_known, coalesce(k.is_ended, 1) AS is_ended, "
    "coalesce(k.is_disputed, 0) AS is_disputed, a.id IS NOT NULL AS has_account "
    "FROM allowed_link l JOIN student s ON s.child_id = l.child "
    "LEFT JOIN known_link k ON k.child = l.child AND k.account = l.account "
    "LEFT JOIN known_account a ON a.id = l.account "
    "WHERE l.child IN (SELECT value FROM json_each(:children)) AND (k.child IS NULL OR k.is_ended "
    "OR k.kinship IS NOT l.kinship OR k.authority IS NOT l.authority) ORDER BY l.account, s.rowid"
)


class ChildAccount(NamedTuple):
    """The two ends of a link."""

    child: str
    account: str


_OF_PUPILS = "child IN (SELECT value FROM json_each(:keys))"
ADDED_LINKS = added_links(f"AND l.{_OF_PUPILS}") + " ORDER BY 2, 1"
"""The `ChildAccount` rows of some pupils whom the files add beside an active guardian."""
ACTIVE_LINKS = f"{ACTIVE} AND o.{_OF_PUPILS} ORDER BY 2, 1"
LIFTED_EXCLUSIONS = "SELECT child, account FROM lifted_exclusion ORDER BY child, account"
RETURNING_ACCOUNTS = (
    "SELECT DISTINCT l.account FROM allowed_link l JOIN known_account a ON a.id = l.account WHERE a.is_left "
    "ORDER BY l.account"
)
ENDING_ACCOUNTS = "SELECT account FROM ending_link UNION SELECT account FROM leaving_account ORDER BY account"
LEAVING_ACCOUNTS = (
    "SELECT account FROM leaving_account WHERE account IN (SELECT value FROM json_each(:accounts)) ORDER BY account"
)
LEFT_STUDENTS = (
    "SELECT id FROM absent_student UNION SELECT k.id FROM student s JOIN known_child k ON k.key = s.key "
    "WHERE s.fate = 'gone' AND NOT k.is_left ORDER BY 1"
)


class EndingLink(NamedTuple):
    """A link that ends; `both_stay` says that neither its pupil nor its account leaves."""

    child: str
    account: str
    both_stay: bool


ENDING_LINKS = (
    f"SELECT child, account, child NOT IN ({LEFT_STUDENTS}) AND account NOT IN (SELECT account FROM closing_account) "
    "AS both_stay FROM ending_link WHERE account IN (SELECT value FROM json_each(:accounts))"
)
