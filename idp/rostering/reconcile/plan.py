"""What an import would do, worked out on the copies: nothing of the database is written here.

`live` is every link that the file asks for and the rules allow; `kept_out` those that the school excluded; `ending` the
known links that it ends, `named_no_more` the excluded ones that it no longer names; `leaving` the accounts that have no
child left by that, `closing` these and the ones whose key goes to somebody else (`replacing`). `idp roster check` stops
after this; `idp roster import` goes on to `apply`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from idp.rostering.reconcile import known
from idp.rostering.reconcile.staging import GUARDIAN_FIELDS, Staging
from idp.rostering.records import Format, Mode, Severity

_PAGE = 1000

_LIVE = """
CREATE TABLE live (child TEXT, account TEXT, kinship TEXT, authority INT, PRIMARY KEY (child, account)) WITHOUT ROWID;
CREATE TABLE ending (child TEXT, account TEXT, PRIMARY KEY (child, account)) WITHOUT ROWID;
CREATE TABLE leaving (account TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE kept_out (child TEXT, account TEXT, PRIMARY KEY (child, account)) WITHOUT ROWID;
CREATE TABLE named_no_more (child TEXT, account TEXT, PRIMARY KEY (child, account)) WITHOUT ROWID;
CREATE TABLE closing (account TEXT PRIMARY KEY) WITHOUT ROWID;
UPDATE student SET child_id = lower(hex(randomblob(16))) WHERE fate = 'open' AND child_id IS NULL;
CREATE INDEX student_child ON student (child_id);
"""

_FILL_LIVE = """
INSERT INTO live SELECT s.child_id, coalesce(g.account_id, a.account, k.id) AS holder, l.kinship, l.authority
FROM link l JOIN student s ON s.key = l.student AND s.fate IN ('open', 'kept')
LEFT JOIN guardian g ON g.key = l.guardian AND g.fate IN ('known', 'alias', 'new')
LEFT JOIN alias a ON a.key = l.guardian AND l.guardian NOT IN (SELECT key FROM guardian)
LEFT JOIN known_account k ON k.key = l.guardian AND l.guardian NOT IN (SELECT key FROM guardian)
WHERE l.authority BETWEEN 1 AND ? AND coalesce(g.account_id, a.account, k.id) IS NOT NULL
ON CONFLICT DO UPDATE SET authority = min(authority, excluded.authority)
"""

_KEEP_OUT = """
INSERT INTO kept_out SELECT l.child, l.account FROM known_link k CROSS JOIN live l ON l.child = k.child
AND l.account = k.account AND l.authority IS k.authority
AND (l.kinship IS k.kinship OR coalesce(l.kinship, '') = '' OR k.kinship = '') WHERE k.is_excluded
"""
"""Ties that the school excluded, and that the file goes on naming as they were: they stay ended.

A kinship that was not known, or that the file no longer says, is no other one.
"""

_SURPLUS = """
INSERT OR IGNORE INTO {table} SELECT k.child, k.account FROM student s JOIN known_link k ON k.child = s.child_id
WHERE s.fate IN ('open', 'kept') AND s.says_links AND {these}
  AND NOT EXISTS (SELECT 1 FROM live l WHERE l.child = k.child AND l.account = k.account)
  AND NOT EXISTS (SELECT 1 FROM link l JOIN guardian g ON g.key = l.guardian AND g.fate = 'refused'
    WHERE l.student = s.key AND g.account_id = k.account)
  AND k.account NOT IN (SELECT account FROM exchanged)
"""
"""Ties that the file no longer names. Whoever it names, but in a record that is in doubt, keeps what they have.

So does the person whom a record names under another one's key: that record is refused (`continuity`).
"""

_GONE = """
INSERT OR IGNORE INTO {table} SELECT k.child, k.account FROM known_link k WHERE {these}
AND (k.child IN (SELECT child_id FROM student WHERE fate = 'gone')
  OR k.child IN (SELECT id FROM absent) OR k.account IN (SELECT account_id FROM guardian WHERE fate = 'gone'))
"""

_NO_LONGER = {
    "ending": "NOT k.is_ended",
    "named_no_more": "k.is_excluded AND (k.child, k.account) NOT IN (SELECT child, account FROM kept_out)",
}
"""Which ties go where when the file does not name them."""

_ABSENT = """
CREATE TABLE absent (id TEXT PRIMARY KEY) WITHOUT ROWID;
"""

_FILL_ABSENT = """
INSERT INTO absent SELECT id FROM known_child k WHERE k.scope AND NOT k.is_left
AND NOT EXISTS (SELECT 1 FROM student s WHERE s.key = k.key)
AND k.key NOT IN (SELECT key FROM doubt WHERE kind = 'student')
AND bare(k.key) NOT IN (SELECT key FROM doubt WHERE kind = 'student')
"""
"""A pupil whose record was refused is in the file all the same; readers name the row by the key that it holds."""


@dataclass(frozen=True, kw_only=True)
class Counted:
    """How many records of a kind came, and what becomes of them; `left` counts those of the database."""

    read: int
    created: int
    changed: int
    unchanged: int
    left: int
    refused: int


def find_links(staging: Staging, most_authority: int) -> None:
    """Work out which links hold."""
    staging.connection.executescript(_LIVE)
    staging.run(_FILL_LIVE, most_authority)
    staging.run(_KEEP_OUT)
    staging.run("DELETE FROM live WHERE (child, account) IN (SELECT child, account FROM kept_out)")
    staging.run("CREATE INDEX live_account ON live (account)")
    missing = (
        "SELECT l.file, l.line, l.guardian FROM link l JOIN student s ON s.key = l.student "
        "WHERE s.fate IN ('open', 'kept') AND l.authority BETWEEN 1 AND ? "
        "AND l.guardian NOT IN (SELECT key FROM guardian) AND l.guardian NOT IN (SELECT key FROM known_account) "
        "AND l.guardian NOT IN (SELECT key FROM alias)"
    )
    staging.tell_all(
        Severity.WARNING, "guardian_missing",
        "Un élève a cette personne pour responsable, mais ni le fichier ni le service ne la connaissent.",
        missing, most_authority,
    )  # fmt: skip
    staging.tell_all(
        Severity.WARNING, "student_missing",
        "Cette personne est responsable d’un élève que ni le fichier ni le service ne connaissent.",
        "SELECT l.file, l.line, l.student FROM link l WHERE l.student NOT IN (SELECT key FROM student) "
        "AND l.student NOT IN (SELECT key FROM known_child)",
    )  # fmt: skip


def find_leavers(staging: Staging, mode: Mode, format_: Format) -> None:
    """Work out which links end, and which accounts have no child left then.

    Rows of ONDE and CSV have no number of their own: where some could not be read, nobody can say who is missing.
    """
    staging.connection.executescript(_ABSENT)
    staging.connection.create_function("bare", 1, lambda key: key.rpartition(":")[2], deterministic=True)
    by_rows = format_ in {Format.ONDE, Format.CSV}
    if mode is Mode.COMPLETE:
        staging.run("UPDATE student SET says_links = 1")
        if not (by_rows and staging.refused["student"]):
            staging.run(_FILL_ABSENT)
    staging.run("UPDATE student SET says_links = 0 WHERE bare(key) IN (SELECT key FROM doubt WHERE kind = 'link')")
    for table, these in _NO_LONGER.items():
        if not staging.one(f"SELECT EXISTS (SELECT 1 FROM known_link k WHERE {these})"):
            continue
        if not (by_rows and staging.refused["guardian"]):
            staging.run(_SURPLUS.format(table=table, these=these))
        staging.run(_GONE.format(table=table, these=these))
    staging.run("CREATE INDEX ending_account ON ending (account)")
    hopeless = (
        "SELECT e.account FROM (SELECT account FROM ending UNION SELECT o.account FROM kept_out o "
        "JOIN known_account a ON a.id = o.account AND NOT a.is_left) e "
        "WHERE e.account NOT IN (SELECT account FROM live) "
        "AND e.account NOT IN (SELECT account FROM replaced WHERE closes) AND NOT EXISTS "
        "(SELECT 1 FROM known_link k LEFT JOIN ending x ON x.child = k.child AND x.account = k.account "
        "WHERE k.account = e.account AND NOT k.is_ended AND x.child IS NULL)"
    )
    for page in list(staging.pages(hopeless, _PAGE)):
        accounts = [account for (account,) in page]
        marks = ", ".join("?" * len(accounts))
        ended = set(staging.rows(f"SELECT account, child FROM ending WHERE account IN ({marks})", *accounts))
        staying = known.elsewhere(accounts, ended)
        staging.fill("INSERT INTO leaving VALUES (?)", ((account,) for account in accounts if account not in staying))
    known.copy_leaving(staging)
    staging.run(
        "INSERT INTO closing SELECT account FROM leaving UNION SELECT r.account FROM replaced r "
        "JOIN known_account k ON k.id = r.account WHERE r.closes AND NOT k.is_disabled"
    )


_THERE = "known_link k JOIN known_child c ON c.id = k.child AND c.scope WHERE NOT k.is_ended"


def find_absurd(staging: Staging, mode: Mode, percent: float) -> str | None:
    """Return why the files look like a mistake: too many would leave, lose a child, or come from elsewhere."""
    leaving = staging.one("SELECT count(*) FROM closing")
    total = staging.one(f"SELECT count(DISTINCT k.account) FROM {_THERE}")
    if mode is Mode.DELTA:
        everybody = known.open_accounts() if leaving > _FEW else 0
        return _too_many(leaving, everybody, "accounts would be disabled", percent) if everybody else None
    ties = staging.one(f"SELECT count(*) FROM {_THERE}")
    lost = staging.one(
        f"SELECT count(*) FROM {_THERE} AND EXISTS "
        "(SELECT 1 FROM ending e WHERE e.child = k.child AND e.account = k.account)"
    )
    pupils = staging.one("SELECT count(*) FROM student WHERE fate IN ('open', 'kept')")
    strangers = staging.one(
        "SELECT count(*) FROM student s JOIN known_child k ON k.id = s.child_id AND NOT k.scope AND NOT k.is_left "
        "WHERE s.fate IN ('open', 'kept')"
    )
    return (
        _too_many(leaving, total, "accounts would be disabled", percent)
        or _too_many(lost, ties, "ties between a guardian and a child would end", percent)
        or (_too_many(strangers, pupils, "pupils are known in other schools", percent) if strangers > _FEW else None)
        or _crowded(staging)
        or _emptied(staging)
    )


def _too_many(some: int, everything: int, what: str, percent: float) -> str | None:
    return f"{some} of {everything} {what}, more than {percent:g} %" if some * 100 > percent * everything else None


def _crowded(staging: Staging) -> str | None:
    most: int = staging.one("SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM live GROUP BY account)")
    return f"one person would have {most} children" if most > _FEW else None


def _emptied(staging: Staging) -> str | None:
    """Return which school would lose more than half of its accounts; a small one may."""
    emptied = staging.rows(
        "SELECT s.uai, count(DISTINCT k.account) AS people, count(DISTINCT l.account) AS lost FROM known_link k "
        "JOIN known_child c ON c.id = k.child AND c.scope JOIN known_school s ON s.id = c.school_id "
        "LEFT JOIN closing l ON l.account = k.account WHERE NOT k.is_ended GROUP BY s.uai "
        "HAVING people >= ? AND lost * 2 > people",
        _FEW,
    )
    for uai, people, lost in emptied:
        return f"{lost} of the {people} accounts of {uai} would be disabled"
    return None


_FEW = 20
"""Accounts, pupils or children: so many may change without anything being wrong."""

_LINKS_CHANGED = (
    "EXISTS (SELECT 1 FROM live l LEFT JOIN known_link k ON k.child = l.child AND k.account = l.account "
    "WHERE l.child = s.child_id AND (k.child IS NULL OR k.is_ended OR k.kinship IS NOT l.kinship "
    "OR k.authority IS NOT l.authority)) OR EXISTS (SELECT 1 FROM ending e WHERE e.child = s.child_id)"
)
_STUDENT_CHANGED = (
    "k.is_left OR EXISTS (SELECT 1 FROM known_school o WHERE o.id = k.school_id AND o.uai IS NOT s.uai) OR "
    + " OR ".join(
        f"coalesce(s.{field}, k.{field}) IS NOT k.{field}" for field in ("family_name", "given_name", "class_name")
    )
    + " OR coalesce(nullif(s.student_id, ''), k.student_id) IS NOT k.student_id"
)
_GUARDIAN_CHANGED = " OR ".join(f"coalesce(g.{field}, k.{field}) IS NOT k.{field}" for field in GUARDIAN_FIELDS)


def find_changes(staging: Staging) -> None:
    """Note which known pupils and guardians the file changes."""
    staging.connection.executescript(
        "CREATE TABLE changed_student (key TEXT PRIMARY KEY, own INT) WITHOUT ROWID;"
        "CREATE TABLE changed_guardian (key TEXT PRIMARY KEY) WITHOUT ROWID;"
    )
    staging.run(
        f"INSERT INTO changed_student SELECT s.key, ({_STUDENT_CHANGED}) FROM student s "
        f"JOIN known_child k ON k.key = s.key WHERE s.fate IN ('open', 'kept') "
        f"AND (({_STUDENT_CHANGED}) OR {_LINKS_CHANGED})"
    )
    staging.run(
        "INSERT INTO changed_guardian SELECT g.key FROM guardian g JOIN known_account k ON k.key = g.key "
        f"WHERE g.fate = 'known' AND ({_GUARDIAN_CHANGED} "
        "OR (k.is_left AND k.id IN (SELECT account FROM live)))"
    )


def count(staging: Staging, mode: Mode) -> dict[str, Counted]:
    """Return what becomes of pupils and guardians."""
    spare = "copies - 1" if mode is Mode.COMPLETE else "0"  # in a Delta, what comes again changes what came before
    new_child = "s.fate = 'open' AND NOT EXISTS (SELECT 1 FROM known_child k WHERE k.key = s.key)"
    gone_child = (
        "(SELECT count(*) FROM absent) + (SELECT count(*) FROM student s JOIN known_child k ON k.key = s.key "
        "WHERE s.fate = 'gone' AND NOT k.is_left)"
    )
    return {
        "students": _counted(
            staging, "student", spare, f"SELECT count(*) FROM student s WHERE {new_child}",
            "SELECT count(*) FROM changed_student", f"SELECT {gone_child}",
        ),
        "guardians": _counted(
            staging, "guardian", spare, "SELECT count(*) FROM guardian WHERE fate = 'new'",
            "SELECT count(*) FROM changed_guardian", "SELECT count(*) FROM closing",
        ),
    }  # fmt: skip


def _counted(staging: Staging, table: str, spare: str, created: str, changed: str, left: str) -> Counted:
    """Every record counts once: what is not created, changed or refused is unchanged; gone ones are changed."""
    by_reader = staging.refused[table]
    read = staging.one(f"SELECT coalesce(sum(copies), 0) FROM {table}") + by_reader
    refused = staging.one(f"SELECT coalesce(sum(iif(fate = 'refused', copies, {spare})), 0) FROM {table}")
    known_table = {"student": "known_child", "guardian": "known_account"}[table]
    gone = staging.one(
        f"SELECT count(*) FROM {table} s JOIN {known_table} k ON k.key = s.key WHERE s.fate = 'gone' AND NOT k.is_left"
    )
    made, altered = staging.one(created), staging.one(changed) + gone
    return Counted(
        read=read,
        created=made,
        changed=altered,
        unchanged=read - made - altered - refused - by_reader,
        left=staging.one(left),
        refused=refused + by_reader,
    )


def count_accounts(staging: Staging) -> dict[str, int]:
    """Return how many accounts the families of the file have in the end, and how many are opened and shut for it."""
    created = staging.one("SELECT count(*) FROM guardian WHERE fate = 'new'")
    staying = staging.one(
        "SELECT count(*) FROM (SELECT account FROM live UNION SELECT k.account FROM known_link k WHERE NOT k.is_ended "
        "AND NOT EXISTS (SELECT 1 FROM ending e WHERE e.child = k.child AND e.account = k.account) "
        "EXCEPT SELECT account FROM closing)"
    )
    return {"total": staying, "created": created, "disabled": staging.one("SELECT count(*) FROM closing")}


def rows_to_write(staging: Staging) -> int:
    """Return how many rows the progress bar will count."""
    tables = ("changed_guardian", "changed_student", "absent")
    counted: int = sum(staging.one(f"SELECT count(*) FROM {table}") for table in tables)
    new = "SELECT (SELECT count(*) FROM guardian WHERE fate = 'new') + (SELECT count(*) FROM student s WHERE "
    known_child = "NOT EXISTS (SELECT 1 FROM known_child k WHERE k.key = s.key)"
    return counted + int(staging.one(f"{new} fate = 'open' AND {known_child})"))


def half_pairs(staging: Staging) -> Iterator[str]:
    """Yield the schools that one file of a pair alone names."""
    for (uai,) in staging.rows("SELECT uai FROM school WHERE copies < 2 ORDER BY uai"):
        yield uai


def other_sources(staging: Staging, format_: str) -> Iterator[tuple[str, str]]:
    """Yield the schools of the file that another format feeds, and which."""
    rows = staging.rows(
        "SELECT uai, source FROM known_school WHERE source NOT IN ('', ?) AND (uai IN (SELECT uai FROM school) "
        "OR uai IN (SELECT uai FROM student)) ORDER BY uai",
        format_,
    )
    yield from ((uai, source) for uai, source in rows)


_SCOPE = (
    "SELECT uai FROM school WHERE act <> 'delete' AND uai IS NOT NULL UNION SELECT uai FROM student "
    "WHERE uai IS NOT NULL AND NOT EXISTS (SELECT 1 FROM school WHERE act <> 'delete') ORDER BY 1"
)
"""Where a file names its schools it speaks for these alone, not for every school of a stray pupil."""

SCOPE_IDS = f"SELECT id FROM known_school WHERE uai IN ({_SCOPE}) ORDER BY uai"


def scope(staging: Staging) -> Iterator[str]:
    """Yield the UAIs of the schools that the file speaks for."""
    for (uai,) in staging.rows(_SCOPE):
        yield uai
