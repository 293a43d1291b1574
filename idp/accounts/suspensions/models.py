"""The table of suspensions: decisions, also those that are over."""

import enum
import uuid
from datetime import datetime

from sqlalchemy import ColumnElement, ForeignKey, Index, String, and_, or_
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, mapped_column

from idp.clock import now
from idp.db import Base, UuidKey, only
from idp.personal import OWN, STAFF, held, shown


class Wait(enum.StrEnum):
    """Why an import suspends a new tie until the head has decided."""

    NEW_GUARDIAN = "new_guardian"
    """Another person's access to the same pupil is suspended."""
    RECOGNISED = "recognised"
    """The person has the names of a person whose access the school closed."""
    EXCLUDED = "excluded"
    """The school had confirmed that the person is not the pupil's guardian."""


class Suspension(UuidKey, Base):
    """A decision that closes an account, or its tie to one child, from `begins_at` until `until`.

    `account_id` is NULL once the person was erased: the row then says only that new guardians of the child wait for the
    head. `school_id` is the school that decided; empty for the académie. `child_id` is empty for the whole account.
    `until` is empty if nobody said when it ends. `ended_at` is when somebody reopened the access, or when a longer
    suspension of the same school took its place. `reference` names the document that the decision rests on.
    `sessions_ended` is how many sessions it ended.

    `wait` is empty if a person decided. Otherwise an import suspended the tie of a new guardian until the head decides,
    and it is a `Wait`.
    """

    __tablename__ = "suspension"
    __table_args__ = (Index("ix_suspension_open", "account_id", "child_id", **only("ended_at IS NULL")),)

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
    begins_at: Mapped[datetime] = mapped_column(default=now, info=shown("Début"))
    until: Mapped[datetime | None] = mapped_column(info=shown("Jusqu’au"))
    begun_by: Mapped[str] = mapped_column(String(80), info=STAFF)
    ended_at: Mapped[datetime | None] = mapped_column(info=shown("Rouvert le"))
    sessions_ended: Mapped[int] = mapped_column(default=0, info=shown("Connexions terminées"))
    ended_by: Mapped[str] = mapped_column(String(80), default="", info=STAFF)
    end_reason: Mapped[str] = mapped_column(
        String(500), default="", info=held("motif de la réouverture, qui peut parler d’autres personnes")
    )
    wait: Mapped[str] = mapped_column(
        String(20), default="", info=held("pourquoi un lien attend la direction, ce qui peut parler d’autres personnes")
    )

    @hybrid_property
    def awaits_head(self) -> bool:
        """Whether nobody has decided yet: a new guardian waits for the head."""
        return self.wait != ""

    @awaits_head.inplace.expression
    @classmethod
    def _awaits_head(cls) -> ColumnElement[bool]:
        return cls.wait != ""

    def holds_at(self, moment: datetime) -> bool:
        """Return whether the decision holds at `moment`: nobody ended it, and its end is not reached."""
        return self.ended_at is None and (self.until is None or self.until > moment)

    @classmethod
    def where_holding(cls, moment: datetime) -> ColumnElement[bool]:
        """Return the same as a condition."""
        return and_(cls.ended_at.is_(None), or_(cls.until.is_(None), cls.until > moment))

    @classmethod
    def where_decided(cls, moment: datetime) -> ColumnElement[bool]:
        """Return the condition of the rows that hold because a person decided so."""
        return and_(cls.where_holding(moment), ~cls.awaits_head)

    @classmethod
    def where_waiting(cls, moment: datetime) -> ColumnElement[bool]:
        """Return the condition of the rows that hold until the head has decided."""
        return and_(cls.where_holding(moment), cls.awaits_head)
