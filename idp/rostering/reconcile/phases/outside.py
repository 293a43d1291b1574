"""Phases on people of other schools, whom the staff of one school may not reach by a key.

The records of such people are refused, whatever they say, with one sentence. The staging database then forgets what the
service knows of these people, so that no later phase compares, changes, closes or tells anything of them. A check at
the desk only forgets them, and so says what it says of new people: it tells nothing about invented numbers.
"""

from idp.rostering.reconcile import known, outcomes
from idp.rostering.reconcile.decide import Outcome
from idp.rostering.reconcile.staging import Context
from idp.rostering.records import Severity

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
    if not context.refuses_others or context.only_school is None:
        return
    staging = context.staging
    staging.run(_FIND_STUDENTS, uai=context.only_school)
    for page in list(staging.value_pages(_ACCOUNTS, _PAGE)):
        homes = known.homes_of(page, context.only_school)
        staging.insert("outside_account", [(account,) for account in sorted(homes.outside)])
        staging.insert("shared_account", [(account,) for account in sorted(homes.shared)])
    staging.run(_FIND_GUARDIANS)
    if not context.hides_others:
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
    if context.refuses_others:
        context.staging.run(_KEEP_SHARED)
