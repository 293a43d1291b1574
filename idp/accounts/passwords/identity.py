"""What every page that takes a new password asks of it, beside the policy: whose it will be, and that it was meant."""

import unicodedata

from idp.accounts import directory
from idp.accounts.models import Account
from idp.accounts.passwords.hasher import Hasher, fold_provisional
from idp.accounts.passwords.policy import Identity


def identity(account: Account, hasher: Hasher, services: tuple[str, ...]) -> Identity:
    """Return what the account's new password must not contain or be; `services` are names that everybody knows."""
    stored = account.provisional_hash

    def is_provisional(typed: str) -> bool:
        return stored is not None and hasher.verify(stored, fold_provisional(typed), "activation")

    return Identity(
        username=account.username,
        names=(account.given_name, account.family_name, account.birth_name),
        children=tuple(name for child in account.children for name in (child.given_name, child.family_name)),
        schools=tuple(school.name for school in directory.schools(account)),
        services=services,
        is_provisional=is_provisional,
    )


def typed_twice(password: str, confirmation: str) -> bool:
    """Return whether both fields hold one password, however a keyboard composes its accents (NFKC, as it is hashed).

    The second text is cut before it is normalised: its cost must not grow with what was sent.
    """
    again = confirmation[: 4 * len(password) + 1]
    return unicodedata.normalize("NFKC", password) == unicodedata.normalize("NFKC", again)
