"""What is searched: words, as conditions about a column `search_text` (`idp.db.Searched`), states, schools, lists.

A search has steps, from the surest to the least sure: whole words, beginnings of words, one typing error. PostgreSQL
looks each spelling up in the index of the words. Words are letters and digits, so that a query needs no escape.

The tiles of « Aujourd’hui » lead to the lists, which need no words.
"""

import enum
import string
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import dropwhile

from flask import url_for
from flask_babel import gettext
from sqlalchemy import ColumnElement, and_, bindparam, cast, exists, func, literal, or_, select, true
from sqlalchemy.dialects.postgresql import TSQUERY, TSVECTOR
from sqlalchemy.orm import InstrumentedAttribute

from idp.accounts.emails import CONFIRM_EMAIL
from idp.accounts.models import Account, Child, Guardianship
from idp.accounts.one_time_links import OneTimeLink
from idp.accounts.passwords.hasher import fold_username
from idp.clock import now
from idp.db import db, searched_words
from idp.desk import access, home, ties
from idp.desk.home import Tile
from idp.families.standing import Group, in_group
from idp.mail.emails import fold_email
from idp.outbox.queue import OutboxMessage
from idp.outbox.worker import DEAD

LONGEST = 100
_MOST_WORDS = 6
SHORTEST = 3  # letters that a search needs, unless it names a class or a whole short name
# Words that are in many names: alone, they are no short name.
_PARTICLES = frozenset(("al", "da", "de", "di", "do", "du", "el", "la", "le", "st"))
# Words before a name, which callers say and files do not have: « M. et Mme Leroy ».
_CIVILITIES = frozenset(("m", "mr", "mme", "mlle", "monsieur", "madame", "mademoiselle", "et"))
_SHORTEST_WITH_ERROR = 4  # letters of a word in which a typing error is looked for
_RARE = 6  # letters of a word that few people have, or few beginnings of their words
_LONG = 7  # letters from which the typing error may be in the beginning of a longer word
_LONGEST_WITH_ERROR = 20
_ANY = "_"  # a letter that is not known

Column = InstrumentedAttribute[str] | ColumnElement[str]


@dataclass(frozen=True)
class _Word:
    """A word of a condition: its spellings, and whether longer words that begin so match too."""

    spellings: Sequence[str]
    is_beginning: bool


Step = Sequence[Sequence[_Word]]  # the condition of a step: any of these lists of words, each with all its words


def condition(column: Column, step: Step) -> ColumnElement[bool]:
    """Return the SQL of a step."""
    return or_(*(all_words([column], words) for words in step))


def are_rare(step: Step) -> bool:
    """Return whether few rows are expected to have the words of a step: a long word is in each of its lists."""
    return all(any(len(spelling) >= _RARE for word in words for spelling in word.spellings) for words in step)


def are_of_class(step: Step) -> bool:
    """Return whether only pupils can have the words of a step: a word of a class is in each of its lists."""
    return all(any(_is_of_class(spelling) for word in words for spelling in word.spellings) for words in step)


def any_word(column: Column, words: Sequence[_Word]) -> ColumnElement[bool]:
    """Return the SQL of the rows with at least one of the words."""
    return or_(*(_compared(column, word) for word in words))


def all_words(columns: Sequence[Column], words: Sequence[_Word]) -> ColumnElement[bool]:
    """Return the SQL of the rows with all the words, each in any of the columns.

    The rows with the long words are looked up, and then compared with the others: thousands of words begin with « m ».
    """
    lengths = [min(map(len, word.spellings)) for word in words]
    longest = max(lengths, default=0)
    return and_(
        *(
            or_(*(_compared(column, word, by_index=length >= min(longest, SHORTEST)) for column in columns))
            for word, length in zip(words, lengths, strict=True)
        )
    )


def _compared(column: Column, word: _Word, *, by_index: bool = True) -> ColumnElement[bool]:
    """Return the condition that the index answers; a letter that is not known is each letter of the alphabet.

    What begins like a word whose beginning is among the spellings is found by that beginning.
    """
    ending, spellings = ":*" if word.is_beginning else "", dict.fromkeys(_spelled_out(word.spellings))
    asked = [
        each
        for each in spellings
        if not (word.is_beginning and any(each[:length] in spellings for length in range(1, len(each))))
    ]
    query = " | ".join(f"'{spelling}'{ending}" for spelling in asked)
    compared = column if by_index else column.op("||")(cast("", TSVECTOR))
    return compared.bool_op("@@")(cast(bindparam(None, query), TSQUERY))


def _spelled_out(spellings: Iterable[str]) -> Iterator[str]:
    for spelling in spellings:
        letters = string.ascii_lowercase if _ANY in spelling else _ANY
        yield from (spelling.replace(_ANY, letter) for letter in letters)


@dataclass(frozen=True)
class Terms:
    """A search: its folded words, and the identifier if they may be one; or the whole mail address that was typed."""

    words: tuple[str, ...]
    mailbox: str = ""
    identifier: str = ""

    @classmethod
    def parse(cls, typed: str) -> "Terms":
        """Return the search for a typed text, of which at most `LONGEST` characters are read."""
        text = typed[:LONGEST].strip()
        if "@" in text:
            return cls((), fold_email(text))
        identifier = fold_username(text) if "." in text and any(map(str.isdigit, text)) else None
        return cls(tuple(_without_civility(searched_words(text))[:_MOST_WORDS]), identifier=identifier or "")

    @property
    def is_empty(self) -> bool:
        """Whether nothing can be searched: no word, a single letter, or only particles such as « le »."""
        return not self.mailbox and (self._length < SHORTEST - 1 or _PARTICLES.issuperset(self.words))

    @property
    def is_short(self) -> bool:
        """Whether only whole words are found: a class such as « 6e », a name such as « Li »."""
        return not self.mailbox and self._length < SHORTEST

    @property
    def needs_more(self) -> bool:
        """Whether more letters have to be typed if nothing is found."""
        return self.is_short and not self.is_class

    @property
    def is_class(self) -> bool:
        """Whether a word has a digit, as most classes do."""
        return any(char.isdigit() for word in self.words for char in word)

    @property
    def is_only_class(self) -> bool:
        """Whether every word is in the name of a class, as in « 6e 1 » and « CM2 A »: no name was typed."""
        return self.is_class and all(len(word) == 1 or _is_of_class(word) for word in self.words)

    @property
    def _length(self) -> int:
        return sum(map(len, self.words))

    @property
    def canonical(self) -> str:
        """The text of which the journal has a digest: the same for all spellings and orders."""
        return self.mailbox or " ".join(sorted(self.words))

    def whole(self) -> Step:
        """Return the step of whole words."""
        return [[_Word((word,), is_beginning=False) for word in words] for words in _joined(self.words)]

    def beginnings(self) -> Step:
        """Return the step of beginnings of words."""
        return [[_beginning(word) for word in words] for words in _joined(self.words)]

    def across(self) -> Sequence[_Word]:
        """Return the beginnings of words to look for in a pupil and a guardian together; empty if one word is typed."""
        return [_beginning(word) for word in self.words] if len(self.words) > 1 else ()

    def near(self) -> Step:
        """Return the step of one typing error in one of the words; it is empty if no word is long enough."""
        return [
            [_with_error(word) if at == place else _beginning(word) for at, word in enumerate(self.words)]
            for place, typed in enumerate(self.words)
            if _SHORTEST_WITH_ERROR <= len(typed) <= _LONGEST_WITH_ERROR and typed.isalpha()
        ]


def _without_civility(words: Sequence[str]) -> Sequence[str]:
    names = list(dropwhile(_CIVILITIES.__contains__, words))
    return names or words


def _joined(words: Sequence[str]) -> Iterator[Sequence[str]]:
    yield words
    for at in range(len(words) - 1):
        yield [*words[:at], words[at] + words[at + 1], *words[at + 2 :]]


def _beginning(word: str) -> _Word:
    """Return a word that begins so; « 6e1 » does not begin « 6e12 »."""
    return _Word((word,), is_beginning=not _is_of_class(word))


def _is_of_class(word: str) -> bool:
    return len(word) <= SHORTEST and any(char.isdigit() for char in word)


def _with_error(word: str) -> _Word:
    """Return the words from which one error makes `word`: another letter, one more, one less, two swapped.

    A word with one letter more at its end is left out: the beginnings of words were looked for before.
    """
    places = range(len(word))
    spellings = (
        *(word[:at] + _ANY + word[at + 1 :] for at in places),
        *(word[:at] + _ANY + word[at:] for at in places),
        *(word[:at] + word[at + 1 :] for at in places),
        *(word[:at] + word[at + 1] + word[at] + word[at + 2 :] for at in places[:-1]),
    )
    return _Word(tuple(dict.fromkeys(spellings)), is_beginning=len(word) >= _LONG)


_WEEK = timedelta(days=7)
_MOST_REFUSED = 1000  # At most so many refused mails are read. More of them mean that the mail server is broken.


class Listing(enum.Enum):
    """A list; the value is its name in the URL."""

    EXPIRING = "courriers"  # a letter that was not used expires within a week
    REFUSED = "mails"  # the mail server refused the last mail to the address that waits for confirmation


def of_listing(listing: Listing) -> ColumnElement[bool]:
    """Return the condition of the accounts of a list."""
    if listing is Listing.EXPIRING:
        return and_(in_group(Group.LETTER), Account.provisional_expires_at <= now() + _WEEK)
    refused = select(OneTimeLink.account_id).where(
        OneTimeLink.id.in_(_links_of_refused_mails()), OneTimeLink.email == Account.pending_email
    )
    return and_(Account.pending_email.is_not(None), Account.disabled_at.is_(None), Account.id.in_(refused))


def _links_of_refused_mails() -> list[uuid.UUID]:
    dead = (
        select(OutboxMessage.payload)
        .where(
            OutboxMessage.outcome == literal(DEAD, literal_execute=True),  # as the partial index says it
            OutboxMessage.finished_at > now() - _WEEK,
            OutboxMessage.kind == CONFIRM_EMAIL,
        )
        .order_by(OutboxMessage.finished_at.desc())
        .limit(_MOST_REFUSED)
    )
    return [uuid.UUID(payload["link"]) for payload in db.session.scalars(dead) if "link" in payload]


@home.source(access.Right.READ_FAMILIES)
def waiting() -> Iterator[Tile]:
    """Yield the tiles of the lists, for a post at a school."""
    if access.post().school is None:
        return
    yield Tile(
        _count(of_listing(Listing.EXPIRING)),
        gettext("Courriers qui expirent cette semaine"),
        gettext("Ces responsables n’ont pas encore utilisé leur courrier : rappelez-le-leur."),
        url_for("search.search", liste=Listing.EXPIRING.value),
    )
    yield Tile(
        _count(of_listing(Listing.REFUSED)),
        gettext("Mails refusés"),
        gettext("L’adresse est sans doute mal tapée : demandez la bonne au responsable."),
        url_for("search.search", liste=Listing.REFUSED.value),
    )


@home.source(access.Right.PRINT_CLASSES)
def without_letter() -> Iterator[Tile]:
    """Yield the tile of the accounts that get no letter unless somebody prints it."""
    if access.post().school is not None:
        yield Tile(
            _count(in_group(Group.NO_LETTER)),
            gettext("Comptes sans courrier"),
            gettext("Imprimez-les : ces responsables ne peuvent pas encore entrer."),
            url_for("classes.letters", tout="1"),
        )


def _count(selects: ColumnElement[bool]) -> int:
    counted = select(func.count()).select_from(Account).where(access.accounts(), selects)
    return db.session.scalar(counted) or 0


def shown_in(group: Group) -> ColumnElement[bool]:
    """Return the condition of the accounts that the desk shows in a state, for a statement about `Account`.

    An account without an open tie in scope is shown as closed, unless a dispute closes it.
    """
    if group is Group.DISPUTED:
        return in_group(group)
    is_cut_off = and_(ties.are_cut_off(access.children()), ~in_group(Group.DISPUTED))
    return or_(in_group(group), is_cut_off) if group is Group.CLOSED else and_(in_group(group), ~is_cut_off)


@dataclass(frozen=True)
class Filters:
    """What narrows a search: a state, a class ("" for pupils without one), schools that a person of the académie typed.

    None, or no school, stands for all in scope.
    """

    group: Group | None = None
    class_name: str | None = None
    schools: tuple[uuid.UUID, ...] = ()

    @property
    def are_of_schools(self) -> bool:
        """Whether only the families of one school, or of few, are asked for."""
        return bool(self.schools) or access.post().school is not None

    def children(self) -> ColumnElement[bool]:
        """Return the condition of the pupils in scope, in the schools and in the class."""
        in_class = true() if self.class_name is None else Child.class_name == self.class_name
        return and_(access.children(), Child.school_id.in_(self.schools) if self.schools else true(), in_class)

    def accounts(self) -> ColumnElement[bool]:
        """Return the condition of the accounts in scope and in the state, with a pupil in schools and class."""
        in_state = [] if self.group is None else [shown_in(self.group)]
        if self.class_name is None and not self.schools:
            return and_(access.accounts(), *in_state)
        tie = exists().where(
            Guardianship.account_id == Account.id,
            Guardianship.child_id == Child.id,
            ties.are_shown(),
            self.children(),
        )
        return and_(tie, *in_state)
