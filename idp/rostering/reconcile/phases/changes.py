"""Finds which known pupils and guardians the files change."""

from idp.rostering.reconcile.context import Context
from idp.rostering.reconcile.schema import GUARDIAN_FIELDS
from idp.rostering.reconcile.statements import HERE, differs

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
