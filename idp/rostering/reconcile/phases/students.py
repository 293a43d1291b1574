"""Decides what happens to the pupils: SQL gathers the facts, `decide_student` decides."""

from idp.rostering.reconcile import outcomes
from idp.rostering.reconcile.context import Context
from idp.rostering.reconcile.outcomes import Fate

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
