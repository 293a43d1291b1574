"""Phases on people: what happens to pupils and guardians, whom the files change, and who may be one person.

SQL gathers the facts and `decide` decides. Most records need few facts: a guardian's record without account depends on
its pupils, and a record that has the names of its account is the same person. SQL passes these facts to `decide` by the
million. The other records are compared one by one, with everything that `decide` asks about (`compared`).

New people with the same names in the same town may be one person under two keys (R-08). They are proposed and never
merged. Only new people are looked at, because older ones were proposed when they were new.
"""

from typing import Any

from idp.rostering.reconcile import decide, known, outcomes
from idp.rostering.reconcile.continuity import Named
from idp.rostering.reconcile.decide import KeyKind, Known, Outcome, Record, Ties
from idp.rostering.reconcile.outcomes import GUARDIANS, Fate
from idp.rostering.reconcile.schema import GUARDIAN_FIELDS
from idp.rostering.reconcile.staging import Context
from idp.rostering.reconcile.statements import (
    HERE,
    differs,
    is_named,
    made_of_names,
    said_or_known,
    same_child,
    same_home,
    ties,
)
from idp.rostering.records import Act, Severity

_PAGE = 1000
_NAMES = ("civility", "given_name", "family_name", "birth_name")

# A file that says no civility does not remove the account's.
_FIND_ACCOUNTS = (
    "UPDATE guardian SET account_id = coalesce((SELECT account FROM known_alias a WHERE a.key = guardian.key), "
    "(SELECT id FROM known_account k WHERE k.key = guardian.key)), civility = nullif(civility, '') "
    "WHERE key IN (SELECT key FROM known_alias) OR key IN (SELECT key FROM known_account)"
)

_UNDECIDED = "g.fate IS NULL AND g.outcome IS NULL"

_KNOWN_NAMES = ", ".join(f"k.{name}" for name in _NAMES)
_KEY_KIND = (
    f"CASE WHEN {made_of_names('g.key')} THEN '{KeyKind.NAMES}' WHEN g.key GLOB 'aaf:*' THEN '{KeyKind.AAF}' "
    f"ELSE '{KeyKind.NUMBER}' END"
)
# The compared records whose names are not their account's, and whose person may be another account's.
_RENAMED = (
    "(c.civility, c.given_name, c.family_name, c.birth_name) "
    "IS NOT (c.known_civility, c.known_given_name, c.known_family_name, c.known_birth_name) "
    "AND NOT is_namesake(c.key_kind, c.keeps_child, c.keeps_home, c.is_blank, c.has_children)"
)


_NEW = outcomes.with_fate("guardian", Fate.NEW)
_STARTS_AGAIN = outcomes.among((Outcome.NAMESAKE, Outcome.OTHER_NAMES))
# A record of another person that opens no account either: its key's account leaves like any other.
_DETACH = (
    "UPDATE guardian SET account_id = NULL WHERE account_id IS NOT NULL AND outcome IN "
    f"{outcomes.among((Outcome.NO_OPEN_STUDENT, Outcome.NO_LEGAL_AUTHORITY, Outcome.NO_STUDENT))}"
)
_DOUBT = (
    "INSERT INTO doubted_account SELECT DISTINCT c.account FROM compared c JOIN guardian g ON g.key = c.key "
    f"WHERE g.outcome IN {outcomes.among(o for o, consequence in GUARDIANS.items() if consequence.is_doubt)}"
)


def find_accounts(context: Context) -> None:
    """Note the account of each record's key."""
    context.staging.run(_FIND_ACCOUNTS)


def compare_persons(context: Context) -> None:
    """Gather the facts about the records whose person may not be the account's."""
    staging = context.staging
    staging.run(
        f"INSERT INTO compared SELECT g.key, k.id, g.act, {_KEY_KIND}, {ties('g')}, "
        f"{said_or_known('g', 'k', *_NAMES)}, {_KNOWN_NAMES}, k.opened_as, g.key IN (SELECT key FROM known_alias), "
        "k.is_blank, EXISTS (SELECT 1 FROM known_link t WHERE t.account = k.id), "
        f"{same_child('g', 'k')}, {same_home('g', 'k')}, k.email <> '' AND coalesce(g.email, k.email) = k.email "
        "FROM guardian g JOIN known_account k ON k.id = g.account_id "
        f"WHERE {_UNDECIDED} AND g.act <> 'delete' AND ({made_of_names('g.key')} "
        f"OR ({said_or_known('g', 'k', *_NAMES)}) IS NOT ({_KNOWN_NAMES}))",
        most=context.most_authority,
    )
    known.copy_relatives(staging, f"SELECT c.key FROM compared c WHERE {_RENAMED}")
    staging.run(
        "INSERT INTO exchanged_key SELECT g.key, o.id FROM compared c JOIN guardian g ON g.key = c.key "
        "JOIN known_account k ON k.id = c.account JOIN known_account o ON o.id <> k.id "
        f"AND o.name_key = name_key(c.given_name, c.family_name) AND {is_named('g', 'o')} "
        f"WHERE {_RENAMED} AND NOT ({is_named('g', 'k')}) AND ({same_home('g', 'o')} OR {same_child('g', 'o')}) "
        "ON CONFLICT DO NOTHING"
    )


def decide_guardians(context: Context) -> None:
    """Give each guardian an outcome."""
    staging = context.staging
    staging.run(
        f"UPDATE guardian AS g SET outcome = decide_new(g.act, {ties('g')}, 0) "
        f"WHERE {_UNDECIDED} AND g.account_id IS NULL",
        most=context.most_authority,
    )
    staging.run(
        "UPDATE guardian AS g SET outcome = decide_same(g.act, g.key IN (SELECT key FROM known_alias)) "
        f"WHERE {_UNDECIDED} AND g.account_id IS NOT NULL AND g.key NOT IN (SELECT key FROM compared)"
    )
    exchanged = set(staging.values("SELECT key FROM exchanged_key"))
    for page in staging.pages("SELECT * FROM compared", _PAGE):
        staging.fill(
            "UPDATE guardian SET outcome = ? WHERE key = ?",
            [(_decide(row, row.key in exchanged), row.key) for row in page],
        )


def _decide(row: Any, is_exchanged: bool) -> str:  # noqa: FBT001 - a fact of the row
    record = Record(
        act=Act(row.act),
        ties=Ties(row.ties),
        names=Named(row.civility, row.given_name, row.family_name, row.birth_name),
        key_kind=KeyKind(row.key_kind),
    )
    account = Known(
        names=Named(row.known_civility, row.known_given_name, row.known_family_name, row.known_birth_name),
        opened_as=row.opened_as,
        is_alias=bool(row.is_alias),
        is_blank=bool(row.is_blank),
        has_children=bool(row.has_children),
        keeps_child=bool(row.keeps_child),
        keeps_home=bool(row.keeps_home),
        keeps_email=bool(row.keeps_email),
        is_exchanged=is_exchanged,
    )
    return decide.decide(record, account).value


def refuse_retired_keys(context: Context) -> None:
    """Refuse new people under a key that ENTs know as a removed account's, unless the given name is the same.

    The `sub` of clients of type `aaf` is made of that key: it must not reach another person.
    """
    staging = context.staging
    if not known.has_retired():
        return
    for page in list(
        staging.pages(
            "SELECT key, given_name, family_name, birth_name FROM guardian "
            f"WHERE outcome = '{Outcome.NEW}' AND key GLOB 'aaf:*'",
            _PAGE,
        )
    ):
        staging.insert("retired_key", [(key,) for key in known.retired_keys(page)])
    staging.run(
        f"UPDATE guardian SET outcome = decide_new(act, '{Ties.OPEN}', 1) WHERE key IN (SELECT key FROM retired_key)"
    )


def apply_outcomes(context: Context) -> None:
    """Give each guardian a fate, and note the accounts that are in doubt and the keys that get a new account."""
    staging = context.staging
    outcomes.tell(staging, "guardian")
    for statement in (
        _DOUBT,
        (
            "INSERT INTO replaced_key (key, account, why) SELECT c.key, c.account, g.outcome FROM compared c "
            f"JOIN guardian g ON g.key = c.key WHERE g.outcome IN {_STARTS_AGAIN}"
        ),
        _DETACH,
        (
            f"UPDATE guardian SET fate = '{Fate.NEW}', account_id = lower(hex(randomblob(16))), "
            f"civility = coalesce(civility, '') WHERE fate IS NULL AND outcome IN {_NEW}"
        ),
        f"UPDATE guardian SET fate = {outcomes.fate_of('guardian')} WHERE fate IS NULL",
    ):
        staging.run(statement)


_FACTS = (
    "act, uai IS NOT NULL, left_on IS NOT NULL AND left_on <= :today, "
    "CASE WHEN student.class_name IS NULL THEN 'unsaid' WHEN student.class_name = '' THEN 'none' ELSE 'named' END"
)
# CASE, because SQLite evaluates both sides of an OR in an expression.
_KEEPS_A_NAME = (
    "CASE WHEN (coalesce(student.given_name, k.given_name), coalesce(student.family_name, k.family_name)) "
    "IS (k.given_name, k.family_name) THEN 1 ELSE shares_a_name(coalesce(student.given_name, k.given_name), "
    "coalesce(student.family_name, k.family_name), k.given_name, k.family_name) END"
)
_KEEPS_SCHOOL = "EXISTS (SELECT 1 FROM known_school o WHERE o.id = k.school_id AND o.uai = student.uai)"


def decide_students(context: Context) -> None:
    """Give each pupil an outcome and a fate, and a new pupil an id."""
    staging, today = context.staging, context.form.today.isoformat()
    staging.run(
        "UPDATE student SET child_id = (SELECT id FROM known_child k WHERE k.key = student.key) "
        "WHERE key IN (SELECT key FROM known_child)"
    )
    staging.run(
        "UPDATE student SET uai = (SELECT s.uai FROM known_child k JOIN known_school s ON s.id = k.school_id "
        "WHERE k.key = student.key) WHERE school IS NULL AND child_id IS NOT NULL"
    )
    staging.run(
        f"UPDATE student SET outcome = decide_new_student({_FACTS}) WHERE fate IS NULL AND child_id IS NULL",
        today=today,
    )
    staging.run(
        f"UPDATE student SET outcome = (SELECT decide_known_student({_FACTS}, k.is_left, k.class_name <> '', "
        f"{_KEEPS_A_NAME}, {_KEEPS_SCHOOL}) FROM known_child k WHERE k.key = student.key) "
        "WHERE fate IS NULL AND child_id IS NOT NULL",
        today=today,
    )
    outcomes.tell(staging, "student")
    staging.run(
        f"UPDATE student SET fate = {outcomes.fate_of('student')}, "
        f"child_id = iif(child_id IS NULL AND outcome IN {outcomes.with_fate('student', Fate.OPEN)}, "
        "lower(hex(randomblob(16))), child_id) WHERE fate IS NULL"
    )
    staging.create_index("student_child")


_STUDENT_CHANGED = (
    "k.is_left OR EXISTS (SELECT 1 FROM known_school o WHERE o.id = k.school_id AND o.uai IS NOT s.uai) "
    f"OR {differs('s', 'k', 'family_name', 'given_name', 'class_name', 'birth_date')} "
    "OR coalesce(nullif(s.student_id, ''), k.student_id) IS NOT k.student_id"
)
_LINKS_CHANGED = (
    "EXISTS (SELECT 1 FROM allowed_link l LEFT JOIN known_link k ON k.child = l.child AND k.account = l.account "
    "WHERE l.child = s.child_id AND (k.child IS NULL OR k.is_ended OR k.kinship IS NOT l.kinship "
    "OR k.authority IS NOT l.authority)) OR EXISTS (SELECT 1 FROM ending_link e WHERE e.child = s.child_id)"
)


def find_changes(context: Context) -> None:
    """Note the known pupils and guardians whom the files change."""
    context.staging.run(
        f"INSERT INTO changed_student SELECT s.key, ({_STUDENT_CHANGED}) FROM student s "
        f"JOIN known_child k ON k.key = s.key WHERE s.fate IN {HERE} AND (({_STUDENT_CHANGED}) OR {_LINKS_CHANGED})"
    )
    context.staging.run(
        "INSERT INTO changed_guardian SELECT g.key FROM guardian g JOIN known_account k ON k.key = g.key "
        f"WHERE g.fate = 'known' AND ({differs('g', 'k', *GUARDIAN_FIELDS)} "
        "OR (k.is_left AND k.id IN (SELECT account FROM allowed_link)))"
    )


def find_near_duplicates(context: Context) -> None:
    """Tell which new people look like somebody else of the files or of the database."""
    staging = context.staging
    only_school = context.form.school if context.form.refuses_others else None  # nobody learns who is in other schools
    staging.run(
        "INSERT INTO new_person SELECT key, name_key(given_name, family_name), postcode FROM guardian "
        "WHERE fate = 'new'"
    )
    staging.create_index("new_person_name")
    staging.run(
        "INSERT INTO near_duplicate SELECT n.key FROM new_person n WHERE postcode <> '' AND EXISTS "
        "(SELECT 1 FROM new_person o WHERE o.name_key = n.name_key AND o.postcode = n.postcode AND o.key <> n.key)"
    )
    for page in staging.pages("SELECT name_key, postcode, key FROM new_person WHERE postcode <> ''", _PAGE):
        staging.insert("near_duplicate", [(key,) for key in _known_elsewhere(page, only_school)])
    staging.tell_all(
        Severity.WARNING,
        "near_duplicate",
        "Cette personne a le nom et la commune d’une autre, sous un autre numéro. Si c’est la même, elle peut réunir "
        "ses courriers dans « Gérer mon compte », ou le fichier est à corriger.",
        "SELECT g.file, g.line, g.key FROM guardian g JOIN near_duplicate d ON d.key = g.key",
    )


def _known_elsewhere(page: list[Any], only_school: str | None) -> list[str]:
    """Return the keys of the people whose names and town an open account of another key has.

    If `only_school` is given, accounts of other schools are not looked at.
    """
    keys = {new.key for new in page}
    by_person: dict[tuple[str, str], list[str]] = {}
    for new in page:
        by_person.setdefault((new.name_key, new.postcode), []).append(new.key)
    namesakes = known.namesakes([new.name_key for new in page], only_school)
    return [
        key
        for namesake in namesakes
        if namesake.roster_key not in keys
        for key in by_person.get((namesake.name_key, namesake.postcode), ())
    ]
