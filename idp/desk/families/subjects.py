"""What the pages show about an account: its state, ties, notices, the actions and the next step.

Each slice of the desk registers its actions. An action is a link to a page, or a button that posts a form. It is
offered on the account's page, and on the family's page if it is the next step of the state (`idp.desk.words`).
"""

import uuid
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from flask import url_for
from sqlalchemy import ColumnElement, func, or_, select, true
from sqlalchemy.orm import selectinload, undefer

from idp.accounts import school_notices
from idp.accounts.closings import Kind as ClosingKind
from idp.accounts.models import Account, Child, Guardianship, SchoolNotice
from idp.accounts.school_notices import Kind
from idp.audit.models import OK, AuditEntry
from idp.clock import now
from idp.db import db
from idp.desk import access, ties, uncollected_letters, words
from idp.desk.access import Right
from idp.desk.decisions import answers, closings
from idp.desk.decisions.closings import ClosingView
from idp.desk.decisions.words import WORDS
from idp.desk.naming import account_urls
from idp.desk.ties import CutOff
from idp.desk.words import Words
from idp.families import telephone
from idp.families.standing import Group, Standing, foremost, group_of, standings
from idp.operations.personal_data.words import in_words
from idp.passkeys import keys as passkeys
from idp.services import services
from idp.throttle import guard, limits


@dataclass(frozen=True)
class Subject:
    """An account as its actions see it: `holding` are its standings, `decisions` those that the post may read.

    `wait_seconds` is how long its next sign-in has to wait after wrong passwords. `open_notices` counts those that the
    post answers, or only reads. `has_tries`: wrong tries count, or a notice says that somebody guesses.
    """

    account: Account
    holding: Sequence[Standing]
    wait_seconds: int
    open_notices: int
    has_tries: bool
    decisions: Sequence[ClosingView]
    cut_off: CutOff | None
    has_passkeys: bool

    @property
    def standing(self) -> Standing:
        """The standing that decides what to do first."""
        return foremost(self.holding)

    @property
    def is_open(self) -> bool:
        """Whether the account is neither closed nor in dispute."""
        return group_of(self.holding) not in {Group.CLOSED, Group.DISPUTED}


@dataclass(frozen=True)
class Action:
    """Something that may be done for an account; `words.Words.step` names its key, and a smaller rank comes first."""

    key: str
    right: Right
    label: Any
    url: Callable[[Subject], str]
    is_offered: Callable[[Subject], bool]
    is_post: bool = False
    rank: int = 50


@dataclass(frozen=True)
class Offered:
    """An action for one account, ready to be shown."""

    key: str
    label: Any
    url: str
    is_post: bool


_actions: list[Action] = []
# The rights of the actions that are left for a replaced account: a school only reads it (`access.account_to_read`).
_OF_REPLACED = frozenset({Right.READ_NOTICES, Right.SERVE_RIGHTS})


def register(action: Action) -> None:
    """Add an action; a slice calls this when it is imported."""
    _actions.append(action)
    _actions.sort(key=lambda known: known.rank)


def offered(subject: Subject) -> list[Offered]:
    """Return the actions that the post may use and the state of the account allows, in their order."""
    return [
        Offered(action.key, action.label, action.url(subject), action.is_post)
        for action in _actions
        if access.may(action.right)
        and (subject.standing is not Standing.REPLACED or action.right in _OF_REPLACED)
        and action.is_offered(subject)
    ]


# The events of wrong tries. The counters of a person's browsers cannot be found by the account.
_TRIES = ("sign_in", "reauthenticated")
_UNLOCKED = frozenset(kind.value for kind in school_notices.SETTLED_BY_UNLOCK)


@dataclass(frozen=True)
class DatedLine:
    """An event of the account, or an open notice about it; `url` is the notice's page, if the post may read it."""

    at: datetime
    text: Any
    url: str = ""


@dataclass(frozen=True)
class GuardianView:
    """An account as the pages show it; `closings` close the whole account.

    `is_uncollected` says that nobody took the file of its letter, which is erased.
    """

    subject: Subject
    words: Words
    actions: list[Offered]
    closings: list[ClosingView]
    is_uncollected: bool

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
        return self.subject.wait_seconds > 0 and self.subject.is_open and self.subject.cut_off is None

    @property
    def letter_until(self) -> datetime | None:
        """The end of the letter that was not used yet; None if there is none that works, or none on paper."""
        holds = not {Standing.LETTER_VALID, Standing.NEW_LETTER_VALID}.isdisjoint(self.subject.holding)
        return self.account.provisional_expires_at if holds and not self.is_uncollected else None

    @property
    def further(self) -> list[Words]:
        """The words of what holds too, but is less urgent."""
        main = {self.subject.standing, Standing.ACTIVE}
        return [words.OF[standing] for standing in self.subject.holding if standing not in main]


@dataclass(frozen=True)
class TieView:
    """A tie of an account to a pupil as the pages show it.

    `closed_as` are the kinds of the rows that close the tie; `is_waiting` says that it only waits for the head.
    `is_former` says that the files no longer name the person for the pupil; `url` is then the page of the account, if
    the post may open it. `closing` is the decision that closes the tie, of several the youngest; `kinship` is what the
    file says. `call_url` leads to « Au téléphone : « Ce n’est pas mon enfant » », `restore_url` to « Rétablir le lien »
    of a tie that the school ended; both are empty if the post or the state does not allow it.
    """

    child: Child
    account: Account
    closed_as: frozenset[str]
    is_waiting: bool
    closing: ClosingView | None
    call_url: str
    restore_url: str
    kinship: str = ""
    is_former: bool = False
    url: str = ""

    @property
    def is_open(self) -> bool:
        """Whether the pupil is there, and the tie is neither closed nor ended by the school."""
        return self.child.left_at is None and self.closed_as <= {ClosingKind.DISPUTED}

    @property
    def say(self) -> Any:
        """What to say on the telephone on the pupil's page; empty if the words of the account hold."""
        if self.is_waiting:
            return words.CUT_OFF[CutOff.WAITS].say
        return words.CUT_OFF[CutOff.CLOSED].say if self.closed_as - {ClosingKind.DISPUTED} else ""

    @classmethod
    def of(cls, tie: Guardianship, decisions: Sequence[ClosingView], *, is_waiting: bool) -> "TieView":
        """Return the view of a tie, given the decisions about its account."""
        holding = (item for item in decisions if item.holds and item.row.child_id == tie.child_id)
        may_call = access.may(Right.SETTLE_NOTICES) and telephone.may_be_disputed(tie.account, tie)
        may_restore = access.may(Right.REOPEN) and tie.is_closed_as(ClosingKind.EXCLUDED) and tie.child.left_at is None
        return cls(
            tie.child,
            tie.account,
            tie.closed_as(),
            is_waiting,
            next(holding, None),
            url_for("decisions.call", account=tie.account_id, child=tie.child_id) if may_call else "",
            url_for("decisions.restore", account=tie.account_id, child=tie.child_id) if may_restore else "",
            in_words("guardianship", "kinship", tie.kinship) if tie.kinship else "",
        )


def views(
    accounts: Collection[Account], decisions: Mapping[uuid.UUID, Sequence[ClosingView]]
) -> dict[uuid.UUID, GuardianView]:
    """Return accounts with their words, the decisions that close them, and the actions that the post may use.

    As many statements run for many accounts as for one.
    """
    keys = [account.id for account in accounts]
    waits = guard.remaining_waits(limits.SIGN_IN_ACCOUNT, [account.username for account in accounts])
    cut_off = ties.cut_off_among(keys, access.children())
    open_notices = _notices(keys, school_notices.is_open())
    for_head = answers.for_head(open_notices)
    notices_of = Counter(
        key for row in open_notices if row.id not in for_head for key in {row.account_id, row.other_account_id}
    )
    tried = _with_wrong_tries(accounts) | {row.account_id for row in open_notices if row.kind in _UNLOCKED}
    with_passkeys = passkeys.holders(keys)
    unprinted = uncollected_letters.among(services().settings, keys)
    shown = {}
    for account in accounts:
        subject = Subject(
            account,
            standings(account),
            waits.get(account.username, 0),
            notices_of[account.id],
            account.id in tried or waits.get(account.username, 0) > 0,
            decisions[account.id],
            cut_off.get(account.id),
            account.id in with_passkeys,
        )
        closing = [item for item in subject.decisions if item.holds and not item.is_tie]
        is_uncollected = account.id in unprinted
        sentences = words.of(subject.standing, subject.cut_off, is_uncollected=is_uncollected)
        shown[account.id] = GuardianView(subject, sentences, offered(subject), closing, is_uncollected)
    return shown


def guardians(child: Child) -> list[tuple[GuardianView, TieView]]:
    """Return the guardians of a pupil whose ties are shown, in the order of their authority and names."""
    rows = db.session.execute(
        select(Account, Guardianship, ties.wait_for_head())
        .join(Guardianship, Guardianship.account_id == Account.id)
        .join(Child, Child.id == Guardianship.child_id)
        .where(Child.id == child.id, ties.are_shown())
        .order_by(Guardianship.authority, Account.family_name, Account.given_name)
        .options(undefer(Account.inactive_warned_at), selectinload(Account.merge))
        .options(selectinload(Account.guardianships).lazyload(Guardianship.child))
        .options(selectinload(Guardianship.closings))
    ).all()
    held = closings.of_accounts([account.id for account, _, _ in rows])
    shown = views([account for account, _, _ in rows], held)
    return [
        (shown[account.id], TieView.of(tie, held[account.id], is_waiting=is_waiting))
        for account, tie, is_waiting in rows
    ]


def former_guardians(child: Child) -> list[TieView]:
    """Return the ties of a pupil that a file ended and that a decision closes, in the order of names."""
    rows = db.session.scalars(
        select(Guardianship)
        .join(Account, Account.id == Guardianship.account_id)
        .join(Child, Child.id == Guardianship.child_id)
        .where(Child.id == child.id, ties.are_kept_out())
        .order_by(Account.family_name, Account.given_name)
        .options(selectinload(Guardianship.closings))
    ).all()
    keys = [tie.account_id for tie in rows]
    held, urls = closings.of_accounts(keys), account_urls(keys)
    views_of = (TieView.of(tie, held[tie.account_id], is_waiting=False) for tie in rows)
    return [replace(view, is_former=True, url=urls.get(view.account.id, "")) for view in views_of]


def children(account: Account, decisions: Sequence[ClosingView], *, with_former: bool) -> list[TieView]:
    """Return the ties of an account to pupils in the scope of the post; pupils of other schools are not named.

    `with_former`: also those of pupils for whom the files no longer name the person.
    """
    are_listed = true() if with_former else or_(ties.are_shown(), ties.are_kept_out())
    chosen = (
        select(Guardianship, ties.wait_for_head(), ties.are_former())
        .join(Child, Child.id == Guardianship.child_id)
        .where(Guardianship.account_id == account.id, access.children(), are_listed)
        .order_by(Guardianship.rank, Child.given_name)
        .options(selectinload(Guardianship.closings))
    )
    rows = db.session.execute(chosen)
    return [
        replace(TieView.of(tie, decisions, is_waiting=is_waiting), is_former=bool(is_former))
        for tie, is_waiting, is_former in rows
    ]


def notices(account: Account) -> list[DatedLine]:
    """Return the open notices about an account, and those about a letter that is added to it, to the schools in scope.

    The other account is not named here: a page of one guardian says nothing of another. The page of the notice does.
    """
    rows = _notices([account.id], or_(school_notices.is_open(), school_notices.is_added()))
    return [DatedLine(row.created_at, WORDS[Kind(row.kind)].title, _notice_url(row)) for row in rows]


def _notice_url(row: SchoolNotice) -> str:
    return url_for("decisions.notice", notice=row.id) if access.may(Right.READ_NOTICES) else ""


def _notices(accounts: Collection[uuid.UUID], state: ColumnElement[bool]) -> Sequence[SchoolNotice]:
    about = or_(SchoolNotice.account_id.in_(accounts), SchoolNotice.other_account_id.in_(accounts))
    chosen = select(SchoolNotice).where(about, state, access.notices())
    return db.session.scalars(chosen.order_by(SchoolNotice.created_at.desc())).all()


def _with_wrong_tries(accounts: Collection[Account]) -> set[uuid.UUID]:
    """Return which of some accounts have a wrong try since their last sign-in, not forgotten by an unlocking."""
    lasts = select(AuditEntry.account_id, func.max(AuditEntry.at)).where(
        AuditEntry.account_id.in_([account.id for account in accounts]),
        AuditEntry.kind.in_(_TRIES),
        AuditEntry.result != OK,
        AuditEntry.at > now() - limits.SIGN_IN_ACCOUNT.quiet,
    )
    last_try: dict[uuid.UUID | None, datetime] = dict(db.session.execute(lasts.group_by(AuditEntry.account_id)).all())
    return {
        account.id
        for account in accounts
        if account.id in last_try
        and max(account.last_sign_in_at or account.created_at, account.tries_counted_since) < last_try[account.id]
    }
