"""The guardians' records whose person is not the one of the account: what an import does with them.

`continuity` decides who is who; here are the statements on the staged records, and the notices to the schools.
"""

from idp.rostering.reconcile import known, replaced_keys
from idp.rostering.reconcile.continuity import Verdict
from idp.rostering.reconcile.staging import Staging
from idp.rostering.records import Severity

SCHEMA = """
CREATE TABLE judged (key TEXT PRIMARY KEY, account TEXT, verdict TEXT) WITHOUT ROWID;
CREATE TABLE exchanged (key TEXT PRIMARY KEY, account TEXT) WITHOUT ROWID;
CREATE TABLE doubted (key TEXT PRIMARY KEY, account TEXT) WITHOUT ROWID;
"""
"""`judged`: the records whose names or civility are not the account's, and what follows. `exchanged`: of these, the
ones that name the person of another account. `doubted`: the ones that are refused, of which the school is told."""

ACCOUNTS_IN_DOUBT = "SELECT DISTINCT account FROM doubted ORDER BY account"

KNOWN = "guardian s JOIN known_account k ON k.id = s.account_id WHERE s.fate IS NULL AND s.act <> 'delete'"
_JUDGED = "s.key IN (SELECT key FROM judged WHERE verdict = '{0}')"
_NAMES = (
    "coalesce(s.civility, k.civility), coalesce(s.given_name, k.given_name), "
    "coalesce(s.family_name, k.family_name), coalesce(s.birth_name, k.birth_name)"
)
"""The names of a record (`s`), with the account's (`k`) where it is silent."""
_NAME_KEY = "name_key(coalesce(s.given_name, k.given_name), coalesce(s.family_name, k.family_name))"
_IS_NAMED = (
    "name_key(coalesce({0}.given_name, {1}.given_name), coalesce({0}.family_name, {1}.family_name)) = {1}.name_key "
    "AND civilities_agree(coalesce({0}.civility, {1}.civility), {1}.civility)"
)
"""A record has exactly the names of an account."""
_SAME_HOME = (
    "same_home(coalesce(s.address, k.address), coalesce(s.postcode, k.postcode), coalesce(s.city, k.city), "
    "k.address, k.postcode, k.city)"
)
_SAME_CHILD = (
    "EXISTS (SELECT 1 FROM link l "
    "JOIN student c ON c.key = l.student JOIN known_link t ON t.child = c.child_id AND t.account = k.id "
    "WHERE l.guardian = s.key)"
)
CONTINUES = f"{_SAME_HOME} OR {_SAME_CHILD}"
"""Something beside the name says that it is the person of before: the home, or a child.

A tie that ended or is disputed counts too: a dispute must not be undone by a new account under the same name.
"""
_SAME_MAIL = "(k.mail <> '' AND coalesce(s.mail, k.mail) = k.mail)"
"""Counts beside a key that is a number alone: namesakes may share a mailbox, or a school writes its own everywhere."""
NOBODYS = "k.is_blank AND NOT EXISTS (SELECT 1 FROM known_link t WHERE t.account = k.id)"
"""No letter was ever printed for the account and it has no child: a killed import opened it, and this one goes on."""


def judge_persons(staging: Staging) -> None:
    """Find the records whose person may not be the account's, and do with them what `continuity` says."""
    # a file that says no civility takes none away
    staging.run("UPDATE guardian SET civility = NULL WHERE civility = '' AND account_id IS NOT NULL")
    staging.run(
        f"INSERT INTO judged SELECT s.key, k.id, judge({_NAMES}, k.civility, k.given_name, k.family_name, "
        f"k.birth_name, k.opened_as, {_SAME_CHILD}, {_SAME_HOME}, {_SAME_MAIL}) FROM {KNOWN} "
        f"AND ({_NAMES}) IS NOT (k.civility, k.given_name, k.family_name, k.birth_name)"
    )
    known.copy_relatives(staging, "SELECT key FROM judged")
    staging.run(
        "INSERT OR IGNORE INTO exchanged SELECT s.key, o.id FROM judged j JOIN guardian s ON s.key = j.key "
        "JOIN known_account k ON k.id = j.account JOIN known_account o ON o.id <> k.id "
        f"AND o.name_key = {_NAME_KEY} AND {_IS_NAMED.format('s', 'o')} "
        f"WHERE NOT ({_IS_NAMED.format('s', 'k')}) AND ({CONTINUES.replace('k.', 'o.')})"
    )
    _doubt(
        staging, "keys_exchanged",
        "Cette clé est connue pour une autre personne, et la personne de cette ligne est connue sous une autre clé : "
        "rien n’est changé. Remettez à chaque personne sa clé.",
        "s.key IN (SELECT key FROM exchanged)",
    )  # fmt: skip
    _doubt(
        staging, "key_of_other_person",
        "Cette clé est connue pour une autre personne : rien n’est changé. Une personne garde sa clé, et une autre "
        "personne a une autre clé. Si c’est la même personne, sous un autre nom, voyez « idp account rename ».",
        f"s.key GLOB 'aaf:*' AND {_JUDGED.format(Verdict.OTHER)}",
    )  # fmt: skip
    _doubt(
        staging, "name_in_doubt",
        "Le nom ou la civilité de cette clé a changé, et le reste ne dit pas que c’est la même personne : rien n’est "
        "changé. Si c’est la même personne, voyez « idp account rename ». Si c’est une autre, il lui faut une autre "
        "clé.",
        f"{_JUDGED.format(Verdict.DOUBT)} AND NOT k.is_blank",
    )  # fmt: skip
    staging.tell_all(
        Severity.WARNING, "name_corrected",
        "Le prénom ou la civilité de cette clé a changé. Aucun courrier n’a encore été imprimé : le compte prend le "
        "nouveau nom.",
        f"SELECT s.file, s.line, s.key FROM {KNOWN} AND {_JUDGED.format(Verdict.DOUBT)}",
    )  # fmt: skip
    staging.run(
        f"INSERT INTO replaced (key, account, why) SELECT s.key, k.id, '{replaced_keys.OTHER_NAMES}' "
        f"FROM {KNOWN} AND {_JUDGED.format(Verdict.OTHER)} AND NOT ({NOBODYS})"
    )


def _doubt(staging: Staging, code: str, message: str, condition: str) -> None:
    """Refuse the known people of whom `condition` is true, and note that their schools are told."""
    found = f"{KNOWN} AND {condition}"
    staging.run(f"INSERT OR IGNORE INTO doubted SELECT s.key, k.id FROM {found}")
    staging.refuse("guardian", code, message, found)
