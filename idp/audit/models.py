"""Tables of the journal."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ColumnElement, Index, String, and_, literal
from sqlalchemy.orm import Mapped, mapped_column

from idp.clock import now
from idp.db import Base, only
from idp.personal import KEY, OWN, STAFF, left_out, shown

OK = "ok"
"""The result of a successful act. Entries with another result are failures, which have their own retention time."""
EVERYDAY = ("code.issued", "sign_in", "sign_out")
"""The kinds of entries that families make each day: most of the journal. The index by kind leaves them out, so that a
sign-in does not write to it, and they are found by their time."""


class AuditEntry(Base):
    """One event: time, kind, account, origin and result.

    Rows are added, never updated, with two exceptions: the worker seals them (`idp.audit.sealing`), and the personal
    part is erased when an account is removed (`log.forget`).

    `mac` is the keyed hash of the entry, computed when the entry is written (`idp.audit.chain`). The personal part
    (`ip`, `request_id`, `details`) enters the hash through `personal_digest`, which is salted: once the part and its
    `salt` are erased, nobody can guess the part from the digest. `seal_id` names the batch that the entry is in.

    `staff_id` is the person of the desk who acted, and `school_id` the school for which.
    """

    __tablename__ = "audit"
    __table_args__ = (
        Index("ix_audit_account_id_at", "account_id", "at"),
        Index("ix_audit_seal_id_id", "seal_id", "id"),
        Index("ix_audit_staff_id_at", "staff_id", "at", **only("staff_id IS NOT NULL")),
        Index("ix_audit_school_id_at", "school_id", "at", **only("school_id IS NOT NULL")),
        # few entries among the sign-ins: other kinds, those of ENTs, the commands, the desk of the académie
        Index("ix_audit_kind_at", "kind", "at", **only(f"kind NOT IN {EVERYDAY}")),
        Index("ix_audit_client_id_at", "client_id", "at", **only("client_id IS NOT NULL AND account_id IS NULL")),
        Index("ix_audit_actor_at", "actor", "at", **only("staff_id IS NULL AND actor <> ''")),
        Index(
            "ix_audit_account_id_at_of_academy",
            "account_id",
            "at",
            **only("staff_id IS NOT NULL AND school_id IS NULL"),
        ),
        Index("ix_audit_failed_at", "at", **only(f"result <> '{OK}'")),  # the purge removes them first
        CheckConstraint("seal_id > 0", name="seal_id"),
    )

    id: Mapped[int] = mapped_column(BigInteger(), primary_key=True, autoincrement=True, info=KEY)
    at: Mapped[datetime] = mapped_column(default=now, index=True, info=shown("Date"))
    kind: Mapped[str] = mapped_column(String(60), info=shown("Événement"))
    result: Mapped[str] = mapped_column(String(10), info=shown("Résultat"))
    account_id: Mapped[uuid.UUID | None] = mapped_column(info=OWN)
    client_id: Mapped[uuid.UUID | None] = mapped_column(info=shown("ENT"))
    staff_id: Mapped[uuid.UUID | None] = mapped_column(info=STAFF)
    school_id: Mapped[uuid.UUID | None] = mapped_column(info=left_out("the school for which a member of staff acted"))
    actor: Mapped[str] = mapped_column(String(80), default="", info=STAFF)
    ip: Mapped[str] = mapped_column(String(45), default="", info=shown("Adresse IP (de vos propres actes)"))
    request_id: Mapped[str] = mapped_column(String(32), default="", info=shown("Référence"))
    details: Mapped[dict[str, Any]] = mapped_column(
        default=dict, info=shown("Détails (sans ce qui peut parler d’autres personnes)")
    )
    salt: Mapped[bytes | None] = mapped_column(info=left_out("protects the journal"))
    personal_digest: Mapped[bytes | None] = mapped_column(info=left_out("protects the journal"))
    mac: Mapped[bytes | None] = mapped_column(info=left_out("protects the journal"))
    seal_id: Mapped[int | None] = mapped_column(BigInteger, info=left_out("protects the journal"))

    @classmethod
    def where_kind(cls, *kinds: str) -> ColumnElement[bool]:
        """Return the condition of the entries of some kinds, as the index by kind needs it if it has all of them."""
        chosen = cls.kind == kinds[0] if len(kinds) == 1 else cls.kind.in_(kinds)
        if not set(EVERYDAY).isdisjoint(kinds):
            return chosen
        return and_(chosen, cls.kind.not_in([literal(kind, literal_execute=True) for kind in EVERYDAY]))

    @classmethod
    def where_failed(cls) -> ColumnElement[bool]:
        """Return the condition of the failures, as their index needs it."""
        return cls.result != literal(OK, literal_execute=True)

    @classmethod
    def where_by_command(cls) -> ColumnElement[bool]:
        """Return the condition of the entries of commands: they have a user of the server, and nobody of the desk."""
        return and_(cls.staff_id.is_(None), cls.actor != literal("", literal_execute=True))


class AuditSeal(Base):
    """A sealed batch of entries: one link of the chain.

    `entries` packs one record for each entry (`idp.audit.chain.Sealed`): its id, its time, whether it is a failure, and
    its MAC. With it, a check notices a missing row, and tells a row that the purge removed by age from a stolen one.
    `previous` is the MAC of the seal before, `mac` the keyed hash over all of this. `newest_at` is the time of the
    youngest entry: the purge removes a seal when the retention time of all its entries is over.
    """

    __tablename__ = "audit_seal"
    __table_args__ = ({"info": left_out("hashes that protect the journal")},)

    id: Mapped[int] = mapped_column(BigInteger(), primary_key=True, autoincrement=False)
    sealed_at: Mapped[datetime]
    newest_at: Mapped[datetime]
    count: Mapped[int]
    entries: Mapped[bytes]
    previous: Mapped[bytes]
    mac: Mapped[bytes]


class NotedSettings(Base):
    """The settings of the last start, secrets hidden: one row (`idp.audit.changes`)."""

    __tablename__ = "noted_settings"
    __table_args__ = ({"info": left_out("settings of this service")},)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    settings: Mapped[dict[str, Any]]


class AuditBeginning(Base):
    """The beginning of the chain since the last purge: one row, written before the purge removes anything.

    Entries up to `entries_before`, and failures up to `failures_before`, may be missing. `first_seal` is the oldest
    seal that stays; `previous` is the MAC of the seal before it. `actor` ran the purge.
    """

    __tablename__ = "audit_beginning"
    __table_args__ = ({"info": left_out("hashes that protect the journal")},)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    entries_before: Mapped[datetime]
    failures_before: Mapped[datetime]
    first_seal: Mapped[int] = mapped_column(BigInteger)
    previous: Mapped[bytes]
    recorded_at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(80))
    mac: Mapped[bytes]
