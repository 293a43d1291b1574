"""Whether two accounts, of two schools' files, are one person's: their names, as two secretaries write them."""

from collections.abc import Iterator

from idp.accounts.models import Account
from idp.accounts.words.folding import fold


def same_person(one: Account, other: Account) -> bool:
    """Say whether the names agree: first given name, and a family name of one (usual or birth) with one of the other.

    Case, accents, hyphens, apostrophes and spaces do not count. A family name may stand in the other file as a part of
    a double one. What does not agree is no proof of the contrary: the school decides then.
    """
    given = (_words(one.given_name)[:1], _words(other.given_name)[:1])
    if one.profile is not other.profile or not given[0] or given[0] != given[1]:
        return False
    return any(mine <= theirs or theirs <= mine for mine in _family_names(one) for theirs in _family_names(other))


def _family_names(account: Account) -> Iterator[frozenset[str]]:
    for name in (account.family_name, account.birth_name):
        if words := _words(name):
            yield frozenset(words)


def _words(name: str) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in fold(name)).split()
