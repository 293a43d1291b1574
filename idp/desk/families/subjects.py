"""Reads what the pages show about an account: its state, the next step, the notices, the last events."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import current_app, url_for
from flask_babel import lazy_gettext as _l
from sqlalchemy import func, or_, select

from idp.accounts import school_notices
from idp.accounts.models import Account, Child, Guardianship, SchoolNotice
from idp.accounts.school_notices import Kind
from idp.audit.models import AuditEntry
from idp.audit.twins import without_twins
from idp.clients import registry
from idp.clients.registry import Registration
from idp.clock import now
from idp.db import db
from idp.desk import access, suspended, ties, words
from idp.desk.access import Right
from idp.desk.families import actions
from idp.desk.families.actions import Offered, Subject
from idp.desk.notices.words import WORDS
from idp.desk.suspended import Shown
from idp.desk.words import Words
from idp.operations.helpdesk.standing import Standing, standings
from idp.throttle import guard, limits

_EVENTS = 10
_TIE = "tie"
"""Stands for a change that is about one tie, and not about the whole account."""

EVENTS: Mapping[tuple[str, str], Any] = {
    ("letter.drawn", ""): _l("Courrier préparé"),
    ("letter.reissued", ""): _l("Nouveau courrier préparé"),
    ("letter.linked", ""): _l("Autre courrier ajouté au compte"),
    ("activation.completed", ""): _l("Compte activé : mot de passe choisi"),
    ("activation.reported", ""): _l("L’adresse mail du fichier répond : « Ce n’est pas moi »"),
    ("email.link_sent", ""): _l("Mail de confirmation envoyé"),
    ("email.confirmed", ""): _l("Adresse mail confirmée"),
    ("email.change_asked", ""): _l("Changement d’adresse mail demandé"),
    ("email.change_cancelled", ""): _l("Changement d’adresse mail annulé"),
    ("email.change_contested", ""): _l("« Ce n’était pas moi » : changement d’adresse arrêté"),
    ("sign_in", "ok"): _l("Connexion réussie"),
    ("sign_in", "refused"): _l("Connexion refusée"),
    ("sign_in", "throttled"): _l("Trop d’essais : connexion à attendre"),
    ("recovery.password", ""): _l("« Mot de passe oublié » demandé"),
    ("password.reset", ""): _l("Nouveau mot de passe choisi par le lien d’un mail"),
    ("password.changed", ""): _l("Mot de passe changé"),
    ("password.breached", ""): _l("Mot de passe trouvé dans une liste volée"),
    ("guardianship.disputed", ""): _l("« Je ne suis pas le représentant légal »"),
    ("dispute.settled", ""): _l("Signalement réglé"),
    ("account.renamed", ""): _l("Nom corrigé"),
    ("account.suspended", ""): _l("Accès suspendu"),
    ("account.suspended", _TIE): _l("Lien avec un élève suspendu"),
    ("account.reopened", ""): _l("Accès rouvert"),
    ("account.reopened", _TIE): _l("Lien avec un élève rouvert"),
    ("account.rectification_asked", ""): _l("Correction demandée"),
    ("school.notice_settled", ""): _l("Signalement réglé"),
    ("account.changed", "unlocked"): _l("Compte débloqué"),
    ("account.changed", "disabled"): _l("Compte fermé"),
    ("account.changed", "enabled"): _l("Compte rouvert"),
    ("account.changed", "left"): _l("Compte fermé : plus d’enfant inscrit"),
    ("account.changed", "returned"): _l("Compte rouvert : enfant inscrit"),
    ("account.changed", "password_blocked"): _l("Mot de passe bloqué"),
}
"""The events that a colleague needs, by kind and by result or change; neither the device nor the ENT is shown."""
_KINDS = frozenset(kind for kind, _ in EVENTS)


@dataclass(frozen=True)
class DatedLine:
    """An event of the account, or an open notice about it; `url` is the notice's page, if the post may read it."""

    at: datetime
    text: Any
    url: str = ""


@dataclass(frozen=True)
class GuardianView:
    """An account as the pages show it."""

    subject: Subject
    words: Words
    actions: list[Offered]
    suspensions: list[Shown]
    """The decisions that close the whole account."""

    @property
    def account(self) -> Account:
        """The account."""
        return self.subject.account

    @property
    def next_action(self) -> Offered | None:
        """The action that comes next, if the post may use it."""
        key = "unlock" if self.is_waiting else self.words.step
        return next((action for action in self.actions if action.key == key), None)

    @property
    def actions_in_order(self) -> list[Offered]:
        """The actions, the next one first."""
        return sorted(self.actions, key=lambda action: action != self.next_action)

    @property
    def is_waiting(self) -> bool:
        """Whether wrong passwords make the next sign-in wait, and nothing more urgent holds."""
        return self.subject.wait_seconds > 0 and self.subject.is_open

    @property
    def wait_minutes(self) -> int:
        """The wait, in begun minutes."""
        return -(-self.subject.wait_seconds // 60)

    @property
    def letter_until(self) -> datetime | None:
        """The end of the letter that was not used yet; None if there is none that works."""
        holds = not {Standing.LETTER_VALID, Standing.NEW_LETTER_VALID}.isdisjoint(self.subject.holding)
        return self.account.provisional_expires_at if holds else None

    @property
    def further(self) -> list[Words]:
        """The words of what holds too, but is less urgent."""
        main = {self.subject.standing, Standing.ACTIVE}
        return [words.OF[standing] for standing in self.subject.holding if standing not in main]


@dataclass(frozen=True)
class TieView:
    """A tie of an account to a pupil as the pages show it: is it suspended, disputed, or ended by the school?"""

    child: Child
    account: Account
    is_suspended: bool
    is_excluded: bool
    is_disputed: bool
    suspension: Shown | None
    """The decision that suspends the tie; of several, the youngest."""

    @property
    def is_open(self) -> bool:
        """Whether the pupil is there, and the tie is neither suspended nor ended by the school."""
        return not self.is_suspended and not self.is_excluded and self.child.left_at is None

    @classmethod
    def of(cls, tie: Guardianship, decisions: Sequence[Shown]) -> "TieView":
        """Return the view of a tie, given the decisions about its account."""
        holding = (item for item in decisions if item.holds and item.row.child_id == tie.child_id)
        youngest = next(holding, None)
        return cls(tie.child, tie.account, tie.is_suspended_at(now()), tie.is_excluded, tie.is_disputed, youngest)


def view(account: Account, decisions: Sequence[Shown]) -> GuardianView:
    """Return an account with its words, the decisions that suspend it, and the actions that the post may use."""
    waits = guard.remaining_wait(limits.SIGN_IN_ACCOUNT, account.username)
    counted = select(func.count()).select_from(SchoolNotice).where(SchoolNotice.id.in_(_open_notices(account)))
    subject = Subject(account, standings(account), waits, db.session.scalar(counted) or 0)
    closing = [item for item in decisions if item.holds and not item.is_tie]
    return GuardianView(subject, words.OF[subject.standing], actions.offered(subject), closing)


def guardians(child: Child) -> list[tuple[GuardianView, TieView]]:
    """Return the guardians of a pupil whose ties are shown, in the order of their authority and names."""
    rows = db.session.execute(
        select(Account, Guardianship)
        .join(Guardianship, Guardianship.account_id == Account.id)
        .join(Child, Child.id == Guardianship.child_id)
        .where(Child.id == child.id, ties.are_shown())
        .order_by(Guardianship.authority, Account.family_name, Account.given_name)
    ).all()
    known = suspended.decisions([account.id for account, _ in rows])
    return [(view(account, known[account.id]), TieView.of(tie, known[account.id])) for account, tie in rows]


def children(account: Account, decisions: Sequence[Shown]) -> list[TieView]:
    """Return the ties of an account to pupils in the scope of the post; pupils of other schools are not named."""
    chosen = (
        select(Guardianship)
        .join(Child, Child.id == Guardianship.child_id)
        .where(Guardianship.account_id == account.id, access.children(), ties.are_shown())
        .order_by(Guardianship.rank, Child.given_name)
    )
    return [TieView.of(tie, decisions) for tie in db.session.scalars(chosen)]


def entrances(shown: Iterable[TieView]) -> list[Registration]:
    """Return the ENTs that lead to the sign-in: those of the pupils' schools with an address to type."""
    return [ent for ent in registry.all_serving({tie.child.school.uai for tie in shown if tie.is_open}) if ent.home_uri]


def notices(account: Account) -> list[DatedLine]:
    """Return the open notices about an account, to the schools in scope.

    The other account is not named here: a page of one guardian says nothing of another. The page of the notice does.
    """
    chosen = (
        select(SchoolNotice).where(SchoolNotice.id.in_(_open_notices(account))).order_by(SchoolNotice.created_at.desc())
    )
    rows = db.session.scalars(chosen)
    return [DatedLine(row.created_at, WORDS[Kind(row.kind)].title, _notice_url(row)) for row in rows]


def _notice_url(row: SchoolNotice) -> str:
    is_read = access.may(Right.READ_NOTICES) and "notices.detail" in current_app.view_functions
    return url_for("notices.detail", notice=row.id) if is_read else ""


def _open_notices(account: Account) -> Any:
    return select(SchoolNotice.id).where(
        or_(SchoolNotice.account_id == account.id, SchoolNotice.other_account_id == account.id),
        school_notices.is_open(),
        access.notices(),
    )


def events(account: Account) -> list[DatedLine]:
    """Return the last events of an account that a colleague needs, newest first, each once."""
    chosen = (
        select(AuditEntry)
        .where(AuditEntry.account_id == account.id, AuditEntry.kind.in_(_KINDS))
        .order_by(AuditEntry.at.desc(), AuditEntry.id.desc())
        .limit(2 * _EVENTS)
    )
    lines = [(entry.at, _text(entry)) for entry in without_twins(db.session.scalars(chosen))]
    return [DatedLine(at, text) for at, text in lines if text][:_EVENTS]


def _text(entry: AuditEntry) -> Any:
    about = _TIE if entry.details.get("child") else ""
    for key in (about, "", entry.result, entry.details.get("change", "")):
        if (entry.kind, key) in EVENTS:
            return EVENTS[entry.kind, key]
    return ""
