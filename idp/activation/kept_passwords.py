"""Keeps the hash of a password that was accepted, while the person corrects the email of the same form.

The person does not type the password again, and no page contains it. A hash is kept under the key of its activation,
for `ACTIVATION_LIFETIME` at most, and is removed when the activation is complete.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import String, delete, select
from sqlalchemy.orm import Mapped, mapped_column

from idp import opaque
from idp.clock import ACTIVATION_LIFETIME, now
from idp.db import Base, db, unit_of_work, upsert
from idp.interaction.store import Interaction, Person
from idp.personal import left_out


class KeptPassword(Base):
    """The hash of a good password whose form had a wrong email: the person corrects the email alone.

    `digest` is that of the interaction, which works in one browser, with the account and its generation. The row names
    nobody; nothing reads it after `ACTIVATION_LIFETIME`.
    """

    __tablename__ = "kept_password"
    __table_args__ = (
        {
            "info": left_out(
                "hashes of passwords before the activation, under digests that name nobody; gone within a day"
            )
        },
    )

    digest: Mapped[bytes] = mapped_column(primary_key=True)
    password_hash: Mapped[str] = mapped_column(String(200))
    kept_at: Mapped[datetime] = mapped_column(default=now, index=True)


@dataclass(frozen=True)
class ActivationKey:
    """The activation that a password belongs to: an interaction of one browser, and an account with its generation."""

    digest: bytes

    @classmethod
    def of(cls, interaction: Interaction, person: Person) -> "ActivationKey":
        """Return the key of the activation of `person` in `interaction`."""
        return cls(opaque.digest(f"{interaction.id} {person.account_id.hex} {person.generation}"))


@unit_of_work()
def keep(key: ActivationKey, password_hash: str) -> None:
    """Keep the hash of a password that the policy accepted, and replace the former one. No unit of work may be open."""
    values = {"password_hash": password_hash, "kept_at": now()}
    statement = upsert(KeptPassword).values(digest=key.digest, **values)
    db.session.execute(statement.on_conflict_do_update(index_elements=[KeptPassword.digest], set_=values))


def find(key: ActivationKey) -> str | None:
    """Return the hash that was kept during this activation, or None if there is none or its time is over."""
    oldest = now() - ACTIVATION_LIFETIME
    kept = select(KeptPassword.password_hash).where(KeptPassword.digest == key.digest, KeptPassword.kept_at > oldest)
    return db.session.scalar(kept)


def forget(key: ActivationKey) -> None:
    """Remove the hash in the caller's transaction, which stores it in the account."""
    db.session.execute(delete(KeptPassword).where(KeptPassword.digest == key.digest))
