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

_DETACH_CONTRADICTED = "UPDATE school SET key = key || '!' WHERE differs"  # no pupil is in a school that has two names

_ELSEWHERE = "SELECT key FROM student WHERE uai <> :uai"


_OTHERS = (
    "SELECT coalesce(uai, '') AS uai FROM school WHERE uai IS NOT :uai UNION SELECT uai FROM student WHERE uai <> :uai "
    "ORDER BY 1"
)
_NAMED_SCHOOLS = "SELECT uai FROM school WHERE act <> 'delete' AND uai IS NOT NULL"
_SCHOOLS_OF_STUDENTS = (
    "SELECT uai FROM student WHERE uai IS NOT NULL AND NOT EXISTS (SELECT 1 FROM school WHERE act <> 'delete')"
)


def find_schools(context: Context) -> None:
    """Note the UAI of each pupil's school."""
    for statement in (
        _DETACH_CONTRADICTED,
        "UPDATE school SET uai = (SELECT uai FROM known_school k WHERE k.key = school.key) WHERE uai IS NULL",
        (
            "UPDATE student SET uai = coalesce((SELECT uai FROM school s WHERE s.key = student.school), "
            "(SELECT uai FROM known_school k WHERE k.key = student.school), "
            "(SELECT uai FROM known_school k WHERE k.uai = student.school)) WHERE school IS NOT NULL"
        ),
    ):
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
    for statement in (
        (
            f"DELETE FROM guardian WHERE key IN (SELECT guardian FROM link WHERE student IN ({_ELSEWHERE})) "
            f"AND key NOT IN (SELECT guardian FROM link WHERE student NOT IN ({_ELSEWHERE}))"
        ),
        f"DELETE FROM link WHERE student IN ({_ELSEWHERE})",
        f"INSERT INTO unread SELECT 'student', key FROM ({_ELSEWHERE})",
        "DELETE FROM student WHERE uai <> :uai",
        "DELETE FROM school WHERE uai <> :uai",
    ):
        context.staging.run(statement, uai=context.form.school)


def find_scope(context: Context) -> None:
    """Note the schools that the files speak for.

    Files that name their schools speak for these alone, and not for the school of every stray pupil.
    """
    context.staging.run(
        f"INSERT INTO scope SELECT n.uai, k.id FROM ({_NAMED_SCHOOLS} UNION {_SCHOOLS_OF_STUDENTS}) n "
        "LEFT JOIN known_school k ON k.uai = n.uai"
    )


def scope(staging: Staging) -> list[str]:
    """Return the UAIs of the schools that the files speak for."""
    return list(staging.values("SELECT uai FROM scope ORDER BY uai"))


def tell_schools_without_name(context: Context) -> None:
    """Tell which schools have no name in the files and none in the database: their letters would have none."""
    context.staging.tell_all(
        Severity.WARNING,
        "school_without_name",
        "Ni le fichier ni le service ne connaissent le nom de cet établissement : donnez-le dans Établissement.",
        "SELECT file, line, key FROM school WHERE name = '' AND act <> 'delete' AND uai NOT IN "
        "(SELECT uai FROM known_school WHERE name <> 'Établissement ' || uai)",
    )


_PAGE = 1000

_REFUSE = (
    f"UPDATE {{table}} SET fate = 'refused', outcome = '{Outcome.OUTSIDE}' "
    "WHERE fate IS NULL AND key IN (SELECT key FROM outside_{table})"
)
# A tie to a person of whom the files hold no record.
_TIES_ALONE = "guardian IN (SELECT key FROM outside_guardian) AND guardian NOT IN (SELECT key FROM guardian)"


def refuse_outside(context: Context) -> None:
    """Refuse the records of people of other schools, unless they are hidden, and forget what is known of them."""
    if not context.form.refuses_others or context.form.school is None:
        return
    staging = context.staging
    staging.run(
        "INSERT INTO outside_student SELECT key FROM known_child WHERE key IS NOT NULL "
        "AND school_id NOT IN (SELECT id FROM known_school WHERE uai = :uai)",
        uai=context.form.school,
    )
    for page in list(staging.value_pages("SELECT id FROM known_account", _PAGE)):
        homes = known.homes_of(page, context.form.school)
        staging.insert("outside_account", [(account,) for account in sorted(homes.outside)])
        staging.insert("shared_account", [(account,) for account in sorted(homes.shared)])
    staging.run(
        "INSERT INTO outside_guardian SELECT key FROM known_alias "
        "WHERE account IN (SELECT account FROM outside_account) UNION SELECT key FROM known_account "
        "WHERE key IS NOT NULL AND id IN (SELECT account FROM outside_account) "
        "AND key NOT IN (SELECT key FROM known_alias)"
    )
    if not context.form.hides_others:
        _refuse(context)
    for statement in (
        "DELETE FROM known_link WHERE account IN (SELECT account FROM outside_account)",
        (
            "DELETE FROM known_link WHERE child IN "
            "(SELECT c.id FROM known_child c JOIN outside_student o ON o.key = c.key)"
        ),
        "DELETE FROM known_child WHERE key IN (SELECT key FROM outside_student)",
        "DELETE FROM known_alias WHERE key IN (SELECT key FROM outside_guardian)",
        "DELETE FROM known_account WHERE id IN (SELECT account FROM outside_account)",
    ):
        staging.run(statement)


def _refuse(context: Context) -> None:
    staging = context.staging
    for table in ("student", "guardian"):
        staging.run(_REFUSE.format(table=table))
    consequence = outcomes.GUARDIANS[Outcome.OUTSIDE]
    staging.tell_all(
        Severity.ERROR,
        consequence.code,
        consequence.message,
        f"SELECT file, line, guardian FROM link WHERE {_TIES_ALONE}",
    )
    staging.run(f"DELETE FROM link WHERE {_TIES_ALONE}")


def keep_shared_accounts(context: Context) -> None:
    """Refuse a record that would take the key of an account that also has a child in another school."""
    if context.form.refuses_others:
        context.staging.run(
            f"UPDATE guardian SET outcome = '{Outcome.OUTSIDE}' WHERE fate IS NULL "
            f"AND outcome IN {outcomes.among((Outcome.NAMESAKE, Outcome.OTHER_NAMES))} "
            "AND account_id IN (SELECT account FROM shared_account)"
        )
