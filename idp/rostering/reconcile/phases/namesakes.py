"""Phases on pupils without numbers: which rows of the files are about one pupil, and whom the service knows of them.

The birth date tells namesakes apart, and the class where a guardian's row has no date. Where neither decides, all whom
the row may mean are refused. A corrected date is the same pupil if a guardian of the same names and home stays.
"""

from idp.rostering.reconcile.staging import Context
from idp.rostering.reconcile.statements import HAS_NAMES, made_of_names, same_home, stem

_BY_NAMES = made_of_names("key")
_FORGET = f"UPDATE student SET birth_date = NULL WHERE birth_date IS NOT NULL AND NOT {_BY_NAMES}"
"""A number tells a pupil from namesakes, so the service has no use for the date."""
_OF_STEM = f"FROM student o WHERE {stem('o.key')} = {stem('student.key')} AND o.key <> student.key"
_JOIN = (
    f"DELETE FROM student WHERE birth_date IS NULL AND left_on IS NULL AND {_BY_NAMES} AND 1 = (SELECT count(*) "
    f"{_OF_STEM} AND o.birth_date IS NOT NULL AND o.class_name IS student.class_name "
    "AND (o.is_second_hand OR student.is_second_hand))"
)
"""A row without a date is that of the only dated pupil of the class, if one of the two is a guardian's."""
_CONTRADICT = (
    f"UPDATE student SET differs = 1, renamed = 1 WHERE {_BY_NAMES} AND EXISTS "
    f"(SELECT 1 {_OF_STEM} AND (o.birth_date IS NULL OR student.birth_date IS NULL))"
)

_LOOSEN = f"UPDATE link SET student = '?' || student WHERE {made_of_names('student')}"
_IS_LOOSE = "link.student GLOB '[?]*'"
_MEANT = (
    f"{stem('s.key')} = {stem('substr(link.student, 2)')} "
    "AND (s.birth_date IS NULL OR link.birth_date IS NULL OR s.birth_date = link.birth_date)"
)
_FIND = (
    "UPDATE OR REPLACE link SET student = coalesce((SELECT min(s.key) FROM student s "
    f"WHERE {_MEANT} {{condition}}), {{otherwise}}) WHERE {_IS_LOOSE}"
)
_FASTEN = tuple(
    _FIND.format(condition=condition, otherwise="student")
    for condition in (
        "GROUP BY NULL HAVING count(*) = 1",
        "AND s.class_name = link.class_name GROUP BY NULL HAVING count(*) = 1",
    )
)
_FASTEN_REFUSED = _FIND.format(condition="", otherwise="substr(student, 2)")
_REFUSE_MEANT = (
    "UPDATE student SET differs = 1, renamed = 1 WHERE key IN "
    f"(SELECT s.key FROM link CROSS JOIN student s ON {_MEANT} WHERE {_IS_LOOSE})"
)

_KEEPS_GUARDIAN = (
    "EXISTS (SELECT 1 FROM link l JOIN guardian g ON g.key = l.guardian JOIN known_account a ON a.key = g.key "
    f"JOIN known_link t ON t.child = k.id AND t.account = a.id WHERE l.student = s.key AND {same_home('g', 'a')})"
)
_SET_ASIDE = (
    f"UPDATE known_child SET key = '!' || key WHERE {_BY_NAMES} "
    f"AND EXISTS (SELECT 1 FROM student s WHERE {stem('s.key')} = {stem('known_child.stored')})"
)
_FREE = (
    f"FROM student s WHERE {stem('s.key')} = {stem('k.stored')} "
    "AND NOT EXISTS (SELECT 1 FROM known_child o WHERE o.key = s.key)"
)
_ALONE = (
    "(s.birth_date IS NULL OR k.birth_date IS NULL) GROUP BY NULL HAVING count(*) = 1 AND 1 = (SELECT count(*) "
    f"FROM known_child o WHERE o.key GLOB '!*' AND {stem('o.stored')} = {stem('k.stored')} "
    "AND (s.birth_date IS NULL OR o.birth_date IS NULL))"
)
_FOLLOW = tuple(
    f"UPDATE OR IGNORE known_child AS k SET key = coalesce((SELECT min(s.key) {_FREE} AND {condition}), key) "
    "WHERE k.key GLOB '!*'"
    for condition in ("s.birth_date = k.birth_date", _KEEPS_GUARDIAN, _ALONE)
)
_KEEP_KNOWN = (
    "INSERT INTO unread SELECT DISTINCT 'student', k.key FROM known_child k CROSS JOIN student s "
    f"ON {stem('s.key')} = {stem('k.stored')} WHERE k.key GLOB '!*' AND s.fate = 'refused'"
)


def tell_apart(context: Context) -> None:
    """Join the rows about one pupil, and find which pupil each guardian's row means; forget dates beside numbers."""
    context.staging.run(_FORGET)
    if context.staging.value(HAS_NAMES):
        context.staging.create_index("student_stem")
        for statement in (_JOIN, _CONTRADICT, _LOOSEN, *_FASTEN, _REFUSE_MEANT, _FASTEN_REFUSED):
            context.staging.run(statement)


def find_same_pupils(context: Context) -> None:
    """Give each known pupil the key of the record that is about the pupil, in the staging database alone.

    Other known pupils of the name are set aside. While a namesake is refused, they do not leave.
    """
    if context.staging.value(HAS_NAMES):
        context.staging.create_index("known_child_stem")
        for statement in (_SET_ASIDE, *_FOLLOW, _KEEP_KNOWN):
            context.staging.run(statement)
