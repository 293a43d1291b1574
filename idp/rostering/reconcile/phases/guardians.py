"""Decides what happens to the guardians: SQL gathers the facts, `decide` decides.

Most records need few facts: a record without account depends on its pupils, and a record that has the names of its
account is the same person. SQL passes these facts to `decide` by the million. The other records are compared one by
one, with everything that `decide` asks about (`compared`).
"""

from typing import Any

from idp.rostering.reconcile import decide, known, outcomes
from idp.rostering.reconcile.continuity import Named
from idp.rostering.reconcile.decide import KeyKind, Known, Outcome, Record, Ties
from idp.rostering.reconcile.outcomes import GUARDIANS, Fate
from idp.rostering.reconcile.staging import Context
from idp.rostering.reconcile.statements import is_named, made_of_names, said_or_known, same_child, same_home, ties
from idp.rostering.records import Act

_PAGE = 1000
_NAMES = ("civility", "given_name", "family_name", "birth_name")

_FIND_ACCOUNTS = (
    "UPDATE guardian SET account_id = coalesce((SELECT account FROM known_alias a WHERE a.key = guardian.key), "
    "(SELECT id FROM known_account k WHERE k.key = guardian.key)), civility = nullif(civility, '') "
    "WHERE key IN (SELECT key FROM known_alias) OR key IN (SELECT key FROM known_account)"
)
"""A file that says no civility does not remove the account's."""

_UNDECIDED = "g.fate IS NULL AND g.outcome IS NULL"
_DECIDE_NEW = (
    f"UPDATE guardian AS g SET outcome = decide_new(g.act, {ties('g')}, 0) WHERE {_UNDECIDED} AND g.account_id IS NULL"
)
_DECIDE_SAME = (
    "UPDATE guardian AS g SET outcome = decide_same(g.act, g.key IN (SELECT key FROM known_alias)) "
    f"WHERE {_UNDECIDED} AND g.account_id IS NOT NULL AND g.key NOT IN (SELECT key FROM compared)"
)

_KNOWN_NAMES = ", ".join(f"k.{name}" for name in _NAMES)
_KEY_KIND = (
    f"CASE WHEN {made_of_names('g.key')} THEN '{KeyKind.NAMES}' WHEN g.key GLOB 'aaf:*' THEN '{KeyKind.AAF}' "
    f"ELSE '{KeyKind.NUMBER}' END"
)
_COMPARE = (
    f"INSERT INTO compared SELECT g.key, k.id, g.act, {_KEY_KIND}, {ties('g')}, "
    f"{said_or_known('g', 'k', *_NAMES)}, {_KNOWN_NAMES}, k.opened_as, g.key IN (SELECT key FROM known_alias), "
    "k.is_blank, EXISTS (SELECT 1 FROM known_link t WHERE t.account = k.id), "
    f"{same_child('g', 'k')}, {same_home('g', 'k')}, k.email <> '' AND coalesce(g.email, k.email) = k.email "
    "FROM guardian g JOIN known_account k ON k.id = g.account_id "
    f"WHERE {_UNDECIDED} AND g.act <> 'delete' AND ({made_of_names('g.key')} "
    f"OR ({said_or_known('g', 'k', *_NAMES)}) IS NOT ({_KNOWN_NAMES}))"
)
_RENAMED = (
    "(c.civility, c.given_name, c.family_name, c.birth_name) "
    "IS NOT (c.known_civility, c.known_given_name, c.known_family_name, c.known_birth_name) "
    "AND NOT is_namesake(c.key_kind, c.keeps_child, c.keeps_home, c.is_blank, c.has_children)"
)
"""The compared records whose names are not their account's, and whose person may be another account's."""
_RENAMED_KEYS = f"SELECT c.key FROM compared c WHERE {_RENAMED}"
_FIND_EXCHANGED = (
    "INSERT INTO exchanged_key SELECT g.key, o.id FROM compared c JOIN guardian g ON g.key = c.key "
    "JOIN known_account k ON k.id = c.account JOIN known_account o ON o.id <> k.id "
    f"AND o.name_key = name_key(c.given_name, c.family_name) AND {is_named('g', 'o')} "
    f"WHERE {_RENAMED} AND NOT ({is_named('g', 'k')}) AND ({same_home('g', 'o')} OR {same_child('g', 'o')}) "
    "ON CONFLICT DO NOTHING"
)
_COMPARED = "SELECT * FROM compared"
_EXCHANGED_KEYS = "SELECT key FROM exchanged_key"
_SET_OUTCOME = "UPDATE guardian SET outcome = ? WHERE key = ?"

_NEW_OF_AAF = (
    "SELECT key, given_name, family_name, birth_name FROM guardian "
    f"WHERE outcome = '{Outcome.NEW}' AND key GLOB 'aaf:*'"
)
_DECIDE_RETIRED = (
    f"UPDATE guardian SET outcome = decide_new(act, '{Ties.OPEN}', 1) WHERE key IN (SELECT key FROM retired_key)"
)

_NEW = outcomes.with_fate("guardian", Fate.NEW)
_OPEN_NEW = (
    f"UPDATE guardian SET fate = '{Fate.NEW}', account_id = lower(hex(randomblob(16))), "
    f"civility = coalesce(civility, '') WHERE fate IS NULL AND outcome IN {_NEW}"
)
_SET_FATE = f"UPDATE guardian SET fate = {outcomes.fate_of('guardian')} WHERE fate IS NULL"
_STARTS_AGAIN = outcomes.among((Outcome.NAMESAKE, Outcome.OTHER_NAMES))
_REPLACE_KEYS = (
    "INSERT INTO replaced_key (key, account, why) SELECT c.key, c.account, g.outcome FROM compared c "
    f"JOIN guardian g ON g.key = c.key WHERE g.outcome IN {_STARTS_AGAIN}"
)
_DETACH = (
    "UPDATE guardian SET account_id = NULL WHERE account_id IS NOT NULL AND outcome IN "
    f"{outcomes.among((Outcome.NO_OPEN_STUDENT, Outcome.NO_LEGAL_AUTHORITY, Outcome.NO_STUDENT))}"
)
"""A record of another person that opens no account either: its key's account leaves like any other."""
_DOUBT = (
    "INSERT INTO doubted_account SELECT DISTINCT c.account FROM compared c JOIN guardian g ON g.key = c.key "
    f"WHERE g.outcome IN {outcomes.among(o for o, consequence in GUARDIANS.items() if consequence.is_doubt)}"
)


def find_accounts(context: Context) -> None:
    """Note the account of each record's key."""
    context.staging.run(_FIND_ACCOUNTS)


def compare_persons(context: Context) -> None:
    """Gather the facts about the records whose person may not be the account's."""
    staging = context.staging
    staging.run(_COMPARE, most=context.most_authority)
    known.copy_relatives(staging, _RENAMED_KEYS)
    staging.run(_FIND_EXCHANGED)


def decide_guardians(context: Context) -> None:
    """Give each guardian an outcome."""
    staging = context.staging
    staging.run(_DECIDE_NEW, most=context.most_authority)
    staging.run(_DECIDE_SAME)
    exchanged = set(staging.values(_EXCHANGED_KEYS))
    for page in staging.pages(_COMPARED, _PAGE):
        staging.fill(_SET_OUTCOME, [(_decide(row, row.key in exchanged), row.key) for row in page])


def _decide(row: Any, is_exchanged: bool) -> str:  # noqa: FBT001 - a fact of the row
    record = Record(
        act=Act(row.act),
        ties=Ties(row.ties),
        names=Named(row.civility, row.given_name, row.family_name, row.birth_name),
        key_kind=KeyKind(row.key_kind),
    )
    account = Known(
        names=Named(row.known_civility, row.known_given_name, row.known_family_name, row.known_birth_name),
        opened_as=row.opened_as,
        is_alias=bool(row.is_alias),
        is_blank=bool(row.is_blank),
        has_children=bool(row.has_children),
        keeps_child=bool(row.keeps_child),
        keeps_home=bool(row.keeps_home),
        keeps_email=bool(row.keeps_email),
        is_exchanged=is_exchanged,
    )
    return decide.decide(record, account).value


def refuse_retired_keys(context: Context) -> None:
    """Refuse new people under a key that ENTs know as a removed account's, unless the given name is the same.

    The `sub` of clients of type `aaf` is made of that key: it must not reach another person.
    """
    staging = context.staging
    if not known.has_retired():
        return
    for page in list(staging.pages(_NEW_OF_AAF, _PAGE)):
        staging.insert("retired_key", [(key,) for key in known.retired_keys(page)])
    staging.run(_DECIDE_RETIRED)


def apply_outcomes(context: Context) -> None:
    """Give each guardian a fate, and note the accounts that are in doubt and the keys that get a new account."""
    staging = context.staging
    outcomes.tell(staging, "guardian")
    for statement in (_DOUBT, _REPLACE_KEYS, _DETACH, _OPEN_NEW, _SET_FATE):
        staging.run(statement)
