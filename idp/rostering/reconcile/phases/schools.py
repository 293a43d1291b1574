"""Phases on schools: which one a pupil is in, and for which ones the files speak."""

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
    if context.only_school is None:
        return
    if context.refuses_others and (others := list(context.staging.values(_OTHERS, uai=context.only_school))):
        sentence = (
            f"Ces fichiers parlent aussi d’un autre établissement ({others[0] or 'sans UAI'}) : "
            f"seul {context.only_school} peut y être. Rien n’est pris."
        )
        context.staging.fatal.append(Issue(Severity.ERROR, Place("", 0), "", "other_school", sentence))
    for statement in (_DROP_GUARDIANS, _DROP_LINKS, _NOTE_UNREAD, _DROP_STUDENTS, _DROP_SCHOOLS):
        context.staging.run(statement, uai=context.only_school)


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
