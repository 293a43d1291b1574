"""The acts of the journal's filter: in groups, and only those that an entry in the scope of the role can have."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from idp.audit import kinds
from idp.audit.catalogue import KINDS
from idp.audit.kinds import Kind
from idp.desk import access
from idp.folding import fold


@dataclass(frozen=True)
class Group:
    """Acts under one title: the kinds of events with their words, sorted by the words."""

    title: str
    acts: Sequence[tuple[str, str]]


def groups() -> list[Group]:
    """Return the acts that the role may read, in groups; a group without an act is left out."""
    readable = _readable()
    acts = {group: [(kind.name, capital(kind.fr)) for kind in readable if kind.group is group] for group in kinds.Group}
    return [Group(title.value, sorted(of, key=lambda act: _order(act[1]))) for title, of in acts.items() if of]


def _readable() -> list[Kind]:
    every, read = KINDS.values(), access.own_spec().journal
    match read:
        case access.Journal.NOTHING:
            return []
        case access.Journal.OWN | access.Journal.SCHOOL:
            return [kind for kind in every if kind.by_staff]
        case access.Journal.ENT:
            return [kind for kind in every if kind.of_ent]
        case access.Journal.TECHNICAL:
            return [kind for kind in every if kind.technical]
        case access.Journal.ALL:
            return list(every)
    assert_never(read)


def capital(text: str) -> str:
    """Return words as they begin a line."""
    return text[:1].upper() + text[1:]


def _order(words: str) -> str:
    """Return the key that sorts words as a French reader does: no accents, capitals or quotation marks count."""
    return "".join(c for c in fold(words) if c.isalnum() or c == " ").strip()
