"""Recognises a suspended person among the people of a school's files: the one home of that comparison.

The names of the suspended person are kept as digests (`Traces`), because the person may have been erased since. The
names of a person in a file are digested in the same way (`Names`). A digest tells equal texts only, so a tolerated
typing error is a pattern that both names have: « march?nd » for « marchand » and « marchend ».
"""

import enum
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from typing import Generic, Self, TypeVar

from idp.person_names import CIVILITIES, PARTICLES, civility, joined, words

_SHORTEST = 4
"""Letters. In a shorter name, one error makes another name: Léa and Lia."""
_ERROR = "?"
_Person = TypeVar("_Person")


class Likeness(enum.IntEnum):
    """How much a person looks like a suspended person, from the least to the most."""

    NONE = 0
    NEAR = 1
    """A form of the names is the same without the civility, with one typing error, with an initial, or in a part."""
    SAME = 2
    """The key is the same, or a civility, a given name and a family name are."""


@dataclass(frozen=True, slots=True)
class Traces:
    """The digests that recognise a suspended person.

    Attributes:
        keys: of the person's keys in the school files, if the person was erased.
        civilities: the known civilities, which are no digests.
        given: of the forms of the given names, of their patterns, and of their first letters.
        family: of the forms of the family names, usual and birth, and of their patterns.
    """

    keys: frozenset[str]
    civilities: frozenset[str]
    given: frozenset[str]
    family: frozenset[str]

    @classmethod
    def of(cls, people: Iterable["Names"]) -> Self:
        """Return the traces of a person who has these names and keys, which are several if accounts were merged."""
        everyone = list(people)
        return cls(
            frozenset(person.key for person in everyone if person.key),
            frozenset(person.civility for person in everyone if person.civility),
            frozenset().union(*(name.kept for person in everyone for name in person.given)),
            frozenset().union(*(name.kept for person in everyone for name in person.family)),
        )

    @classmethod
    def loads(cls, text: bytes) -> Self:
        """Return the traces of `dumps`."""
        stored = json.loads(text)
        return cls(*(frozenset(stored[field.name]) for field in fields(cls)))

    def dumps(self) -> bytes:
        """Return the traces as JSON."""
        return json.dumps({field.name: sorted(getattr(self, field.name)) for field in fields(self)}).encode()


@dataclass(frozen=True)
class _Name:
    """The digests of one given name or family name.

    Attributes:
        whole: of its forms, as `Likeness.SAME` compares them.
        loose: of its parts, and of the search keys of its initials.
        parts: the parts themselves.
        initials: of the stored keys of its initials.
    """

    whole: frozenset[str]
    loose: frozenset[str]
    parts: frozenset[str]
    initials: frozenset[str] = frozenset()

    @cached_property
    def mistyped(self) -> frozenset[str]:
        """The digests of the patterns of the parts."""
        return frozenset(_mistyped(self.parts))

    @property
    def kept(self) -> frozenset[str]:
        """The digests that are kept of a suspended person."""
        return self.whole | _digests(f"~{part}" for part in self.parts) | self.mistyped | self.initials


@dataclass(frozen=True, slots=True)
class Names:
    """The names of a person, digested for a comparison."""

    key: str
    civility: str
    given: tuple[_Name, ...]
    family: tuple[_Name, ...]

    @classmethod
    def of(cls, key: str = "", title: str = "", given: Iterable[str] = (), family: Iterable[str] = ()) -> Self:
        """Return the digests of a person's key in the school files, civility, given names and family names."""
        known = civility(title)
        return cls(
            _digest(f"key|{key}") if key else "",
            known if known in CIVILITIES else "",
            tuple(_given(name) for name in given if name),
            tuple(_family(name) for name in family if name),
        )


class TracesIndex(Generic[_Person]):
    """Finds the suspended people whom somebody may be, without a comparison with each of them.

    Two people are alike only if a name of one has a digest of a family name of the other, or if they have one key.
    """

    def __init__(self, people: Iterable[tuple[Traces, _Person]]) -> None:
        self._people: list[_Person] = []
        self._places: dict[str, set[int]] = {}
        for traces, person in people:
            for digest in traces.family | traces.keys:
                self._places.setdefault(digest, set()).add(len(self._people))
            self._people.append(person)

    def has_like(self, names: Names) -> bool:
        """Return whether `candidates` returns anybody."""
        return any(digest in self._places for digest in _of_family_or_key(names))

    def candidates(self, names: Names) -> list[_Person]:
        """Return the people with whom `likeness` is to be compared; with all others it is `Likeness.NONE`."""
        places = (self._places.get(digest, ()) for digest in _of_family_or_key(names))
        return [self._people[place] for place in sorted(set().union(*places))]


def likeness(names: Names, traces: Traces) -> Likeness:
    """Return how much a person looks like the suspended person of some traces.

    Case, accents, hyphens and the order of given name and family name do not count. One of several given names is
    enough, and so is a part of a double family name. An unknown civility agrees with any other.
    """
    if names.key in traces.keys:
        return Likeness.SAME
    closest = Likeness.NONE
    for given_name in names.given:
        for family_name in names.family:
            closest = max(closest, _of_names(given_name, family_name, traces))
            closest = max(closest, _of_names(family_name, given_name, traces))  # a file may have exchanged its columns
    return min(closest, Likeness.NEAR) if differ_in_civility(names, traces) else closest


def differ_in_civility(names: Names, traces: Traces) -> bool:
    """Return whether both civilities are known and differ; not if the person has a key of the suspended person."""
    if names.key in traces.keys:
        return False
    return bool(names.civility and traces.civilities) and names.civility not in traces.civilities


def _of_names(given: _Name, family: _Name, traces: Traces) -> Likeness:
    """Return the likeness of a given name and a family name: one typing error in both together is tolerated."""
    if not (given.whole.isdisjoint(traces.given) or family.whole.isdisjoint(traces.family)):
        return Likeness.SAME
    given_agrees = not given.loose.isdisjoint(traces.given)
    family_agrees = not family.loose.isdisjoint(traces.family)
    if given_agrees and (family_agrees or not family.mistyped.isdisjoint(traces.family)):
        return Likeness.NEAR
    if family_agrees and not given.mistyped.isdisjoint(traces.given):
        return Likeness.NEAR
    return Likeness.NONE


@lru_cache(maxsize=2000)
def _given(name: str) -> _Name:
    """Return the digests of a given name. Results are cached, because given names repeat.

    An initial agrees with the names that begin with it, but two names of one initial do not agree. So the search key of
    « Jean » is `.j` and its stored key is `^j`, and « J. » has both as search keys and as stored keys.
    """
    parts = _long(words(name))
    search_keys, stored_keys = {f".{part[0]}" for part in parts}, {f"^{part[0]}" for part in parts}
    if all(len(part) == 1 for part in parts):
        search_keys = stored_keys = search_keys | stored_keys
    parts |= _long([joined(name)])
    return _Name(
        _digests(f"={form}" for form in _long([*map(joined, name.split()), joined(name)])),
        _digests({f"~{part}" for part in parts} | search_keys),
        frozenset(parts),
        _digests(stored_keys),
    )


def _family(name: str) -> _Name:
    """Return the digests of a family name: particles and single letters (« N’Diaye ») are no part of their own."""
    parts = _long([*(word for word in words(name) if word not in PARTICLES), joined(name)])
    return _Name(_digests(f"={part}" for part in parts), _digests(f"~{part}" for part in parts), frozenset(parts))


def _of_family_or_key(names: Names) -> Iterator[str]:
    """Yield the digests that a family name or a key may share, the quick ones first; columns may be exchanged."""
    yield names.key
    every = (*names.given, *names.family)
    for name in every:
        yield from name.whole
        yield from name.loose
    yield from _mistyped(frozenset().union(*(name.parts for name in every)))


def _long(forms: Iterable[str]) -> set[str]:
    """Return the forms of several letters; single letters if there are no others."""
    chosen = set(forms) - {""}
    return {form for form in chosen if len(form) > 1} or chosen


def _mistyped(parts: Iterable[str]) -> Iterator[str]:
    """Yield the digests of the patterns of parts of names."""
    for part in parts:
        for pattern in _patterns(part):
            yield _digest(f"~{pattern}")


def _patterns(form: str) -> Iterator[str]:
    """Yield the patterns that another form shares if one letter is added, left out, replaced or exchanged."""
    if len(form) < _SHORTEST:
        return
    for place in range(len(form) + 1):
        yield f"{form[:place]}{_ERROR}{form[place:]}"
    for place in range(len(form)):
        yield f"{form[:place]}{_ERROR}{form[place + 1 :]}"
    for place in range(len(form) - 1):
        pair = "".join(sorted(form[place : place + 2]))
        yield f"{form[:place]}<{pair}>{form[place + 2 :]}"


def _digests(texts: Iterable[str]) -> frozenset[str]:
    return frozenset(map(_digest, texts))


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
