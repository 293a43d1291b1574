"""The tables of suspensions: decisions, also those that are over, and what stays of an erased person."""

import enum
import uuid
from datetime import datetime

from sqlalchemy import JSON, ColumnElement, ForeignKey, String, and_, or_
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, mapped_column

from idp.clock import now
from idp.db import Base, UuidKey
from idp.personal import OWN, STAFF, held, left_out, shown


class Wait(enum.StrEnum):
    """Why an import suspends a new tie until the head has decided."""

    NEW_GUARDIAN = "new_guardian"
    """Another person's access to the same pupil is suspended."""
    ALIKE = "alike"
    """The person has nearly the names of a person whose access to another pupil of the school is suspended."""
    RECOGNISED = "recognised"
    """The person has the names of a suspended person, or nearly those of one whose access to the pupil is suspended."""
    EXCLUDED = "excluded"
    """The school had confirmed that the person is not the pupil's guardian."""
    CHECK = "check"
    """The person and the pupil have the names, one maybe nearly, of a suspended person and the pupil elsewhere."""


class Suspension(UuidKey, Base):
    """A decision that closes an account, or its tie to one child, from `begins_at` until `until`.

    `school_id` is the school that decided; empty for the académie. `child_id` is empty for the whole account. `until`
    is empty if nobody said when it ends. `ended_at` is when somebody reopened the access, or when a longer suspension
    of the same school took its place. `reference` names the document that the decision rests on. `sessions_ended` is
    how many sessions it ended.

    `wait` is empty if a person decided. Otherwise an import suspended the tie of a new guardian until the head decides,
    and it is a `Wait`.

    `former_names` are those of the person before corrections while a decision held or the person waited: civility,
    given name, family name and birth name (`idp.accounts.same_person`). A further decision takes them over.
    """

    __tablename__ = "suspension"

    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("account.id"), index=True, info=OWN)
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
    former_names: Mapped[list[list[str]]] = mapped_column(
        JSON, default=list, info=shown("Vos noms d’avant une correction")
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


class KeptSuspension(UuidKey, Base):
    """A suspended tie whose person was erased or whose pupil left: no school file may give the access again.

    `person` are digests of the person's keys and names (`traces`), encrypted (`kept`), so that a copy
    of the database names nobody. `until` is the end of the suspension; empty if nobody said when it ends. The row goes
    at `until`, or when an operator ends it (`idp account end-kept-suspension`).

    `child_id` is empty once the pupil's row was removed, because the pupil may have another number or another school.
    Then `pupil` are digests of the pupil's names, encrypted, `uai` is the pupil's last school, and `until` is set
    (`kept.LONGEST_WITHOUT_PUPIL`).
    """

    __tablename__ = "kept_suspension"
    __table_args__ = (
        {"info": left_out("encrypted digests, of a person who was erased or of a pupil who left: they name nobody")},
    )

    child_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("child.id"), index=True)
    uai: Mapped[str] = mapped_column(String(8), default="")
    pupil: Mapped[bytes | None]
    person: Mapped[bytes]
    until: Mapped[datetime | None]
    kept_at: Mapped[datetime] = mapped_column(default=now)

    @classmethod
    def where_over(cls, moment: datetime) -> ColumnElement[bool]:
        """Return the condition of the rows whose suspension is over at `moment`."""
        return cls.until <= moment

    @classmethod
    def where_holding(cls, moment: datetime) -> ColumnElement[bool]:
        """Return the condition of the rows whose suspension holds at `moment`."""
        return or_(cls.until.is_(None), cls.until > moment)


class FormerPupilName(UuidKey, Base):
    """A name of a pupil before a correction, while a suspension concerned the pupil.

    The row goes when none does any more, or with the pupil.
    """

    __tablename__ = "former_pupil_name"
    __table_args__ = (
        {"info": left_out("names before a correction, which would tell a guardian of another one's suspension")},
    )

    child_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("child.id"), index=True)
    given_name: Mapped[str] = mapped_column(String(200))
    family_name: Mapped[str] = mapped_column(String(200))
