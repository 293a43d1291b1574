"""What an end of a suspension opens: nothing while something else keeps the access closed."""

from typing import Any

from flask import url_for
from flask_babel import lazy_gettext as _l
from sqlalchemy import select

from idp.accounts.models import Account, Child, Guardianship
from idp.accounts.suspensions.models import Suspension
from idp.clock import now
from idp.db import db
from idp.desk import ties
from idp.desk.naming import account_url

ENDED = "finie"
"""What the page of the account says if the suspension is over and the access is still closed."""
OPEN = "rouvert"

_TIE_OPENS = _l("Les ENT recevront de nouveau cet élève pour cette personne. Le reste du compte ne change pas.")
_ACCOUNT_OPENS = _l(
    "La personne pourra de nouveau se connecter, avec son identifiant et son mot de passe. Les appareils déconnectés "
    "le restent."
)
_FORMER = _l(
    "Le fichier ne nomme plus cette personne pour cet élève : rien ne s’ouvre maintenant. Si un fichier la nomme de "
    "nouveau, elle aura accès à l’élève."
)
_EXCLUDED = _l("L’établissement a confirmé que cette personne n’est pas responsable de l’élève : rien ne s’ouvre.")
_WAITS = _l(
    "Cette personne attend aussi la direction : elle reste sans accès à l’élève jusqu’à la réponse dans "
    "« Signalements »."
)
_OTHER = _l("Une autre suspension reste : l’accès est fermé jusqu’à sa fin.")
_DISABLED = _l("Le compte est fermé aussi pour une autre raison : il le reste.")


def still_closed(row: Suspension) -> Any:
    """Return why the access stays closed when a decision ends, in words; None if it opens."""
    others = _others(row)
    if any(not other.awaits_head for other in others):
        return _OTHER
    if others:
        return _WAITS
    account = db.session.get_one(Account, row.account_id, populate_existing=True)
    tie = _tie(row)
    if tie is not None and tie[0].is_excluded:
        return _EXCLUDED
    if tie is not None and tie[1]:
        return _FORMER
    return _DISABLED if account.disabled_at is not None else None


def opens(row: Suspension) -> Any:
    """Return what opens again with a decision, in words, if nothing else keeps the access closed."""
    return _ACCOUNT_OPENS if row.child_id is None else _TIE_OPENS


def page_after(row: Suspension) -> str:
    """Return the page that says what the end of a decision did: the account's, or if it is out of scope another one."""
    done = ENDED if still_closed(row) else OPEN
    if account_url(row.account_id):
        return url_for("accounts.show", account=row.account_id, fait=done)
    return url_for("accounts.family", pupil=row.child_id, fait=done) if row.child_id else url_for("suspension.show")


def _others(row: Suspension) -> list[Suspension]:
    """Return what else suspends the access: the whole account, or the same tie."""
    holding = select(Suspension).where(
        Suspension.account_id == row.account_id, Suspension.id != row.id, Suspension.where_holding(now())
    )
    return [other for other in db.session.scalars(holding) if other.child_id in {None, row.child_id}]


def _tie(row: Suspension) -> tuple[Guardianship, bool] | None:
    """Return the tie of a decision, and whether the files no longer name the person for the pupil."""
    chosen = select(Guardianship, ties.are_former()).join(Child, Child.id == Guardianship.child_id)
    of_decision = Guardianship.account_id == row.account_id, Guardianship.child_id == row.child_id
    tie = db.session.execute(chosen.where(*of_decision)).one_or_none()
    return (tie[0], bool(tie[1])) if tie else None
