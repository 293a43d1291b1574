"""Closings: who closed the access of an account, or its tie to one child, until when, and whether it is closed now.

A merge (`Merge`) is another way: it moves what an account has into the person's other account, and disables it. A
`RemovalWarning` precedes the removal of an account.

A decision is a row of `Closing`. One that nobody has ended closes the access until its own end. `shut_until` is the
last of these ends, as the row was read: `idp.families.closing` expires it when it writes a decision. New guardians of a
pupil to whom a decision closes an access wait for the head (`idp.rostering.reconcile.phases.links`).
"""

import enum
import uuid
from abc import abstractmethod
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ColumnElement,
    ForeignKey,
    Index,
    ScalarSelect,
    Select,
    String,
    and_,
    exists,
    func,
    literal_column,
    not_,
    or_,
    select,
    update,
)
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import InstrumentedAttribute, Mapped, mapped_column, relationship

from idp.clock import now
from idp.db import Base, UuidKey, db, only
from idp.personal import OWN, STAFF, held, left_out, shown

DECIDED, CONTESTED = "decided", "contested"


class Wait(enum.StrEnum):
    """Why an import closes a new tie until the head has decided."""

    NEW_GUARDIAN = "new_guardian"
    """Another person's access to the same pupil is closed."""
    RECOGNISED = "recognised"
    """The person has the names of a person whose access the school closed."""
    EXCLUDED = "excluded"
    """The school had confirmed that the person is not the pupil's guardian."""


class Closing(UuidKey, Base):
    """A decision that closes an account, or its tie to one child, from `begun_at` until `until`.

    `account_id` is NULL once the person was erased: the row then says only that new guardians of the child wait for the
    head. `school_id` is the school that decided; empty for the académie. `child_id` is empty for the whole account.
    `until` is empty if nobody said when it ends. `ended_at` is when somebody reopened the access, or when a longer
    closing of the same school took its place. `reference` names the document that the decision rests on.
    `sessions_ended` is how many sessions it ended.

    `kind` says what closes. DECIDED: a person decided. CONTESTED: a mailbox, the former address `email`, says that a
    change of address was not asked for (`idp.accounts.disputes`); `email` is empty if two claim the account. A `Wait`:
    an import closed the tie of a new guardian until the head decides.
    """

    __tablename__ = "closing"
    __table_args__ = (Index("ix_closing_open", "account_id", "child_id", **only("ended_at IS NULL")),)

    # not None in the type: who reads the decisions about people joins or names their accounts
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("account.id"), nullable=True, index=True, info=OWN)
    child_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("child.id"), index=True, info=shown("Enfant"))
    school_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("school.id"), index=True, info=shown("Établissement")
    )
    reason: Mapped[str] = mapped_column(
        String(500), info=held("motif de l’établissement, qui peut parler d’autres personnes")
    )
    reference: Mapped[str] = mapped_column(
        String(200), default="", info=held("document de l’établissement, qui peut parler d’autres personnes")
    )
    begun_at: Mapped[datetime] = mapped_column(default=now, info=shown("Début"))
    until: Mapped[datetime | None] = mapped_column(info=shown("Jusqu’au"))
    begun_by: Mapped[str] = mapped_column(String(80), info=STAFF)
    ended_at: Mapped[datetime | None] = mapped_column(info=shown("Rouvert le"))
    sessions_ended: Mapped[int] = mapped_column(default=0, info=shown("Connexions terminées"))
    ended_by: Mapped[str] = mapped_column(String(80), default="", info=STAFF)
    end_reason: Mapped[str] = mapped_column(
        String(500), default="", info=held("motif de la réouverture, qui peut parler d’autres personnes")
    )
    kind: Mapped[str] = mapped_column(
        String(20), default=DECIDED, info=held("pourquoi l’accès est fermé, ce qui peut parler d’autres personnes")
    )
    email: Mapped[str | None] = mapped_column(
        String(254),
        info=held("ancienne adresse mail d’un changement contesté, qui peut être celle d’une autre personne"),
    )

    @hybrid_property
    def is_decision(self) -> bool:
        """Whether a person decided."""
        return self.kind == DECIDED

    @is_decision.inplace.expression
    @classmethod
    def _is_decision(cls) -> ColumnElement[bool]:
        return cls.kind == literal_column(f"'{DECIDED}'")  # some conditions become text without parameters

    @hybrid_property
    def awaits_head(self) -> bool:
        """Whether nobody has decided yet: a new guardian waits for the head."""
        return self.kind not in {DECIDED, CONTESTED}

    @awaits_head.inplace.expression
    @classmethod
    def _awaits_head(cls) -> ColumnElement[bool]:
        return cls.kind.not_in((DECIDED, CONTESTED))

    def holds_at(self, moment: datetime) -> bool:
        """Return whether the decision holds at `moment`: nobody ended it, and its end is not reached."""
        return self.ended_at is None and (self.until is None or self.until > moment)

    @classmethod
    def _where_holding(cls, moment: datetime) -> ColumnElement[bool]:
        return and_(cls.ended_at.is_(None), or_(cls.until.is_(None), cls.until > moment))

    @classmethod
    def where_holding(cls, moment: datetime) -> ColumnElement[bool]:
        """Return the condition of the decisions and waits that hold at `moment` (`holds_at`)."""
        return and_(cls._where_holding(moment), cls.kind != CONTESTED)

    @classmethod
    def where_decided(cls, moment: datetime) -> ColumnElement[bool]:
        """Return the condition of the rows that hold because a person decided so."""
        return and_(cls._where_holding(moment), cls.is_decision)

    @classmethod
    def where_waiting(cls, moment: datetime) -> ColumnElement[bool]:
        """Return the condition of the rows that hold until the head has decided."""
        return and_(cls._where_holding(moment), cls.awaits_head)


class Merge(Base):
    """The merge of an account, which it disabled, into the account `into` of the same person.

    `children`, `roster_key` and `aliases` are what moved there, so that a school can separate the two again.
    """

    __tablename__ = "account_merge"
    __table_args__ = ({"info": left_out("a copy of what is exported")},)

    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("account.id"), primary_key=True)
    into_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("account.id"), index=True)
    children: Mapped[list[str]] = mapped_column(default=list)
    roster_key: Mapped[str | None] = mapped_column(String(80))
    aliases: Mapped[list[str]] = mapped_column(default=list)
    into: Mapped[Any] = relationship("Account", foreign_keys=[into_id])


class RemovalWarning(Base):
    """The mail that said that an unused account will be removed (`standing_warning`)."""

    __tablename__ = "removal_warning"

    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("account.id"), primary_key=True, info=OWN)
    warned_at: Mapped[datetime] = mapped_column(default=now, info=shown("Prévenu de la suppression le"))


FOREVER = datetime(9999, 12, 31, tzinfo=UTC)
"""The end of a closing without an end."""


def is_running(shut_until: datetime | None, moment: datetime) -> bool:
    """Return whether a closing until `shut_until` holds at `moment`. The end is not part of the closing."""
    return shut_until is not None and shut_until > moment


def last_end(*closed: ColumnElement[bool]) -> Select[datetime | None]:
    """Return the query of the last end of the open rows that meet the conditions `closed`: NULL if there are none."""
    ends = select(func.max(func.coalesce(Closing.until, FOREVER, type_=Closing.until.type)))
    return ends.where(Closing.ended_at.is_(None), *closed).correlate_except(Closing)


def open_contest(account: InstrumentedAttribute[uuid.UUID], column: InstrumentedAttribute[Any]) -> ScalarSelect[Any]:
    """Return a column of the open contest of an account's address; NULL if there is none."""
    is_open = Closing.account_id == account, Closing.child_id.is_(None), Closing.ended_at.is_(None)
    return (
        select(column).where(*is_open, Closing.kind == CONTESTED).limit(1).correlate_except(Closing).scalar_subquery()
    )


def standing_warning(account: Any) -> ScalarSelect[datetime]:
    """Return when an account was warned of its removal; NULL if it was used, or got a new letter, since."""
    since = RemovalWarning.warned_at
    standing = select(RemovalWarning.warned_at).where(
        RemovalWarning.account_id == account.id,
        account.activated_at < since,
        or_(account.last_sign_in_at.is_(None), account.last_sign_in_at < since),
    )
    return standing.correlate_except(RemovalWarning).scalar_subquery()


class Closable:
    """An account or a tie that can be closed."""

    if TYPE_CHECKING:  # a property of a query, which `idp.accounts.models` defines
        shut_until: Mapped[datetime | None]

    def is_shut_at(self, moment: datetime) -> bool:
        """Return whether the row is closed at `moment`."""
        return is_running(self.shut_until, moment)

    @property
    def announced_end(self) -> datetime | None:
        """The last end of what closes the row; None if nobody said when it ends."""
        return None if self.shut_until == FOREVER else self.shut_until

    @classmethod
    @abstractmethod
    def closed_by(cls, key: Any = None) -> ColumnElement[bool]:
        """Return the condition of the rows of `Closing` about this row; `key` stands for an account's id."""

    @classmethod
    def where_shut(cls, moment: Any, key: Any = None) -> ColumnElement[bool]:
        """Return `is_shut_at` as a condition."""
        running = or_(Closing.until.is_(None), Closing.until > moment)
        return exists().where(cls.closed_by(key), Closing.ended_at.is_(None), running).correlate_except(Closing)


class ClosableAccount(Closable):
    """The states of an account in which nobody may use it, except disputes (`idp.accounts.disputes`).

    `contested_at` is when a mailbox contested a change of address that is not settled, `contested_email` the address
    before that change, or empty if two claim the account. `inactive_warned_at` is the `standing_warning`.
    """

    if TYPE_CHECKING:  # properties of a query, as `shut_until`
        contested_at: Mapped[datetime | None]
        contested_email: Mapped[str | None]
        inactive_warned_at: Mapped[datetime | None]
    id: Mapped[uuid.UUID]
    disabled_at: Mapped[datetime | None]

    @classmethod
    def closed_by(cls, key: Any = None) -> ColumnElement[bool]:
        """Return the condition of the decisions about the whole account."""
        of_account = Closing.account_id == (cls.id if key is None else key)
        return and_(of_account, Closing.child_id.is_(None), Closing.is_decision)

    def is_enabled_at(self, moment: datetime) -> bool:
        """Return whether the account is neither disabled nor closed at `moment`."""
        return self.disabled_at is None and not self.is_shut_at(moment)

    @classmethod
    def where_enabled(cls, moment: Any, key: Any = None) -> ColumnElement[bool]:
        """Return the same as a condition; `key` is the account's id in a statement that is made as text."""
        return and_(cls.disabled_at.is_(None), not_(cls.where_shut(moment, key)))


class ClosableTie(Closable):
    """The state of a tie that a decision, or a wait for the head, closes."""

    account_id: Mapped[uuid.UUID]
    child_id: Mapped[uuid.UUID]

    @classmethod
    def closed_by(cls, _key: Any = None) -> ColumnElement[bool]:
        """Return the condition of the decisions about the tie, and of its wait for the head."""
        return and_(Closing.account_id == cls.account_id, Closing.child_id == cls.child_id)


_Key = InstrumentedAttribute[uuid.UUID]


def waits_of(account_id: uuid.UUID, school_id: uuid.UUID, moment: datetime) -> Sequence[Closing]:
    """Return the rows that keep a new guardian from pupils of a school until its head has decided."""
    rows = select(Closing).where(
        Closing.account_id == account_id, Closing.school_id == school_id, Closing.where_waiting(moment)
    )
    return db.session.scalars(rows.execution_options(populate_existing=True)).all()


def only_waits(account: _Key, child: _Key, moment: datetime) -> ColumnElement[bool]:
    """Return the condition that a tie waits for the head and no decision closes it, for a statement about ties."""
    same = Closing.account_id == account, Closing.child_id == child
    waits = exists().where(*same, Closing.where_waiting(moment)).correlate_except(Closing)
    return waits & ~exists().where(*same, Closing.where_decided(moment)).correlate_except(Closing)


def end_waits(account_id: uuid.UUID, *, by: str, reason: str, moment: datetime) -> Sequence[uuid.UUID | None]:
    """End the rows that wait of an account, in the caller's transaction, which removes the ties; return the pupils."""
    ended = (
        update(Closing)
        .where(Closing.account_id == account_id, Closing.where_waiting(moment))
        .values(ended_at=moment, ended_by=by, end_reason=reason)
        .returning(Closing.child_id)
    )
    return db.session.scalars(ended.execution_options(synchronize_session=False)).all()
