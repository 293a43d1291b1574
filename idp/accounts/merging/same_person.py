"""Compares the names of the people of two accounts."""

from collections.abc import Iterator

from idp.accounts.models import Account
from idp.folding import PARTICLES, civility, words_of_name


def same_person(first: Account, second: Account) -> bool:
    """Return whether the given names agree, and a family name (usual or birth) of one is a family name of the other.

    Case, accents, apostrophes and spaces do not count. One file may have more given names than the other, and a family
    name may be a part of a double one. Jean-Pierre is not Jean-Paul, nor M. Dominique Mme Dominique. Names that do not
    agree may still be one person's: the school decides.
    """
    if first.profile is not second.profile or civilities_differ(first, second):
        return False
    return _same_given_name(first.given_name, second.given_name) and shares_a_family_name(first, second)


def shares_a_name(first: Account, second: Account) -> bool:
    """Return whether the given name or a family name agrees: enough for a pupil's key, not for a guardian's account."""
    return _same_given_name(first.given_name, second.given_name) or shares_a_family_name(first, second)


def shares_a_family_name(first: Account, second: Account) -> bool:
    """Return whether a family name (usual or birth) of one person is a family name of the other, or a part of it."""
    return any(_is_part(mine, theirs) for mine in _family_names(first) for theirs in _family_names(second))


def civilities_differ(first: Account, second: Account) -> bool:
    """Return whether both civilities are known and differ."""
    return len({civility(first.civility or ""), civility(second.civility or "")} - {""}) > 1


def _same_given_name(first: str, second: str) -> bool:
    """Return whether one given name equals or begins the other: « Anne » and « Anne Marie », not « Anne-Marie »."""
    if words_of_name(first) and words_of_name(first) == words_of_name(second):
        return True
    ours, theirs = (["".join(words_of_name(part)) for part in name.split()] for name in (first, second))
    shared = min(len(ours), len(theirs))
    return shared > 0 and all(ours) and all(theirs) and ours[:shared] == theirs[:shared]


def _is_part(first: frozenset[str], second: frozenset[str]) -> bool:
    """Return whether one name contains the other; a particle alone (« de ») does not count."""
    shorter = min(first, second, key=len)
    return (first <= second or second <= first) and not shorter <= PARTICLES


def _family_names(account: Account) -> Iterator[frozenset[str]]:
    for name in (account.family_name, account.birth_name):
        if parts := words_of_name(name):
            yield frozenset(parts)
