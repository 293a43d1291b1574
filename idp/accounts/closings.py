"""Closings: who closed the access of an account, or its tie to one child, until when, and whether it is closed now.

Whatever closes an access is an open row of `Closing`, of one of these kinds:

- DECIDED: a person of a school or of the académie decided so. `shut_until` is the last end of these decisions, as the
  row was read: `idp.families.closing` expires it when it writes one.
- DISPUTED: the person says not to be the guardian of the child. The account is closed too, until the school settles it
  or a file ends the tie; no letter is printed.
- EXCLUDED: the school confirmed that, and ended the tie. Only its head restores it.
- CONTESTED: a former mailbox says that a change of address was not asked for. No mail recovers the account. It is
  closed, unless its own password may still open it (`idp.email_confirmation.contest`). A new letter can be printed, and
  ends the contest when it is used.
- a `Wait`: the tie of a new or returning guardian waits for the head (`idp.rostering.reconcile.phases.links`).

A merge (`idp.accounts.models.Merge`) is another way: it moves what an account has into the person's other account, and
disables it.
"""

import enum
import uuid
from abc import abstractmethod
from collections.abc import Collection
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
    case,
    column,
    exists,
    func,
    literal_column,
    not_,
    null,
    or_,
    select,
    table,
    type_coerce,
)
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import InstrumentedAttribute, Mapped, mapped_column

from idp.clock import now
from idp.db import Base, UuidKey, only
from idp.personal import OWN, STAFF, held, shown


class Kind(enum.StrEnum):
    """What closes an access, except a `Wait`."""

    DECIDED = "decided"
    DISPUTED = "disputed"
    EXCLUDED = "excluded"
    CONTESTED = "contested"


class Wait(enum.StrEnum):
    """Why an import closes a new tie until the head has decided."""

    NEW_GUARDIAN = "new_guardian"
    """Another person's access to the same pupil is closed."""
    RECOGNISED = "recognised"
    """The person has the names of a person whose access the school closed."""
    RETURNED = "returned"
    """The school had closed the access, or excluded the person, before a file ended the tie or changed it."""


class Closing(UuidKey, Base):
    """A decision that closes an account, or its tie to one child, from `begun_at` until `until`.

    `account_id` is NULL once the person was erased: the row then says only that new guardians of the child wait for the
    head. `school_id` is the school that decided; empty for the académie. `child_id` is empty for the whole account.
    `until` is empty if nobody said when it ends. `ended_at` is when somebody reopened the access, or when a longer
    closing of the same school took its place. `reference` names the document that the decision rests on.
    `sessions_ended` is how many sessions it ended.

    `kind` is a `Kind` or a `Wait`. Of a contest, `email` is the address before the change; it is empty if two claim the
    account.
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
        String(20),
        default=Kind.DECIDED.value,
        info=held("pourquoi l’accès est fermé, ce qui peut parler d’autres personnes"),
    )
    email: Mapped[str | None] = mapped_column(
        String(254),
        info=held("ancienne adresse mail d’un changement contesté, qui peut être celle d’une autre personne"),
    )

    @hybrid_property
    def is_decision(self) -> bool:
        """Whether a person decided."""
        return self.kind == Kind.DECIDED.value

    @is_decision.inplace.expression
    @classmethod
    def _is_decision(cls) -> ColumnElement[bool]:
        return cls.kind == literal_column(f"'{Kind.DECIDED.value}'")  # some conditions become text without parameters

    @hybrid_property
    def awaits_head(self) -> bool:
        """Whether nobody has decided yet: a new guardian waits for the head."""
        return self.kind in set(Wait)

    @awaits_head.inplace.expression
    @classmethod
    def _awaits_head(cls) -> ColumnElement[bool]:
        return cls.kind.in_([wait.value for wait in Wait])

    def holds_at(self, moment: datetime) -> bool:
        """Return whether the decision holds at `moment`: nobody ended it, and its end is not reached."""
        return self.ended_at is None and (self.until is None or self.until > moment)

    @classmethod
    def where_in_force(cls, moment: Any) -> ColumnElement[bool]:
        """Return `holds_at` as a condition."""
        return and_(cls.ended_at.is_(None), or_(cls.until.is_(None), cls.until > moment))

    @classmethod
    def where_holding(cls, moment: datetime) -> ColumnElement[bool]:
        """Return the condition of the decisions and waits in force: what `idp.families.closing.reopen` ends."""
        return or_(cls.where_decided(moment), cls.where_waiting(moment))

    @classmethod
    def where_decided(cls, moment: datetime) -> ColumnElement[bool]:
        """Return the condition of the rows that hold because a person decided so."""
        return and_(cls.where_in_force(moment), cls.is_decision)

    @classmethod
    def where_waiting(cls, moment: datetime) -> ColumnElement[bool]:
        """Return the condition of the rows that hold until the head has decided; of an ended tie, nobody is asked."""
        return and_(cls.where_in_force(moment), cls.awaits_head, _is_of_unended_tie())


FOREVER = datetime(9999, 12, 31, tzinfo=UTC)
"""The end of a closing without an end."""


def is_running(shut_until: datetime | None, moment: datetime) -> bool:
    """Return whether a closing until `shut_until` holds at `moment`. The end is not part of the closing."""
    return shut_until is not None and shut_until > moment


def last_end(*closed: ColumnElement[bool]) -> Select[datetime | None]:
    """Return the query of the last end of the open rows that meet the conditions `closed`: NULL if there are none."""
    ends = select(func.max(func.coalesce(Closing.until, FOREVER, type_=Closing.until.type)))
    return ends.where(Closing.ended_at.is_(None), *closed).correlate_except(Closing)


# `idp.accounts.models` imports this module. A dispute about an ended tie closes no account.
_ties = table("guardianship", column("account_id"), column("child_id"), column("ended_at"))


def _is_of_unended_tie() -> ColumnElement[bool]:
    tie = (_ties.c.account_id == Closing.account_id) & (_ties.c.child_id == Closing.child_id)
    # a scalar query, which reads one row by the primary key: an EXISTS may be computed for the whole table
    return select(_ties.c.ended_at.is_(None)).where(tie).correlate(Closing).scalar_subquery()


def _in_dispute(account: Any, kinds: Collection[Kind]) -> ColumnElement[bool]:
    """Return the condition of the open rows about an account's address, or about a tie of it that has not ended."""
    return and_(
        Closing.account_id == account,
        Closing.ended_at.is_(None),
        Closing.kind.in_([literal_column(f"'{kind.value}'") for kind in kinds]),
        or_(Closing.child_id.is_(None), _is_of_unended_tie()),
    )


def kinds_of_disputes(account: Any) -> ScalarSelect[Any]:
    """Return what is in dispute about an account: DISPUTED, CONTESTED, both with a comma, or an empty text."""
    kinds = func.coalesce(func.string_agg(Closing.kind.distinct(), literal_column("','")), literal_column("''"))
    rows = select(type_coerce(kinds, String)).where(_in_dispute(account, (Kind.DISPUTED, Kind.CONTESTED)))
    return rows.correlate_except(Closing).scalar_subquery()


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
        return exists().where(cls.closed_by(key), Closing.where_in_force(moment)).correlate_except(Closing)


class Disputed:
    """An account, or what a statement read of it, with its open disputes (`kinds_of_disputes`)."""

    if TYPE_CHECKING:  # of a row, a property of its query, as `shut_until`
        id: Any
        disputes: Any
        activated_at: Any
        has_blocked_password: Any

    @hybrid_property
    def has_disputed_tie(self) -> bool:
        """Whether a tie that has not ended is disputed: no letter is printed, and no secret is accepted."""
        return Kind.DISPUTED in self.disputes

    @has_disputed_tie.inplace.expression
    @classmethod
    def _has_disputed_tie(cls) -> ColumnElement[bool]:
        return exists().where(_in_dispute(cls.id, (Kind.DISPUTED,))).correlate_except(Closing)

    @hybrid_property
    def has_contested_email(self) -> bool:
        """Whether the address is contested: no mail recovers the account, and the address does not change."""
        return Kind.CONTESTED in self.disputes

    @has_contested_email.inplace.expression
    @classmethod
    def _has_contested_email(cls) -> ColumnElement[bool]:
        return exists().where(_in_dispute(cls.id, (Kind.CONTESTED,))).correlate_except(Closing)

    @hybrid_property
    def is_barred(self) -> bool:
        """Whether a dispute closes the account: neither its own password nor its mailbox gives access.

        The caller has locked the account's row, or checks again after locking it.
        """
        has_password = self.activated_at is not None and not self.has_blocked_password
        return self.has_disputed_tie or (self.has_contested_email and not has_password)

    @is_barred.inplace.expression
    @classmethod
    def _is_barred(cls) -> ColumnElement[bool]:
        no_password = or_(cls.has_blocked_password, cls.activated_at.is_(None))
        return or_(cls.has_disputed_tie, and_(cls.has_contested_email, no_password))


class ClosableAccount(Closable, Disputed):
    """The states of an account in which nobody may use it.

    `inactive_warned_at`: see `RemovalWarning`.
    """

    if TYPE_CHECKING:  # properties of a query, as `shut_until`
        inactive_warned_at: Mapped[datetime | None]
        email: Mapped[str | None]
    id: Mapped[uuid.UUID]
    disabled_at: Mapped[datetime | None]

    @hybrid_property
    def usable_email(self) -> str | None:
        """Return the confirmed address, unless it is contested."""
        return None if self.has_contested_email else self.email

    @usable_email.inplace.expression
    @classmethod
    def _usable_email(cls) -> ColumnElement[str | None]:
        return case((cls.has_contested_email, null()), else_=cls.email)

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
    """The state of a tie. `closings` are its open rows."""

    account_id: Mapped[uuid.UUID]
    child_id: Mapped[uuid.UUID]
    ended_at: Mapped[datetime | None]
    if TYPE_CHECKING:  # a relationship, and a property of a query, which `idp.accounts.models` defines
        closings: Mapped[list[Closing]]
        closed_until: Mapped[datetime | None]

    @hybrid_property
    def is_unended(self) -> bool:
        """Whether neither a file nor a school has ended the tie. It may be closed."""
        return self.ended_at is None

    @is_unended.inplace.expression
    @classmethod
    def _is_unended(cls) -> ColumnElement[bool]:
        return cls.ended_at.is_(None)

    def holds_at(self, moment: datetime) -> bool:
        """Return whether the tie is unended, and nothing closes it at `moment`."""
        return self.is_unended and not is_running(self.closed_until, moment)

    @classmethod
    def where_holds(cls, moment: Any) -> ColumnElement[bool]:
        """Return the same as a condition."""
        return and_(cls.is_unended, ~cls.where_closed(moment))

    @classmethod
    def where_closed(cls, moment: Any) -> ColumnElement[bool]:
        """Return the condition that a row closes the tie at `moment`, or would if the tie had not ended."""
        return exists().where(cls.has_row(), Closing.where_in_force(moment)).correlate_except(Closing)

    def closed_as(self) -> frozenset[str]:
        """Return the kinds of the rows that close the tie now. A dispute about an ended tie closes nothing."""
        moment = now()
        kinds = {row.kind for row in self.closings if row.holds_at(moment)}
        return frozenset(kinds if self.ended_at is None else kinds - {Kind.DISPUTED})

    def is_closed_as(self, kind: Kind | Wait) -> bool:
        """Return whether a row of this kind closes the tie, or would if the tie had not ended."""
        return any(row.kind == kind for row in self.closings)

    @classmethod
    def where_closed_as(cls, kind: Kind | Wait) -> ColumnElement[bool]:
        """Return the same as a condition."""
        open_row = exists().where(cls.has_row(), Closing.ended_at.is_(None), Closing.kind == kind.value)
        return open_row.correlate_except(Closing)

    @classmethod
    def has_row(cls) -> ColumnElement[bool]:
        """Return the condition of the rows about the tie."""
        return and_(Closing.account_id == cls.account_id, Closing.child_id == cls.child_id)

    @classmethod
    def closed_by(cls, _key: Any = None) -> ColumnElement[bool]:
        """Return the condition of the decisions about the tie, and of its wait for the head."""
        return and_(cls.has_row(), or_(Closing.is_decision, Closing.awaits_head))


_Key = InstrumentedAttribute[uuid.UUID]


def only_waits(account: _Key, child: _Key, moment: datetime) -> ColumnElement[bool]:
    """Return the condition that a tie waits for the head and nothing else closes it, for a statement about ties."""
    rows = exists().where(Closing.account_id == account, Closing.child_id == child, Closing.where_in_force(moment))
    waits, others = (rows.where(so).correlate_except(Closing) for so in (Closing.awaits_head, ~Closing.awaits_head))
    return waits & ~others


STATES = ("shut_until", "disputes")
"""The properties of an account that are read from its closings."""
