"""Has new guardians wait for the head of the school, where a school has closed somebody's access.

1. A new guardian of a pupil to whom somebody's access is closed waits, whatever the names are. The pupil may have
   another number now: a pupil of the same school with the same names is treated as this one.
2. A person with the names of one whose access the school closed waits for further pupils there: it may be the same
   person, under this number or another one. So does a new account with the names of one whom the school excluded.
3. A guardian whom the school had excluded from the pupil waits if the file says something else of their tie, or names
   the person again.

Otherwise, a tie that the database has is not new when it returns: it keeps a closing of its own. Names are compared
by `directory.name_key`, the whole given and family name without case and accents. Typing errors, other schools and
erased people are not compared (`docs/menaces.md`).

A tie that waits is written as a closed one (`idp.rostering.write.waits`), and gives neither access nor a letter. The
head decides whether it is the closed person; a record that was refused instead would leave a namesake without any way
in.
"""

from sqlalchemy import select

from idp.accounts import directory
from idp.accounts.closings import Closing, Wait
from idp.accounts.models import Account, Child, Guardianship, School
from idp.clock import now
from idp.db import db
from idp.rostering.reconcile.decide import Outcome
from idp.rostering.reconcile.staging import Context, Staging
from idp.rostering.reconcile.statements import HERE, said_or_known

_DOUBT_CORRECTIONS = (
    f"UPDATE guardian SET outcome = '{Outcome.NAME_IN_DOUBT}' WHERE fate IS NULL "
    f"AND outcome = '{Outcome.NAME_CORRECTED}' AND (key IN (SELECT l.guardian FROM protected_child p "
    "JOIN student s ON s.child_id = p.child JOIN link l ON l.student = s.key) "
    "OR account_id IN (SELECT t.account FROM protected_child p JOIN known_link t ON t.child = p.child))"
)
"""A corrected name would make another person of a guardian who never got a letter, also if the tie ended meanwhile."""
_IS_NEW = "(child, account) NOT IN (SELECT child, account FROM known_link)"
_NAMES = f"name_key({said_or_known('s', 'c', 'given_name', 'family_name')})"
_WAIT_BESIDE = (
    f"UPDATE allowed_link SET wait = '{Wait.NEW_GUARDIAN}' WHERE {_IS_NEW} AND child IN (SELECT s.child_id "
    f"FROM student s LEFT JOIN known_child c ON c.key = s.key WHERE s.fate IN {HERE} "
    "AND (s.child_id IN (SELECT child FROM protected_child) OR s.uai IN (SELECT uai FROM protected_child) "
    f"AND (s.uai, {_NAMES}) IN (SELECT uai, name_key FROM protected_child)))"
)
_WAIT_BY_NAME = (
    "WITH named AS (SELECT g.account_id AS account, p.uai AS uai FROM guardian g JOIN closed_person p "
    "ON p.name_key = name_key(g.given_name, g.family_name) WHERE g.fate = 'new' UNION SELECT k.id, p.uai "
    "FROM known_account k JOIN closed_person p ON p.name_key = k.name_key WHERE NOT p.is_excluded) "
    f"UPDATE allowed_link SET wait = '{Wait.RECOGNISED}' WHERE (child, account) IN (SELECT l.child, l.account "
    "FROM named n JOIN allowed_link l ON l.account = n.account JOIN student s ON s.child_id = l.child "
    f"AND s.uai = n.uai) AND {_IS_NEW}"
)
_HAS_CLOSED = "SELECT EXISTS (SELECT 1 FROM protected_child) OR EXISTS (SELECT 1 FROM closed_person)"
_WAIT_EXCLUDED = (
    f"UPDATE allowed_link SET wait = '{Wait.EXCLUDED}' "
    "WHERE (child, account) IN (SELECT child, account FROM known_link WHERE is_excluded OR was_excluded)"
)


def copy_closed(context: Context) -> None:
    """Copy the pupils to whom an access is closed, and the names of those whom schools closed out."""
    staging, moment = context.staging, now()
    of_pupils = select(Child.id, School.uai, Child.given_name, Child.family_name).join(School)
    pupils = db.session.execute(of_pupils.where(Child.id.in_(directory.protected_pupils(moment)))).all()
    staging.insert(
        "protected_child",
        [(child.hex, uai, directory.name_key(given, family)) for child, uai, given, family in pupils],
    )
    people = select(School.uai, Account.name_key).select_from(Account)
    closed = (
        people.join(Closing, Closing.account_id == Account.id)
        .join(School, School.id == Closing.school_id)
        .where(Closing.where_decided(moment))
    )
    excluded = (
        people.join(Guardianship, Guardianship.account_id == Account.id)
        .join(Child, Child.id == Guardianship.child_id)
        .join(School, School.id == Child.school_id)
        .where(Guardianship.is_excluded)
    )
    for statement, is_excluded in ((closed, False), (excluded, True)):
        rows = db.session.execute(statement.distinct()).all()
        staging.insert("closed_person", [(uai, name_key, is_excluded) for uai, name_key in rows])


def doubt_corrections(context: Context) -> None:
    """Refuse the corrected names of guardians without a letter, if an access to their pupil is closed."""
    context.staging.run(_DOUBT_CORRECTIONS)


def let_wait(staging: Staging) -> None:
    """Mark the links of `allowed_link` whose guardians wait for the head."""
    if staging.value(_HAS_CLOSED):  # both name every pupil or guardian of the files
        staging.run(_WAIT_BESIDE)
        staging.run(_WAIT_BY_NAME)
    staging.run(_WAIT_EXCLUDED)
