"""Phases on links: which ones hold, which wait for the head of the school, and what is told about them.

Where a school has closed somebody's access, new guardians wait for its head:

1. A new guardian of a pupil to whom somebody's access is closed waits, whatever the names are. The pupil may have
   another number now: a pupil of the same school with the same names is treated as this one.
2. A person with the names of one whose access the school closed waits for further pupils there: it may be the same
   person, under this number or another one. So does a new account with the names of one whom the school excluded.
3. A guardian whom the school had excluded from the pupil waits if the file says something else of their tie, or names
   the person again. So does one whose whole account the school had closed, if another school reopened it after a file
   ended the tie (`idp.families.closing.reopen`).

Otherwise, a tie that the database has is not new when it returns: it keeps a closing of its own. Names are compared
by `directory.name_key`, the whole given and family name without case and accents. Typing errors, other schools and
erased people are not compared (`docs/menaces.md`).

A tie that waits is written as a closed one (`idp.rostering.write.ties`), and gives neither access nor a letter. The
head decides whether it is the closed person; a record that was refused instead would leave a namesake without any way
in.
"""

from sqlalchemy import or_, select

from idp.accounts import directory
from idp.accounts.closings import Closing, Kind, Wait
from idp.accounts.models import Account, Child, School
from idp.clock import now
from idp.db import db
from idp.rostering.reconcile.decide import Outcome
from idp.rostering.reconcile.staging import Context, Staging
from idp.rostering.reconcile.statements import HERE, said_or_known
from idp.rostering.records import Severity

_HOLDER = "coalesce(g.account_id, a.account, k.id)"
_FIND_ALLOWED = (
    f"INSERT INTO allowed_link SELECT s.child_id, {_HOLDER}, l.kinship, l.authority, '' "
    f"FROM link l JOIN student s ON s.key = l.student AND s.fate IN {HERE} "
    "LEFT JOIN guardian g ON g.key = l.guardian AND g.fate IN ('known', 'alias', 'new') "
    "LEFT JOIN known_alias a ON a.key = l.guardian AND l.guardian NOT IN (SELECT key FROM guardian) "
    "LEFT JOIN known_account k ON k.key = l.guardian AND l.guardian NOT IN (SELECT key FROM guardian) "
    f"WHERE l.authority BETWEEN 1 AND :most AND {_HOLDER} IS NOT NULL "
    "ON CONFLICT DO UPDATE SET authority = min(authority, excluded.authority)"
)
# A kinship that was unknown, or that the file no longer says, is not a change.
_FIND_EXCLUDED = (
    "INSERT INTO excluded_link SELECT l.child, l.account FROM known_link k CROSS JOIN allowed_link l "
    "ON l.child = k.child AND l.account = k.account AND l.authority IS k.authority "
    "AND (l.kinship IS k.kinship OR coalesce(l.kinship, '') = '' OR k.kinship = '') WHERE k.closed = 'excluded'"
)
_DROP_EXCLUDED = "DELETE FROM allowed_link WHERE (child, account) IN (SELECT child, account FROM excluded_link)"
_MISSING_GUARDIANS = (
    "SELECT l.file, l.line, l.guardian FROM link l JOIN student s ON s.key = l.student "
    f"WHERE s.fate IN {HERE} AND l.authority BETWEEN 1 AND :most "
    "AND l.guardian NOT IN (SELECT key FROM guardian) AND l.guardian NOT IN (SELECT key FROM known_account) "
    "AND l.guardian NOT IN (SELECT key FROM known_alias)"
)
_MISSING_STUDENTS = (
    "SELECT l.file, l.line, l.student FROM link l WHERE l.student NOT IN (SELECT key FROM student) "
    "AND l.student NOT IN (SELECT key FROM known_child)"
)

_NO_REPRESENTATIVE = (
    "SELECT file, line, key FROM student WHERE fate = 'open' AND (lists_guardians OR act = 'put') "
    "AND child_id NOT IN (SELECT child FROM allowed_link) AND child_id NOT IN (SELECT child FROM excluded_link)"
)
# The places in the files of links of the database.
_OF_FILE = (
    "SELECT l.file, l.line, l.guardian FROM {links} t CROSS JOIN student s ON s.child_id = t.child "
    "CROSS JOIN link l ON l.student = s.key LEFT JOIN guardian g ON g.key = l.guardian "
    "LEFT JOIN known_alias a ON a.key = l.guardian LEFT JOIN known_account k ON k.key = l.guardian "
    f"WHERE {_HOLDER} = t.account"
)
_ALLOWED = (
    "(SELECT d.child, d.account FROM known_link d CROSS JOIN allowed_link v "
    "ON v.child = d.child AND v.account = d.account WHERE {state})"
)
_DISPUTED = _OF_FILE.format(links=_ALLOWED.format(state="d.closed = 'disputed'"))
_EXCLUDED = _OF_FILE.format(links="excluded_link")
_WAITING = _OF_FILE.format(links="(SELECT child, account FROM allowed_link WHERE wait <> '')")
_LEFT = (
    "SELECT :no_file AS file, 0 AS line, coalesce(a.key, '') AS key FROM leaving_account l "
    "LEFT JOIN known_account a ON a.id = l.account ORDER BY 3"
)

_DISPUTES = (
    (
        "tie_disputed",
        (
            "Quelqu’un a dit au nom de cette personne, en ligne ou au téléphone, qu’elle n’est pas représentante "
            "légale de cet élève : elle n’a pas accès à cet élève tant que l’établissement n’a pas décidé."
        ),
        _DISPUTED,
    ),
    (
        "tie_excluded",
        (
            "Le fichier nomme toujours cette personne pour cet élève, mais l’établissement a confirmé qu’elle n’est "
            "pas représentante légale : elle reste sans accès. Corrigez le fichier."
        ),
        _EXCLUDED,
    ),
)


def find_links(context: Context) -> None:
    """Find the links that hold, and tell which ones name somebody unknown."""
    staging, most = context.staging, context.most_authority
    staging.run(_FIND_ALLOWED, most=most)
    staging.run(_FIND_EXCLUDED)
    staging.run(_DROP_EXCLUDED)
    staging.create_index("allowed_link_account")
    let_wait(staging)
    staging.tell_all(
        Severity.WARNING,
        "guardian_missing",
        "Un élève a cette personne pour responsable, mais ni le fichier ni le service ne la connaissent.",
        _MISSING_GUARDIANS,
        most=most,
    )
    staging.tell_all(
        Severity.WARNING,
        "student_missing",
        "Cette personne est responsable d’un élève que ni le fichier ni le service ne connaissent.",
        _MISSING_STUDENTS,
    )


def tell_left_out(context: Context) -> None:
    """Tell which pupils nobody gets a letter for, which links are disputed or excluded, and which accounts close."""
    staging = context.staging
    staging.tell_all(
        Severity.WARNING,
        "student_without_representative",
        "Cet élève n’a aucun représentant légal dans le fichier : personne ne recevra de courrier pour lui.",
        _NO_REPRESENTATIVE,
    )
    staging.tell_all(
        Severity.ERROR,
        "guardian_waits",
        "Cette personne attend la direction : elle n’a pas accès à l’élève tant que la direction n’a pas décidé, dans "
        "« Décisions ».",  # the secretary reads the issues; the head alone reads in the notice why a person waits
        _WAITING,
    )
    for code, message, statement in _DISPUTES:
        staging.tell_all(Severity.WARNING, code, message, statement)
    staging.tell_all(
        Severity.WARNING,
        "guardian_left",
        "Cette personne n’a plus d’enfant dans le fichier : son compte se ferme.",
        _LEFT,
        no_file=staging.no_file(),
    )


# A corrected name would make another person of a guardian who never got a letter, also if the tie ended meanwhile.
_DOUBT_CORRECTIONS = (
    f"UPDATE guardian SET outcome = '{Outcome.NAME_IN_DOUBT}' WHERE fate IS NULL "
    f"AND outcome = '{Outcome.NAME_CORRECTED}' AND (key IN (SELECT l.guardian FROM protected_child p "
    "JOIN student s ON s.child_id = p.child JOIN link l ON l.student = s.key) "
    "OR account_id IN (SELECT t.account FROM protected_child p JOIN known_link t ON t.child = p.child))"
)
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
_WAIT_AGAIN = (
    f"UPDATE allowed_link SET wait = '{Wait.RETURNED}' WHERE (child, account) IN "
    "(SELECT child, account FROM known_link WHERE closed = 'excluded' OR closed = 'waits' AND is_ended)"
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
    is_excluded = Closing.kind == Kind.EXCLUDED.value
    people = (
        select(School.uai, Account.name_key, is_excluded)
        .join(Closing, Closing.school_id == School.id)
        .join(Account, Account.id == Closing.account_id)
        .where(Closing.where_in_force(moment), or_(Closing.is_decision, is_excluded))
    )
    staging.insert("closed_person", [tuple(row) for row in db.session.execute(people.distinct())])


def doubt_corrections(context: Context) -> None:
    """Refuse the corrected names of guardians without a letter, if an access to their pupil is closed."""
    context.staging.run(_DOUBT_CORRECTIONS)


def let_wait(staging: Staging) -> None:
    """Mark the links of `allowed_link` whose guardians wait for the head."""
    if staging.value(_HAS_CLOSED):  # both name every pupil or guardian of the files
        staging.run(_WAIT_BESIDE)
        staging.run(_WAIT_BY_NAME)
    staging.run(_WAIT_AGAIN)
