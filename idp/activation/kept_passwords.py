"""Keeps a good password while the person corrects the email of the same form; the page never has it again."""

from dataclasses import dataclass

from sqlalchemy import delete, select

from idp import opaque
from idp.activation.models import KeptPassword
from idp.clock import now
from idp.config import Settings
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
    """Keep the hash of a password that was checked, in place of the former one."""
    values = {"password_hash": password_hash, "kept_at": now()}
    statement = upsert(KeptPassword).values(digest=key.digest, **values)
    db.session.execute(statement.on_conflict_do_update(index_elements=[KeptPassword.digest], set_=values))


def find(settings: Settings, key: ActivationKey) -> str | None:
    """Return the hash that was kept here during this activation, or None."""
    oldest = now() - settings.lifetime("activation_lifetime")
    kept = select(KeptPassword.password_hash).where(KeptPassword.digest == key.digest, KeptPassword.kept_at > oldest)
    return db.session.scalar(kept)


def forget(key: ActivationKey) -> None:
    """Remove the hash, in the caller's transaction: the account has it now."""
    db.session.execute(delete(KeptPassword).where(KeptPassword.digest == key.digest))
