"""Phases on schools: which one a pupil is in, for which ones the files speak, and who belongs to other ones.

The staff of one school may not reach people of other schools by a key. The records of such people are refused, whatever
they say, with one sentence. The staging database then forgets what the service knows of these people, so that no later
phase compares, changes, closes or tells anything of them. A check at the desk only forgets them, and so says what it
says of new people: it tells nothing about invented numbers.
"""

from idp.rostering.reconcile import known, outcomes
from idp.rostering.reconcile.decide import Outcome
from idp.rostering.reconcile.staging import Context, Staging
from idp.rostering.records import Issue, Place, Severity

_DETACH_CONTRADICTED = "UPDATE school SET key = key || '!' WHERE differs"
"""No pupil is in a school that has two names."""
_NAME_SCHOOLS = "UPDATE school SET uai = (SELECT uai FROM known_school k WHERE k.key = school.key) WHERE uai IS NULL"
_NAME_SCHOOLS_OF_STUDENTS = (
    "UPDATE student SET uai = coalesce((SELECT uai FROM school s WHERE s.key = student.school), "
    "(SELECT uai FROM known_school k WHERE k.key = student.school), "
    "(SELECT uai FROM known_school k WHERE k.uai = student.school)) WHERE school IS NOT NULL"
)

_ELSEWHERE = "SELECT key FROM student WHERE uai <> :uai"
_DROP_GUARDIANS = (
    f"DELETE FROM guardian WHERE key IN (SELECT guardian FROM link WHERE student IN ({_ELSEWHERE})) "
    f"AND key NOT IN (SELECT guardian FROM link WHERE student NOT IN ({_ELSEWHERE}))"
)
_DROP_LINKS = f"DELETE FROM link WHERE student IN ({_ELSEWHERE})"
_NOTE_UNREAD = f"INSERT INTO unread SELECT 'student', key FROM ({_ELSEWHERE})"
_DROP_STUDENTS = "DELETE FROM student WHERE uai <> :uai"
_DROP_SCHOOLS = "DELETE FROM school WHERE uai <> :uai"

_OTHERS = (
    "SELECT coalesce(uai, '') AS uai FROM school WHERE uai IS NOT :uai UNION SELECT uai FROM student WHERE uai <> :uai "
    "ORDER BY 1"
)

_NAMED_SCHOOLS = "SELECT uai FROM school WHERE act <> 'delete' AND uai IS NOT NULL"
_SCHOOLS_OF_STUDENTS = (
    "SELECT uai FROM student WHERE uai IS NOT NULL AND NOT EXISTS (SELECT 1 FROM school WHERE act <> 'delete')"
)
_FIND_SCOPE = (
    f"INSERT INTO scope SELECT n.uai, k.id FROM ({_NAMED_SCHOOLS} UNION {_SCHOOLS_OF_STUDENTS}) n "
    "LEFT JOIN known_school k ON k.uai = n.uai"
)
_SCOPE = "SELECT uai FROM scope ORDER BY uai"

_WITHOUT_NAME = (
    "SELECT file, line, key FROM school WHERE name = '' AND act <> 'delete' AND uai NOT IN "
    "(SELECT uai FROM known_school WHERE name <> 'Établissement ' || uai)"
)


def find_schools(context: Context) -> None:
    """Note the UAI of each pupil's school."""
    for statement in (_DETACH_CONTRADICTED, _NAME_SCHOOLS, _NAME_SCHOOLS_OF_STUDENTS):
        context.staging.run(statement)


def keep_only_school(context: Context) -> None:
    """Delete the records of other schools if the operator wants one school; nothing is told about them.

    A pupil without school stays, and is told about later. Files that may hold one school alone are refused instead.
    """
    if context.form.school is None:
        return
    if context.form.refuses_others and (others := list(context.staging.values(_OTHERS, uai=context.form.school))):
        sentence = (
            f"Ces fichiers parlent aussi d’un autre établissement ({others[0] or 'sans UAI'}) : "
            f"seul {context.form.school} peut y être. Rien n’est pris."
        )
        context.staging.fatal.append(Issue(Severity.ERROR, Place("", 0), "", "other_school", sentence))
    for statement in (_DROP_GUARDIANS, _DROP_LINKS, _NOTE_UNREAD, _DROP_STUDENTS, _DROP_SCHOOLS):
        context.staging.run(statement, uai=context.form.school)


def find_scope(context: Context) -> None:
    """Note the schools that the files speak for.

    Files that name their schools speak for these alone, and not for the school of every stray pupil.
    """
    context.staging.run(_FIND_SCOPE)


def scope(staging: Staging) -> list[str]:
    """Return the UAIs of the schools that the files speak for."""
    return list(staging.values(_SCOPE))


def tell_schools_without_name(context: Context) -> None:
    """Tell which schools have no name in the files and none in the database: their letters would have none."""
    context.staging.tell_all(
        Severity.WARNING,
        "school_without_name",
        "Ni le fichier ni le service ne connaissent le nom de cet établissement : donnez-le dans Établissement.",
        _WITHOUT_NAME,
    )


_PAGE = 1000

_FIND_STUDENTS = (
    "INSERT INTO outside_student SELECT key FROM known_child WHERE key IS NOT NULL "
    "AND school_id NOT IN (SELECT id FROM known_school WHERE uai = :uai)"
)
_ACCOUNTS = "SELECT id FROM known_account"
_FIND_GUARDIANS = (
    "INSERT INTO outside_guardian SELECT key FROM known_alias WHERE account IN (SELECT account FROM outside_account) "
    "UNION SELECT key FROM known_account WHERE key IS NOT NULL AND id IN (SELECT account FROM outside_account) "
    "AND key NOT IN (SELECT key FROM known_alias)"
)
_REFUSE = (
    f"UPDATE {{table}} SET fate = 'refused', outcome = '{Outcome.OUTSIDE}' "
    "WHERE fate IS NULL AND key IN (SELECT key FROM outside_{table})"
)
_TIES_ALONE = "guardian IN (SELECT key FROM outside_guardian) AND guardian NOT IN (SELECT key FROM guardian)"
"""A tie to a person of whom the files hold no record."""
_FIND_TIES_ALONE = f"SELECT file, line, guardian FROM link WHERE {_TIES_ALONE}"
_DROP_TIES_ALONE = f"DELETE FROM link WHERE {_TIES_ALONE}"
_FORGET = (
    "DELETE FROM known_link WHERE account IN (SELECT account FROM outside_account)",
    "DELETE FROM known_link WHERE child IN (SELECT c.id FROM known_child c JOIN outside_student o ON o.key = c.key)",
    "DELETE FROM known_child WHERE key IN (SELECT key FROM outside_student)",
    "DELETE FROM known_alias WHERE key IN (SELECT key FROM outside_guardian)",
    "DELETE FROM known_account WHERE id IN (SELECT account FROM outside_account)",
)
_KEEP_SHARED = (
    f"UPDATE guardian SET outcome = '{Outcome.OUTSIDE}' WHERE fate IS NULL "
    f"AND outcome IN {outcomes.among((Outcome.NAMESAKE, Outcome.OTHER_NAMES))} "
    "AND account_id IN (SELECT account FROM shared_account)"
)


def refuse_outside(context: Context) -> None:
    """Refuse the records of people of other schools, unless they are hidden, and forget what is known of them."""
    if not context.form.refuses_others or context.form.school is None:
        return
    staging = context.staging
    staging.run(_FIND_STUDENTS, uai=context.form.school)
    for page in list(staging.value_pages(_ACCOUNTS, _PAGE)):
        homes = known.homes_of(page, context.form.school)
        staging.insert("outside_account", [(account,) for account in sorted(homes.outside)])
        staging.insert("shared_account", [(account,) for account in sorted(homes.shared)])
    staging.run(_FIND_GUARDIANS)
    if not context.form.hides_others:
        _refuse(context)
    for statement in _FORGET:
        staging.run(statement)


def _refuse(context: Context) -> None:
    staging = context.staging
    for table in ("student", "guardian"):
        staging.run(_REFUSE.format(table=table))
    consequence = outcomes.GUARDIANS[Outcome.OUTSIDE]
    staging.tell_all(Severity.ERROR, consequence.code, consequence.message, _FIND_TIES_ALONE)
    staging.run(_DROP_TIES_ALONE)


def keep_shared_accounts(context: Context) -> None:
    """Refuse a record that would take the key of an account that also has a child in another school."""
    if context.form.refuses_others:
        context.staging.run(_KEEP_SHARED)
