"""Decides whether two accounts are surely one person's: namesakes live in one town, so the names are not enough."""

import uuid

from sqlalchemy import Select, select

from idp.accounts import directory
from idp.accounts.merging.same_person import same_person
from idp.accounts.models import Account, Guardianship
from idp.db import db
from idp.folding import fold
from idp.mail.emails import fold_email


def surely_one_person(mine: Account, other: Account) -> bool:
    """Return whether the names agree and so does something else; in any other case the school decides.

    That is the whole postal address, a mailbox that `mine` has confirmed and the file gives to `other`, a pupil, or
    another guardian of a pupil. Each is a guardian of the own pupils: one question answers the last two.
    """
    if not same_person(mine, other):
        return False
    email, home = directory.email_of_file(other), _home(mine)
    if (email is not None and fold_email(email) == mine.mailbox) or (home is not None and home == _home(other)):
        return True
    common = _guardians(mine.id).where(Guardianship.account_id.in_(_guardians(other.id)))
    return db.session.scalar(common.limit(1)) is not None


def _home(account: Account) -> tuple[str, ...] | None:
    """Return the letters and digits of the whole postal address; None if a part of it is missing."""
    parts = " ".join(account.address_lines), account.postcode, account.city
    folded = tuple("".join(c for c in fold(part) if c.isalnum()) for part in parts)
    return folded if all(folded) else None


def _guardians(account_id: uuid.UUID) -> Select[uuid.UUID]:
    """Return the guardians of an account's pupils; disputed ties do not count."""
    undisputed = select(Guardianship.account_id).where(Guardianship.is_unended, ~Guardianship.has_open_dispute)
    pupils = undisputed.with_only_columns(Guardianship.child_id).where(Guardianship.account_id == account_id)
    return undisputed.where(Guardianship.child_id.in_(pupils))
