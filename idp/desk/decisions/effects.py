"""What a closing changes, in sentences: what could be closed, what has ended, and what the end of a closing opens."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask_babel import gettext, lazy_gettext as _l
from sqlalchemy import select

from idp.accounts import directory
from idp.accounts.closings import Closing, Kind
from idp.accounts.models import Account, Child, Guardianship
from idp.clients import audience, registry
from idp.clock import now
from idp.db import db
from idp.desk import access, ties
from idp.desk.decisions import closings
from idp.desk.decisions.closings import ClosingView
from idp.desk.naming import pupil
from idp.sessions import listed

ACCOUNT = "compte"
"""The value of a choice that is the whole account; any other is the key of a child."""


def closable_ties(account: Account) -> list[Guardianship]:
    """Return the unended ties of an account to pupils in scope, closed or not."""
    rows = db.session.scalars(
        select(Guardianship)
        .join(Child, Child.id == Guardianship.child_id)
        .where(Guardianship.account_id == account.id, Guardianship.is_unended, access.children())
        .order_by(Guardianship.rank, Child.id)
    )
    return list(rows)


def change(item: ClosingView) -> str:
    """Return what a new decision about the same access changes in a decision that holds."""
    school = access.post().school
    if item.row.school_id != (school.id if school else None) or (school and not access.may_end(item.row)):
        sentence = gettext("Elle reste, quoi que vous décidiez ici : l’accès est fermé jusqu’à la fin de la dernière.")
    elif school is None:
        sentence = gettext("Tant qu’elle tient, une nouvelle suspension de l’académie n’y change rien.")
    elif item.row.until is None:
        sentence = gettext("Une nouvelle suspension du même accès la remplace, avec son motif, si elle est sans fin.")
    else:
        sentence = gettext(
            "Une nouvelle suspension du même accès la remplace, avec son motif, si elle finit le même jour ou plus "
            "tard."
        )
    if school is None or item.row.school_id != school.id:
        return str(sentence)
    shorter = gettext("rouvrez d’abord.") if item.may_reopen else gettext("seule la direction peut rouvrir.")
    return f"{sentence} {gettext('Une plus courte est refusée :')} {shorter}"


@dataclass(frozen=True)
class Outcome:
    """What holds after a decision.

    `replaced` is the decision of the same school that it replaced, if any; `others` close the same access, for a tie
    also the whole account, and `longest` ends last; `ties` are closed apart from the whole account. `is_news` says
    that the access was open.
    """

    replaced: ClosingView | None
    others: Sequence[ClosingView]
    longest: ClosingView
    ties: Sequence[ClosingView]
    is_news: bool


def outcome(item: ClosingView) -> Outcome:
    """Return what holds after a decision."""
    row, known = item.row, closings.of_accounts([item.row.account_id])[item.row.account_id]
    same = [other for other in known if other.row.id != row.id and other.row.child_id in {None, row.child_id}]
    before = [other for other in same if other.row.begun_at < row.begun_at and _held_at(other.row, row.begun_at)]
    replaced = (other for other in before if other.row.ended_at == row.begun_at and other.row.child_id == row.child_id)
    others = [other for other in same if other.holds]
    longest = max([item, *others], key=lambda each: (each.row.until is None, each.row.until or row.begun_at))
    kept = [] if item.is_tie else closings.closed_ties(known)
    return Outcome(next(replaced, None), others, longest, kept, not before)


def _held_at(row: Closing, moment: datetime) -> bool:
    is_over = (row.ended_at is not None and row.ended_at < moment) or (row.until is not None and row.until <= moment)
    return not is_over


def choices(account: Account, items: Sequence[ClosingView]) -> Sequence[Mapping[str, str]]:
    """Return what the post may close, and what ends: the whole account, and for a school each tie of its own."""
    mail = gettext("Un mail prévient la personne, sans le motif.")
    kept = [
        gettext("Quand le compte rouvre, le lien avec %(child)s reste suspendu.", child=item.about)
        for item in closings.closed_ties(items)
    ]
    ends = " ".join([ends_with_account(account, mail), *kept])
    chosen = [{"value": ACCOUNT, "title": gettext("Tout le compte"), "sentence": ends}]
    if access.post().school is None:
        return chosen
    mailed = [mail] if account.usable_email and account.is_enabled_at(now()) else []
    return chosen + [
        {
            "value": tie.child_id.hex,
            "title": gettext("Seulement %(child)s", child=pupil(tie.child)),
            "sentence": " ".join([_ends_with(account, tie), *mailed]),
        }
        for tie in closable_ties(account)
    ]


def ends_with_account(account: Account, mail: str) -> str:
    """Return what ends if an account is closed; `mail` is the sentence about the mail if one is sent."""
    if account.is_shut_at(now()):
        sentences = [gettext("Le compte est déjà suspendu : rien de plus ne se ferme.")]
    else:
        sentences = [gettext("Plus aucune connexion, ni ici ni dans un ENT."), _sessions(account)]
    if account.usable_email:
        sentences.append(mail)
    if len(directory.schools_of_ties(account)) > 1:
        sentences.append(gettext("Le compte sert aussi dans un autre établissement : il y est fermé aussi."))
    return " ".join(sentences)


def _sessions(account: Account) -> str:
    count = len(listed.open_sessions(account))
    if count == 0:
        sentence = gettext("Aucun appareil n’est connecté en ce moment.")
    elif count == 1:
        sentence = gettext("Un appareil connecté est déconnecté tout de suite.")
    else:
        sentence = gettext("%(count)s appareils connectés sont déconnectés tout de suite.", count=count)
    return str(sentence)


def _ends_with(account: Account, tie: Guardianship) -> str:
    lost = [ent.name for ent in audience.lost_with(account, tie.child)]
    if tie.is_shut_at(now()):
        sentence = gettext("Le lien est déjà suspendu : rien de plus ne se ferme.")
    elif account.is_shut_at(now()):
        sentence = gettext(
            "Tout le compte est déjà suspendu : rien de plus ne se ferme maintenant. S’il rouvre avant, cet élève "
            "reste fermé à la personne."
        )
    elif not account.has_been_active:
        sentence = gettext(
            "Le compte n’a jamais servi : aucun ENT n’a encore reçu cet élève pour la personne, et aucun ne le reçoit "
            "si elle l’active."
        )
    elif lost:
        sentence = gettext(
            "L’élève disparaît, et cet ENT se ferme pour la personne : %(ents)s. Le reste du compte marche.",
            ents=", ".join(lost),
        )
    else:
        sentence = gettext(
            "L’élève disparaît de ce que les ENT reçoivent, et la personne doit s’y reconnecter. Le reste du compte "
            "marche."
        )
    return str(sentence)


def ended(item: ClosingView, account: Account) -> Iterator[str]:
    """Yield what a decision ended, in sentences."""
    row = item.row
    if row.child_id is None:
        yield gettext("Plus aucune connexion à ce compte.")
        if row.sessions_ended == 0:
            yield gettext("Aucun appareil n’était connecté.")
        elif row.sessions_ended == 1:
            yield gettext("Un appareil est déconnecté, ici et dans les ENT.")
        else:
            yield gettext("%(count)s appareils sont déconnectés, ici et dans les ENT.", count=row.sessions_ended)
    elif not account.has_been_active:
        yield gettext(
            "Le compte n’a jamais servi : rien n’était ouvert. Si la personne l’active, les ENT ne reçoivent pas cet "
            "élève pour elle."
        )
    else:
        yield gettext("Les ENT ne reçoivent plus cet élève pour cette personne.")
        yield from _ents(row) if item.holds else ()


def _ents(row: Closing) -> Iterator[str]:
    """Yield what the ENTs of the pupil's school do after the person's tie was closed."""
    serving = list(registry.all_serving([db.session.get_one(Child, row.child_id).school.uai]))
    known = {ent.key for ent in serving if audience.may_know(ent.key, row.account_id)}
    for sentence, names in (
        (_ENT_CLOSED, [ent.name for ent in serving if ent.key not in known]),
        (_ENT_OPEN, [ent.name for ent in serving if ent.key in known]),
        (_ENT_SIGNED_OUT, [ent.name for ent in serving if ent.backchannel_logout_uri]),
        (_ENT_UNREACHABLE, [ent.name for ent in serving if not ent.backchannel_logout_uri]),
    ):
        if names:
            yield str(sentence) % {"ents": ", ".join(names)}


_ENT_CLOSED = _l("Ne s’ouvre plus pour cette personne : %(ents)s.")
_ENT_OPEN = _l("Reste ouvert pour le reste du compte, sans cet élève : %(ents)s.")
_ENT_SIGNED_OUT = _l(
    "Si la personne y est connectée en ce moment : nous demandons à l’ENT de la déconnecter (%(ents)s). D’habitude, "
    "cela prend moins d’une minute."
)
_ENT_UNREACHABLE = _l(
    "Sans déconnexion à distance : %(ents)s. Si la personne y est connectée en ce moment, elle y voit peut-être cet "
    "élève jusqu’à sa prochaine connexion."
)
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
    "Cette personne attend aussi la direction : elle reste sans accès à l’élève jusqu’à la réponse dans « Décisions »."
)
_OTHER = _l("Une autre suspension reste : l’accès est fermé jusqu’à sa fin.")
_DISABLED = _l("Le compte est fermé aussi pour une autre raison : il le reste.")


def after_end(row: Closing) -> tuple[Any, bool]:
    """Return what the end of a decision changes, in words, and whether the access opens."""
    others = _others(row)
    if any(not other.awaits_head for other in others):
        return _OTHER, False
    if others:
        return _WAITS, False
    tie = _tie(row)
    if tie is not None and tie[0].is_closed_as(Kind.EXCLUDED):
        return _EXCLUDED, False
    if tie is not None and tie[1]:
        return _FORMER, False
    if db.session.get_one(Account, row.account_id, populate_existing=True).disabled_at is not None:
        return _DISABLED, False
    return (_ACCOUNT_OPENS if row.child_id is None else _TIE_OPENS), True


def _others(row: Closing) -> list[Closing]:
    """Return what else closes the access: the whole account, or the same tie."""
    holding = select(Closing).where(
        Closing.account_id == row.account_id, Closing.id != row.id, Closing.where_holding(now())
    )
    return [other for other in db.session.scalars(holding) if other.child_id in {None, row.child_id}]


def _tie(row: Closing) -> tuple[Guardianship, bool] | None:
    """Return the tie of a decision, and whether the files no longer name the person for the pupil."""
    chosen = select(Guardianship, ties.are_former()).join(Child, Child.id == Guardianship.child_id)
    of_decision = Guardianship.account_id == row.account_id, Guardianship.child_id == row.child_id
    tie = db.session.execute(chosen.where(*of_decision)).one_or_none()
    return (tie[0], bool(tie[1])) if tie else None
