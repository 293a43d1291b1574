"""Compares the names of two people of schools' files, to tell whether they are one person."""

import hashlib
import re
from collections.abc import Iterator

from idp.accounts.models import Account
from idp.folding import fold

_PARTICLES = frozenset(
    re.split(
        " ",
        "a al ait ben bin bint d da das de del della den der des di do dos du el "
        "ep epouse et la las le les los nee o of ould san st ste ter van von y",
    )
)
"""Words that many family names share."""
_CIVILITIES = frozenset({"m", "mme"})


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


def name_traces(person: Account) -> frozenset[str]:
    """Return digests of the forms of a person's names: two people who share a digest may be one person.

    A form is a civility, a given name and a family name, usual or birth. Case, accents, hyphens and the order do not
    count. One of several given names is enough, and so is a part of a double family name. An unknown civility agrees
    with any other. The rule is wider than `same_person`: it finds people whom a human has to compare.
    """
    given = {
        form
        for name in (person.given_name, person.first_given_name or "")
        for form in (*map(_joined, name.split()), _joined(name))
        if form
    }
    family = {
        form
        for name in (person.family_name, person.birth_name or "")
        for form in (*(word for word in _words(name) if word not in _PARTICLES), _joined(name))
        if form
    }
    civility = _civility(person)
    return frozenset(
        _digest("|".join((title, *sorted((first, second)))))
        for title in ({civility} if civility in _CIVILITIES else _CIVILITIES)
        for first in given
        for second in family
    )


def key_trace(roster_key: str) -> str:
    """Return the digest of a person's key in the school files, which no name has."""
    return _digest(f"key|{roster_key}")


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def civilities_differ(first: Account, second: Account) -> bool:
    """Return whether both civilities are known and differ."""
    return len({_civility(first), _civility(second)} - {""}) > 1


def _civility(account: Account) -> str:
    civility = fold(account.civility or "").strip(". ")
    return "mme" if civility in {"mlle", "madame", "mademoiselle"} else civility


def _same_given_name(first: str, second: str) -> bool:
    """Return whether one given name equals or begins the other: « Anne » and « Anne Marie », not « Anne-Marie »."""
    if _words(first) and _words(first) == _words(second):
        return True
    ours, theirs = (["".join(_words(part)) for part in name.split()] for name in (first, second))
    shared = min(len(ours), len(theirs))
    return shared > 0 and all(ours) and all(theirs) and ours[:shared] == theirs[:shared]


def _is_part(first: frozenset[str], second: frozenset[str]) -> bool:
    """Return whether one name contains the other; a particle alone (« de ») does not count."""
    shorter = min(first, second, key=len)
    return (first <= second or second <= first) and not shorter <= _PARTICLES


def _family_names(account: Account) -> Iterator[frozenset[str]]:
    for name in (account.family_name, account.birth_name):
        if words := _words(name):
            yield frozenset(words)


def _joined(name: str) -> str:
    return "".join(_words(name))


def _words(name: str) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in fold(name)).split()
