"""The keys that a new account takes from a former one, worked out on the copies.

`persons` finds the records whose person is somebody else than the account's; `idp.rostering.write.replacing` opens the
new accounts.
"""

from idp.rostering.reconcile import known
from idp.rostering.reconcile.staging import Staging
from idp.rostering.records import Severity

_PAGE = 1000

SCHEMA = """
CREATE TABLE replaced (key TEXT PRIMARY KEY, account TEXT, why TEXT, closes INT DEFAULT 1) WITHOUT ROWID;
CREATE TABLE other_key (key TEXT PRIMARY KEY, account TEXT) WITHOUT ROWID;
"""
"""`replaced`: the keys that go to a new account, and the accounts that give them up; `why` says whether the new person
has the former one's names (`namesake`) or not (`other_names`), `closes` what becomes of these accounts. `other_key`:
the keys that these accounts keep."""

ACCOUNTS = "SELECT DISTINCT account FROM replaced ORDER BY account"

NAMESAKE, OTHER_NAMES = "namesake", "other_names"
_CODES = {NAMESAKE: "namesake_starts_again", OTHER_NAMES: "key_changes_person"}
_MESSAGES = {
    NAMESAKE: "Une personne de ce nom est connue ici, mais ni avec cet élève ni à cette adresse : c’est une autre "
    "personne. Elle reçoit un nouveau compte et un nouveau courrier ; ",
    OTHER_NAMES: "Cette clé était celle d’une autre personne, qui n’a pas ce prénom : celle du fichier reçoit un "
    "nouveau compte et un nouveau courrier ; ",
}
_ENDS = {
    1: "le compte de la première se ferme.",
    0: "la première garde le sien pour ses autres enfants.",
}


def detach(staging: Staging) -> None:
    """Let the records whose key goes to a new account name no account."""
    staging.run("UPDATE guardian SET account_id = NULL WHERE key IN (SELECT key FROM replaced)")


def find_former_accounts(staging: Staging) -> None:
    """Work out what becomes of the accounts that give a key up, and say it. Needs the fate of every guardian.

    A namesake who gets no account takes no key: the former account then leaves like any other.
    """
    staging.run("DELETE FROM replaced WHERE key NOT IN (SELECT key FROM guardian WHERE fate = 'new')")
    for page in list(staging.pages(ACCOUNTS, _PAGE)):
        aliases = known.aliases_of([account for (account,) in page])
        staging.fill("INSERT INTO other_key VALUES (?, ?)", aliases)
    staging.run(
        "INSERT OR IGNORE INTO other_key SELECT key, id FROM known_account "
        "WHERE key IS NOT NULL AND id IN (SELECT account FROM replaced)"
    )
    staging.run("DELETE FROM other_key WHERE key IN (SELECT key FROM replaced)")
    staging.run("UPDATE replaced SET closes = 0 WHERE account IN (SELECT account FROM other_key)")
    for why, message in _MESSAGES.items():
        for closes, end in _ENDS.items():
            staging.tell_all(
                Severity.WARNING, _CODES[why], f"{message}{end}",
                "SELECT g.file, g.line, g.key FROM guardian g JOIN replaced r ON r.key = g.key "
                "WHERE r.why = ? AND r.closes = ?", why, closes,
            )  # fmt: skip
