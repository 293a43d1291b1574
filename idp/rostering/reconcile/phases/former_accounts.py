"""Finds out what becomes of the accounts whose key goes to a new account (`idp.rostering.write.replacing`)."""

from idp.rostering.reconcile import known
from idp.rostering.reconcile.context import Context
from idp.rostering.reconcile.decide import Outcome
from idp.rostering.reconcile.schema import KeptKeyRow
from idp.rostering.records import Severity

_PAGE = 1000

_ACCOUNTS = "SELECT DISTINCT account FROM replaced_key ORDER BY account"
_KEEP_FIRST_KEYS = (
    "INSERT INTO kept_key SELECT key, id FROM known_account WHERE key IS NOT NULL "
    "AND id IN (SELECT account FROM replaced_key) ON CONFLICT DO NOTHING"
)
_GIVE_UP = "DELETE FROM kept_key WHERE key IN (SELECT key FROM replaced_key)"
_STAY_OPEN = "UPDATE replaced_key SET closes = 0 WHERE account IN (SELECT account FROM kept_key)"
_REPLACED = (
    "SELECT g.file, g.line, g.key FROM guardian g JOIN replaced_key r ON r.key = g.key "
    "WHERE r.why = :why AND r.closes = :closes"
)

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
    for page in list(staging.value_pages(_ACCOUNTS, _PAGE)):
        staging.insert(KeptKeyRow, known.aliases_of(page))
    for statement in (_KEEP_FIRST_KEYS, _GIVE_UP, _STAY_OPEN):
        staging.run(statement)
    for why, (code, message) in _MESSAGES.items():
        for closes, end in _ENDS.items():
            staging.tell_all(Severity.WARNING, code, f"{message}{end}", _REPLACED, why=why.value, closes=closes)
