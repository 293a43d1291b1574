"""Refuses new accounts and new ties of people who may be a suspended person of the same school.

If another software numbers the pupils or the guardians again, a suspended person would otherwise get a new tie or a new
account that is not suspended. Names are compared in all their forms (`same_person.name_traces`), and each refusal is an
issue: a human decides whether it is a namesake. A tie that the database has keeps its own suspension.
"""

from idp.rostering.reconcile import known, outcomes
from idp.rostering.reconcile.context import Context
from idp.rostering.reconcile.decide import Outcome
from idp.rostering.reconcile.outcomes import Fate
from idp.rostering.reconcile.rows.bounds import SuspendedNameRow
from idp.rostering.reconcile.statements import HERE, said_or_known
from idp.rostering.records import Severity

_STARTS = outcomes.with_fate("guardian", Fate.NEW)
_GOES_ON = outcomes.with_fate("guardian", Fate.KNOWN, Fate.ALIAS)
_LINKS = (
    "FROM student s CROSS JOIN link l ON l.student = s.key {people} "
    "WHERE (s.uai IN (SELECT uai FROM suspended_name) OR '' IN (SELECT uai FROM suspended_name)) "
    f"AND s.fate IN {HERE} AND l.authority BETWEEN 1 AND :most "
)
"""The links of the schools in which somebody is suspended: there are few, and only their names are folded."""
_IS_NEW = "NOT EXISTS (SELECT 1 FROM known_link t WHERE t.child = s.child_id AND t.account = {account})"
_IS_SUSPENDED = (
    "EXISTS (SELECT 1 FROM json_each(traces({person})) t JOIN suspended_name n "
    "ON n.trace = t.value AND n.uai IN (s.uai, ''))"
)
_FIELDS = ("civility", "given_name", "family_name", "birth_name")
_OF_RECORD = f"g.key, {said_or_known('g', 'k', *_FIELDS)}"
_OF_ACCOUNT = ", ".join(("k.key", *(f"k.{field}" for field in _FIELDS)))
_REFUSE = (
    f"UPDATE guardian SET outcome = '{Outcome.SUSPENDED}' WHERE key IN (SELECT g.key "
    + _LINKS.format(
        people="CROSS JOIN guardian g ON g.key = l.guardian LEFT JOIN known_account k ON k.id = g.account_id"
    )
    + f"AND g.fate IS NULL AND (g.outcome IN {_STARTS} OR (g.outcome IN {_GOES_ON} "
    f"AND {_IS_NEW.format(account='g.account_id')})) AND {_IS_SUSPENDED.format(person=_OF_RECORD)})"
)
_TIES_ALONE = (
    _LINKS.format(
        people="LEFT JOIN known_alias a ON a.key = l.guardian "
        "JOIN known_account k ON k.id = a.account OR (a.key IS NULL AND k.key = l.guardian)"
    )
    + "AND l.guardian NOT IN (SELECT key FROM guardian) "
    f"AND {_IS_NEW.format(account='k.id')} "
    f"AND {_IS_SUSPENDED.format(person=_OF_ACCOUNT)}"
)
"""Links to accounts of which the files hold no record."""
_FIND_TIES_ALONE = f"SELECT l.file, l.line, l.guardian {_TIES_ALONE}"
_DROP_TIES_ALONE = f"DELETE FROM link WHERE (student, guardian) IN (SELECT l.student, l.guardian {_TIES_ALONE})"


def refuse_suspended(context: Context) -> None:
    """Refuse the records, and the links without a record, that would go round a suspension."""
    staging, most = context.staging, context.most_authority
    people = known.suspended_people(context.secrets)
    if not people:
        return
    staging.insert(SuspendedNameRow, sorted(people))
    staging.run(_REFUSE, most=most)
    consequence = outcomes.GUARDIANS[Outcome.SUSPENDED]
    staging.tell_all(Severity.ERROR, consequence.code, consequence.message, _FIND_TIES_ALONE, most=most)
    staging.run(_DROP_TIES_ALONE, most=most)
