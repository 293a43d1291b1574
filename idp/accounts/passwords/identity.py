"""Checks of a new password, beside the policy: the person's identity, and the second field."""

import unicodedata
from collections.abc import Sequence

from flask_babel import lazy_gettext as _
from flask_babel.speaklater import LazyString

from idp.accounts import directory
from idp.accounts.models import Account
from idp.accounts.passwords.hasher import Hasher, fold_provisional
from idp.accounts.passwords.policy import Identity


def identity(account: Account, hasher: Hasher, services: tuple[str, ...]) -> Identity:
    """Return the identity that the account's new password is checked against; `services` are public names."""
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


def second_faults(password: str, second: Sequence[str] | None) -> list[LazyString]:
    """Return the fault of the second field; there is none where a script shows the password and sends no second field.

    `second` has the values of the field in the body of the request.
    """
    if not second or typed_twice(password, second[0]):
        return []
    return [_("Les deux mots de passe ne sont pas les mêmes. Tapez-le une seconde fois, lettre par lettre.")]


def typed_twice(password: str, confirmation: str) -> bool:
    """Return whether both fields hold one password, however a keyboard composes its accents (NFKC, as it is hashed).

    The second text is cut before it is normalised, so that its cost does not grow with its length.
    """
    again = confirmation[: 4 * len(password) + 1]
    return unicodedata.normalize("NFKC", password) == unicodedata.normalize("NFKC", again)
