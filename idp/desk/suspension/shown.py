"""What the pages of a suspension show: what could be suspended and what would end, what is suspended and until when."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from flask_babel import gettext
from sqlalchemy import select

from idp.accounts import directory
from idp.accounts.models import Account, Child, Guardianship, School
from idp.accounts.suspensions.models import Suspension
from idp.clients import audience, registry
from idp.clock import is_end_of_day, last_day, now
from idp.db import db
from idp.desk import access
from idp.desk.access import Right
from idp.desk.naming import pupil
from idp.desk.staff import actors
from idp.desk.suspension.forms import ACCOUNT
from idp.operations.helpdesk import suspension
from idp.sessions import manager


@dataclass(frozen=True)
class Choice:
    """Something that can be suspended: its value in the form, its name, and what ends."""

    value: str
    title: str
    sentence: str


@dataclass(frozen=True)
class Shown:
    """A suspension.

    Attributes:
        row: the decision.
        about: what it closes.
        by: who decided, by name or by place; empty if the decision is another school's.
        is_own: whether the post decides about such a decision, and so reads its reason.
        holds: whether it holds now.
        may_reopen: whether the person may reopen it.
    """

    row: Suspension
    about: str
    by: str
    is_own: bool
    holds: bool
    may_reopen: bool

    @property
    def last_day(self) -> date | None:
        """The last day of a suspension that ends at midnight; None if it ends at another hour, or has no end."""
        until = self.row.until
        return last_day(until) if until is not None and is_end_of_day(until) else None


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
    chosen = [Choice(ACCOUNT, gettext("Tout le compte"), _ends_with_account(account))]
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


def _ends_with_account(account: Account) -> str:
    sentences = [gettext("Plus aucune connexion, ni ici ni dans un ENT."), _sessions(account)]
    if account.email is not None and account.contested_at is None:
        sentences.append(gettext("Un mail prévient la personne, sans le motif."))
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
    if lost:
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


def is_in_scope(row: Suspension) -> bool:
    """Return whether the post may read a decision: its own school's, the académie's, or all of them."""
    school = access.post().school
    return school is None or row.school_id == school.id or (row.school_id is None and row.child_id is None)


def decisions(account: Account) -> list[Shown]:
    """Return the decisions about an account that the post may read, the youngest first.

    The decision of another school about the whole account is named without its reason, because it holds here too.
    """
    moment = now()
    rows = [
        row
        for row in suspension.of_account(account.id)
        if is_in_scope(row) or (row.child_id is None and row.holds_at(moment))
    ]
    return [as_shown(row) for row in rows]


def as_shown(row: Suspension) -> Shown:
    """Return a decision as the post may read it."""
    holds, ours = row.holds_at(now()), is_in_scope(row)
    child = db.session.get(Child, row.child_id) if row.child_id else None
    about = pupil(child) if child else gettext("Tout le compte")
    is_own = ours and (row.school_id is None or access.post().school is not None)
    return Shown(row, about, _by(row) if ours else "", is_own, holds, holds and ours and access.may(Right.REOPEN))


def _by(row: Suspension) -> str:
    """Return who decided: the person's name for colleagues of the same school, else the school or the académie."""
    name = actors.name(row.begun_by)
    if access.post().school is not None and row.school_id is not None and name:
        return name
    school = db.session.get(School, row.school_id) if row.school_id else None
    return school.name if school else gettext("l’assistance de l’académie")


def ents_closed(account: Account) -> Sequence[str]:
    """Return the names of the ENTs of the scope's pupils that may not know the person now."""
    uais = {tie.child.school.uai for tie in ties(account)}
    return [ent.name for ent in registry.all_serving(uais) if not audience.may_know(ent.key, account.id)]
