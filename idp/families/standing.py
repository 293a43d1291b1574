"""Decides in which state an account is: the one home of that rule, for the terminal and for the desk.

`standings` lists all that holds. `group_of` sorts an account into one group, and `group` is the same rule in SQL.
"""

import enum
from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, case, or_

from idp.accounts.closings import Kind
from idp.accounts.credentials import PasswordState
from idp.accounts.models import Account
from idp.clock import now


class Standing(enum.Enum):
    """Something that holds about an account; the value is its words in the terminal."""

    MERGED = "merged into another account"
    REPLACED = "disabled, replaced"
    EXCLUDED = "disabled, tie ended by the school"
    LEFT = "disabled, no child in a school any more"
    CLOSED = "closed"
    NO_LETTER = "never activated, no letter"
    LETTER_EXPIRED = "never activated, letter expired"
    LETTER_VALID = "never activated, letter valid"
    NEW_LETTER_VALID = "closed by a new letter, letter valid"
    NEW_LETTER_EXPIRED = "closed by a new letter, letter expired"
    ACTIVE = "active"
    CONTESTED = "address contested"
    DISPUTED = "disputed"
    UNCONFIRMED = "address not confirmed"
    NO_ADDRESS = "no address"
    BLOCKED = "password blocked"
    BREACHED = "password blocked, in a stolen list"
    BLOCKED_UNCONFIRMED = "password blocked, no confirmed address"
    WARNED = "warned of its removal"


class Group(enum.Enum):
    """What a person of the desk looks for: each account is in one group."""

    LETTER = "courrier"
    """Not active, with a valid letter."""
    EXPIRED = "courrier-expire"
    """Not active, and the letter expired; or it is not valid any more, and a former one had made the account active."""
    NO_LETTER = "sans-courrier"
    """Never active, without a letter that is valid or has expired."""
    UNCONFIRMED = "a-confirmer"
    """Activated without a confirmed mail address."""
    RELETTER = "nouveau-courrier"
    """Activated without a confirmed mail address, and the password is refused: only a new letter helps."""
    BLOCKED = "bloque"
    """Activated with a confirmed mail address, and the password is refused."""
    ACTIVE = "en-service"
    DISPUTED = "conteste"
    """Closed until the school settles a dispute."""
    CLOSED = "ferme"
    """Disabled, closed or merged."""


_CLOSED = (Standing.MERGED, Standing.REPLACED, Standing.EXCLUDED, Standing.LEFT, Standing.CLOSED)
_GROUPS = {
    **dict.fromkeys(_CLOSED, Group.CLOSED),
    Standing.CONTESTED: Group.DISPUTED,
    Standing.DISPUTED: Group.DISPUTED,
    Standing.LETTER_VALID: Group.LETTER,
    Standing.NEW_LETTER_VALID: Group.LETTER,
    Standing.NEW_LETTER_EXPIRED: Group.EXPIRED,
    Standing.LETTER_EXPIRED: Group.EXPIRED,
    Standing.NO_LETTER: Group.NO_LETTER,
    Standing.BLOCKED: Group.BLOCKED,
    Standing.BREACHED: Group.BLOCKED,
    Standing.BLOCKED_UNCONFIRMED: Group.RELETTER,
    Standing.UNCONFIRMED: Group.UNCONFIRMED,
    Standing.NO_ADDRESS: Group.UNCONFIRMED,
    Standing.WARNED: Group.ACTIVE,
    Standing.ACTIVE: Group.ACTIVE,
}
# The standings, that which decides what to do first.
_URGENCY = {standing: rank for rank, standing in enumerate(_GROUPS)}


def standings(account: Account) -> list[Standing]:
    """Return all that holds about an account, the most important first."""
    if account.disabled_at is not None:
        return [_why_disabled(account)]
    if account.is_shut_at(now()):
        return [Standing.CLOSED]
    is_active = account.activated_at is not None
    holding = [Standing.ACTIVE if is_active else _letter(account)]
    if account.has_contested_email:
        holding.append(Standing.CONTESTED)
    if account.has_disputed_tie:
        holding.append(Standing.DISPUTED)
    if not is_active:
        return holding
    if (of_password := _password(account)) is not None:
        holding.append(of_password)
    elif account.email is None:
        holding.append(Standing.UNCONFIRMED if account.pending_email else Standing.NO_ADDRESS)
    if account.inactive_warned_at is not None:
        holding.append(Standing.WARNED)
    return holding


def foremost(holding: Sequence[Standing]) -> Standing:
    """Return the standing that decides what to do first."""
    return min(holding, key=_URGENCY.__getitem__)


def group_of(holding: Sequence[Standing]) -> Group:
    """Return the group of an account with these standings."""
    return _GROUPS[foremost(holding)]


def group() -> ColumnElement[str]:
    """Return the value of the group of an account, for a statement about `Account`."""
    moment, active = now(), Account.activated_at.is_not(None)
    expires_at, is_blocked = Account.provisional_expires_at, Account.has_blocked_password
    return case(
        (~Account.where_enabled(moment), Group.CLOSED.value),
        (or_(Account.has_contested_email, Account.has_disputed_tie), Group.DISPUTED.value),
        (and_(active, is_blocked, Account.email.is_(None)), Group.RELETTER.value),
        (and_(active, Account.email.is_(None)), Group.UNCONFIRMED.value),
        (and_(active, is_blocked), Group.BLOCKED.value),
        (active, Group.ACTIVE.value),
        (and_(Account.provisional_hash.is_not(None), expires_at > moment), Group.LETTER.value),
        (or_(Account.has_been_active, expires_at <= moment), Group.EXPIRED.value),
        else_=Group.NO_LETTER.value,
    )


def in_group(chosen: Group) -> ColumnElement[bool]:
    """Return the condition of the accounts of a group, for a statement about `Account`."""
    return group() == chosen.value


def _why_disabled(account: Account) -> Standing:
    """Return why an account is disabled: merged, without its key, or because its last tie to a child ended."""
    if not account.has_left:
        return Standing.REPLACED if account.merge is None else Standing.MERGED
    if any(tie.is_closed_as(Kind.EXCLUDED) for tie in account.guardianships):
        return Standing.EXCLUDED
    return Standing.LEFT


def _password(account: Account) -> Standing | None:
    """Return why the password of an active account is refused, or None: a mail about it needs a confirmed address."""
    if not account.has_blocked_password:
        return None
    if account.email is None:
        return Standing.BLOCKED_UNCONFIRMED
    return Standing.BREACHED if account.password_state is PasswordState.BREACHED else Standing.BLOCKED


def _letter(account: Account) -> Standing:
    expires_at = account.provisional_expires_at
    is_over = account.provisional_hash is None or expires_at is None or expires_at <= now()
    if account.has_been_active:
        return Standing.NEW_LETTER_EXPIRED if is_over else Standing.NEW_LETTER_VALID
    if expires_at is not None and expires_at <= now():
        return Standing.LETTER_EXPIRED
    return Standing.NO_LETTER if is_over else Standing.LETTER_VALID
