"""Phases on links: which ones hold, and what is told about links and pupils without any."""

from idp.rostering.reconcile.phases import waits
from idp.rostering.reconcile.staging import Context
from idp.rostering.reconcile.statements import HERE
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
_FIND_EXCLUDED = (
    "INSERT INTO excluded_link SELECT l.child, l.account FROM known_link k CROSS JOIN allowed_link l "
    "ON l.child = k.child AND l.account = k.account AND l.authority IS k.authority "
    "AND (l.kinship IS k.kinship OR coalesce(l.kinship, '') = '' OR k.kinship = '') WHERE k.is_excluded"
)
"""A kinship that was unknown, or that the file no longer says, is not a change."""
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
_OF_FILE = (
    "SELECT l.file, l.line, l.guardian FROM {links} t CROSS JOIN student s ON s.child_id = t.child "
    "CROSS JOIN link l ON l.student = s.key LEFT JOIN guardian g ON g.key = l.guardian "
    "LEFT JOIN known_alias a ON a.key = l.guardian LEFT JOIN known_account k ON k.key = l.guardian "
    f"WHERE {_HOLDER} = t.account"
)
"""The places in the files of links of the database."""
_ALLOWED = (
    "(SELECT d.child, d.account FROM known_link d CROSS JOIN allowed_link v "
    "ON v.child = d.child AND v.account = d.account WHERE {state})"
)
_DISPUTED = _OF_FILE.format(links=_ALLOWED.format(state="d.is_disputed AND NOT d.is_excluded"))
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
    waits.let_wait(staging)
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
