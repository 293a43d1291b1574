"""What the page of a suspension shows: what could be suspended, and what would end."""

from collections.abc import Sequence
from dataclasses import dataclass

from flask_babel import gettext
from sqlalchemy import select

from idp.accounts import directory
from idp.accounts.models import Account, Child, Guardianship
from idp.clients import audience, registry
from idp.db import db
from idp.desk import access
from idp.desk.naming import pupil
from idp.desk.suspension.forms import ACCOUNT
from idp.sessions import manager


@dataclass(frozen=True)
class Choice:
    """Something that can be suspended: its value in the form, its name, and what ends."""

    value: str
    title: str
    sentence: str


def ties(account: Account) -> list[Guardianship]:
    """Return the unended ties of an account to pupils in scope, suspended or not."""
    rows = db.session.scalars(
        select(Guardianship)
        .join(Child, Child.id == Guardianship.child_id)
        .where(Guardianship.account_id == account.id, Guardianship.is_unended, access.children())
        .order_by(Guardianship.rank, Child.id)
    )
    return list(rows)


def choices(account: Account) -> list[Choice]:
    """Return what the post may suspend: the whole account, and for a school each tie of its own."""
    mail = gettext("Un mail prévient la personne, sans le motif.")
    chosen = [Choice(ACCOUNT, gettext("Tout le compte"), ends_with_account(account, mail))]
    if access.post().school is None:
        return chosen
    return chosen + [
        Choice(
            tie.child_id.hex,
            gettext("Seulement %(child)s", child=pupil(tie.child)),
            _ends_with(account, tie.child),
        )
        for tie in ties(account)
    ]


def ends_with_account(account: Account, mail: str) -> str:
    """Return what ends if an account is closed; `mail` is the sentence about the mail if one is sent."""
    sentences = [gettext("Plus aucune connexion, ni ici ni dans un ENT."), _sessions(account)]
    if account.email is not None and account.contested_at is None:
        sentences.append(mail)
    if len(directory.schools_of_ties(account)) > 1:
        sentences.append(gettext("Le compte sert aussi dans un autre établissement : il y est fermé aussi."))
    return " ".join(sentences)


def _sessions(account: Account) -> str:
    count = len(manager.open_sessions(account))
    if count == 0:
        sentence = gettext("Aucun appareil n’est connecté en ce moment.")
    elif count == 1:
        sentence = gettext("Un appareil connecté est déconnecté tout de suite.")
    else:
        sentence = gettext("%(count)s appareils connectés sont déconnectés tout de suite.", count=count)
    return str(sentence)


def _ends_with(account: Account, child: Child) -> str:
    lost = [ent.name for ent in audience.lost_with(account, child)]
    if not account.has_been_active:
        sentence = gettext(
            "Le compte n’a jamais servi : aucun ENT n’a encore reçu cet élève pour la personne, et aucun ne le reçoit "
            "si elle l’active. Aucun mail ne part."
        )
    elif lost:
        sentence = gettext(
            "L’élève disparaît, et cet ENT se ferme pour la personne : %(ents)s. Le reste du compte marche. "
            "Aucun mail ne part.",
            ents=", ".join(lost),
        )
    else:
        sentence = gettext(
            "L’élève disparaît de ce que les ENT reçoivent. Le reste du compte marche. Aucun mail ne part."
        )
    return str(sentence)


def ents_closed(account: Account) -> Sequence[str]:
    """Return the names of the ENTs of the scope's pupils that may not know the person now."""
    uais = {tie.child.school.uai for tie in ties(account)}
    return [ent.name for ent in registry.all_serving(uais) if not audience.may_know(ent.key, account.id)]
