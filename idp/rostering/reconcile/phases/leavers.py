"""Phases on what ends: pupils who are absent, links that the files no longer name, accounts without children or key."""

import json

from idp.rostering.reconcile import known
from idp.rostering.reconcile.decide import Outcome
from idp.rostering.reconcile.staging import Context
from idp.rostering.reconcile.statements import HERE
from idp.rostering.records import Mode, Severity

_PAGE = 1000
# Whether the key of a refused record is not known: then nobody can say which person the files still name.
_LACKS_KEY = "SELECT EXISTS (SELECT 1 FROM unread WHERE kind = 'guardian' AND key = '')"
# The same for pupils, whom the rows of guardians may describe.
_LACKS_STUDENT_KEY = (
    "SELECT EXISTS (SELECT 1 FROM unread WHERE key = '' "
    "AND (kind = 'student' OR kind = 'guardian' AND EXISTS (SELECT 1 FROM student WHERE is_second_hand)))"
)

# A pupil whose record was refused is in the file all the same; readers name the row by the key that it holds.
_FIND_ABSENT = (
    "INSERT INTO absent_student SELECT id FROM known_child k WHERE k.in_scope AND NOT k.is_left "
    "AND NOT EXISTS (SELECT 1 FROM student s WHERE s.key = k.key) "
    "AND k.key NOT IN (SELECT key FROM unread WHERE kind = 'student') "
    "AND bare_key(k.key) NOT IN (SELECT key FROM unread WHERE kind = 'student')"
)

# The known links that each table gets if the files do not name them.
_STATES = {
    "ending_link": "NOT k.is_ended",
    "lifted_exclusion": "k.closed = 'excluded' AND (k.child, k.account) NOT IN "
    "(SELECT child, account FROM excluded_link)",
}
_ANY = "SELECT EXISTS (SELECT 1 FROM known_link k WHERE {state})"
# The person of a refused record keeps the links; so does the person whom a record names under another one's key.
_FIND_UNNAMED = (
    "INSERT INTO {table} SELECT k.child, k.account FROM student s JOIN known_link k ON k.child = s.child_id "
    f"WHERE s.fate IN {HERE} AND s.lists_guardians AND {{state}} "
    "AND NOT EXISTS (SELECT 1 FROM allowed_link l WHERE l.child = k.child AND l.account = k.account) "
    "AND NOT EXISTS (SELECT 1 FROM link l JOIN guardian g ON g.key = l.guardian AND g.fate = 'refused' "
    "WHERE l.student = s.key AND g.account_id = k.account) "
    "AND k.account NOT IN (SELECT account FROM exchanged_key) ON CONFLICT DO NOTHING"
)
_FIND_GONE = (
    "INSERT INTO {table} SELECT k.child, k.account FROM known_link k WHERE {state} "
    "AND (k.child IN (SELECT child_id FROM student WHERE fate = 'gone') OR k.child IN (SELECT id FROM absent_student) "
    "OR k.account IN (SELECT account_id FROM guardian WHERE fate = 'gone')) ON CONFLICT DO NOTHING"
)

_WITHOUT_LINK = (
    "SELECT e.account FROM (SELECT account FROM ending_link UNION SELECT o.account FROM excluded_link o "
    "JOIN known_account a ON a.id = o.account AND NOT a.is_left) e "
    "WHERE e.account NOT IN (SELECT account FROM allowed_link) "
    "AND e.account NOT IN (SELECT account FROM replaced_key WHERE closes) AND NOT EXISTS "
    "(SELECT 1 FROM known_link k LEFT JOIN ending_link x ON x.child = k.child AND x.account = k.account "
    "WHERE k.account = e.account AND NOT k.is_ended AND x.child IS NULL)"
)


def find_absent(context: Context) -> None:
    """Find the pupils whom a complete file no longer names."""
    staging = context.staging
    if context.mode is Mode.COMPLETE:
        staging.run("UPDATE student SET lists_guardians = 1 WHERE lists_guardians IS NOT 1")
        if not staging.value(_LACKS_STUDENT_KEY):
            staging.run(_FIND_ABSENT)
    staging.run(
        "UPDATE student SET lists_guardians = 0 WHERE bare_key(key) IN (SELECT key FROM unread WHERE kind = 'link')"
    )


def find_ending_links(context: Context) -> None:
    """Find the links that end, and the exclusions that the files no longer name."""
    staging = context.staging
    lacks_key = staging.value(_LACKS_KEY)
    for table, state in _STATES.items():
        if not staging.value(_ANY.format(state=state)):
            continue
        if not lacks_key:
            staging.run(_FIND_UNNAMED.format(table=table, state=state))
        staging.run(_FIND_GONE.format(table=table, state=state))
    staging.create_index("ending_link_account")


def find_leaving_accounts(context: Context) -> None:
    """Find the accounts that have no child left, and all that close."""
    staging = context.staging
    for accounts in list(staging.value_pages(_WITHOUT_LINK, _PAGE)):
        ending = staging.rows(
            "SELECT child, account FROM ending_link WHERE account IN (SELECT value FROM json_each(:accounts))",
            accounts=json.dumps(accounts),
        )
        staying = known.with_other_child(accounts, {(link.account, link.child) for link in ending})
        staging.insert("leaving_account", [(account,) for account in accounts if account not in staying])
    known.copy_leaving(staging)
    staging.run(
        "INSERT INTO closing_account SELECT account FROM leaving_account UNION SELECT r.account FROM replaced_key r "
        "JOIN known_account k ON k.id = r.account WHERE r.closes AND NOT k.is_disabled"
    )


_PAGE = 1000


_MESSAGES = {
    Outcome.NAMESAKE: (
        "namesake_starts_again",
        (
            "Une personne de ce nom est connue ici, mais ni avec cet élève ni à cette adresse : c’est une autre "
            "personne. Elle reçoit un nouveau compte et un nouveau courrier ; "
        ),
    ),
    Outcome.OTHER_NAMES: (
        "key_changes_person",
        (
            "Ce numéro était celui d’une autre personne, qui n’a pas ce prénom : celle du fichier reçoit un "
            "nouveau compte et un nouveau courrier ; "
        ),
    ),
}
_ENDS = {
    1: "le compte de la première se ferme.",
    0: "la première garde le sien pour ses autres enfants.",
}


def find_former_accounts(context: Context) -> None:
    """Note which accounts close because their only key goes to a new account, and tell it."""
    staging = context.staging
    for page in list(staging.value_pages("SELECT DISTINCT account FROM replaced_key ORDER BY account", _PAGE)):
        staging.insert("kept_key", known.aliases_of(page))
    for statement in (
        (
            "INSERT INTO kept_key SELECT key, id FROM known_account WHERE key IS NOT NULL "
            "AND id IN (SELECT account FROM replaced_key) ON CONFLICT DO NOTHING"
        ),
        "DELETE FROM kept_key WHERE key IN (SELECT key FROM replaced_key)",
        "UPDATE replaced_key SET closes = 0 WHERE account IN (SELECT account FROM kept_key)",
    ):
        staging.run(statement)
    for why, (code, message) in _MESSAGES.items():
        for closes, end in _ENDS.items():
            staging.tell_all(
                Severity.WARNING,
                code,
                f"{message}{end}",
                "SELECT g.file, g.line, g.key FROM guardian g JOIN replaced_key r ON r.key = g.key "
                "WHERE r.why = :why AND r.closes = :closes",
                why=why.value,
                closes=closes,
            )
