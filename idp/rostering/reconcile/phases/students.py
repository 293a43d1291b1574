"""Decides what happens to the pupils, and finds which known pupils and guardians the files change."""

from idp.rostering.reconcile import outcomes
from idp.rostering.reconcile.outcomes import Fate
from idp.rostering.reconcile.schema import GUARDIAN_FIELDS
from idp.rostering.reconcile.staging import Context
from idp.rostering.reconcile.statements import HERE, differs

_FIND_CHILDREN = (
    "UPDATE student SET child_id = (SELECT id FROM known_child k WHERE k.key = student.key) "
    "WHERE key IN (SELECT key FROM known_child)"
)
_FIND_KNOWN_SCHOOLS = (
    "UPDATE student SET uai = (SELECT s.uai FROM known_child k JOIN known_school s ON s.id = k.school_id "
    "WHERE k.key = student.key) WHERE school IS NULL AND child_id IS NOT NULL"
)
_FACTS = (
    "act, uai IS NOT NULL, left_on IS NOT NULL AND left_on <= :today, "
    "CASE WHEN student.class_name IS NULL THEN 'unsaid' WHEN student.class_name = '' THEN 'none' ELSE 'named' END"
)
_DECIDE_NEW = f"UPDATE student SET outcome = decide_new_student({_FACTS}) WHERE fate IS NULL AND child_id IS NULL"
_KEEPS_A_NAME = (
    "CASE WHEN (coalesce(student.given_name, k.given_name), coalesce(student.family_name, k.family_name)) "
    "IS (k.given_name, k.family_name) THEN 1 ELSE shares_a_name(coalesce(student.given_name, k.given_name), "
    "coalesce(student.family_name, k.family_name), k.given_name, k.family_name) END"
)
"""CASE, because SQLite evaluates both sides of an OR in an expression."""
_KEEPS_SCHOOL = "EXISTS (SELECT 1 FROM known_school o WHERE o.id = k.school_id AND o.uai = student.uai)"
_DECIDE_KNOWN = (
    f"UPDATE student SET outcome = (SELECT decide_known_student({_FACTS}, k.is_left, k.class_name <> '', "
    f"{_KEEPS_A_NAME}, {_KEEPS_SCHOOL}) FROM known_child k WHERE k.key = student.key) "
    "WHERE fate IS NULL AND child_id IS NOT NULL"
)
_SET_FATE = (
    f"UPDATE student SET fate = {outcomes.fate_of('student')}, "
    f"child_id = iif(child_id IS NULL AND outcome IN {outcomes.with_fate('student', Fate.OPEN)}, "
    "lower(hex(randomblob(16))), child_id) WHERE fate IS NULL"
)


def decide_students(context: Context) -> None:
    """Give each pupil an outcome and a fate, and a new pupil an id."""
    staging, today = context.staging, context.today.isoformat()
    staging.run(_FIND_CHILDREN)
    staging.run(_FIND_KNOWN_SCHOOLS)
    staging.run(_DECIDE_NEW, today=today)
    staging.run(_DECIDE_KNOWN, today=today)
    outcomes.tell(staging, "student")
    staging.run(_SET_FATE)
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
_FIND_STUDENTS = (
    f"INSERT INTO changed_student SELECT s.key, ({_STUDENT_CHANGED}) FROM student s "
    f"JOIN known_child k ON k.key = s.key WHERE s.fate IN {HERE} AND (({_STUDENT_CHANGED}) OR {_LINKS_CHANGED})"
)
_FIND_GUARDIANS = (
    "INSERT INTO changed_guardian SELECT g.key FROM guardian g JOIN known_account k ON k.key = g.key "
    f"WHERE g.fate = 'known' AND ({differs('g', 'k', *GUARDIAN_FIELDS)} "
    "OR (k.is_left AND k.id IN (SELECT account FROM allowed_link)))"
)


def find_changes(context: Context) -> None:
    """Note the known pupils and guardians whom the files change."""
    context.staging.run(_FIND_STUDENTS)
    context.staging.run(_FIND_GUARDIANS)
