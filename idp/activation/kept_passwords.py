"""Keeps the hash of a password that was accepted, while the person corrects the email of the same form.

The person does not type the password again, and no page contains it. A hash is kept under the key of its activation,
for `ACTIVATION_LIFETIME` at most, and is removed when the activation is complete.
"""

from dataclasses import dataclass

from sqlalchemy import delete, select

from idp import opaque
from idp.activation.models import KeptPassword
from idp.clock import ACTIVATION_LIFETIME, now
from idp.db import db, unit_of_work, upsert
from idp.interaction.store import Interaction, Person


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
