"""The password policy (NIST SP 800-63B-4 3.1.1.2, CNIL 2022-100): long, unlike its owner's data, hard to guess.

There is no rule on kinds of characters; spaces and emoji are allowed. Each fault says what is wrong and what to do.
"""

import enum
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from flask_babel import lazy_gettext as _, lazy_ngettext
from flask_babel.speaklater import LazyString

from idp.accounts import directory
from idp.accounts.models import Account
from idp.accounts.passwords.hasher import MAX_PASSWORD_LENGTH, Hasher, fold_provisional, looks_provisional, normalise
from idp.accounts.passwords.words import lists
from idp.folding import fold

EXAMPLES = {
    "fr": "fenêtre pinceau lapin caramel",
    "en": "window paintbrush rabbit caramel",
    "ar": "نافذة فرشاة أرنب كراميل",
    "tr": "pencere fırça tavşan karamel",
    "pt": "janela pincel coelho caramelo",
    "es": "ventana pincel conejo caramelo",
    "uk": "вікно пензель кролик карамель",
    "ro": "fereastră pensulă iepure caramel",
    "zh-Hans": "向日葵 自行车 巧克力 望远镜",
}
"""The example that the pages print beside the field, by language."""

_LONG_WORD = 4
_SHORT_WORD = 2
_FEW_SIGNS = 4
_MANY_WORDS = 3  # a password with this many words of the example counts as the example
_YEAR = re.compile(r"(?:19|20)\d\d")
_LOOK_ALIKES = str.maketrans("013457@$!", "oieastasi")
_RUN = re.compile(r"[^\W_]+")
_LETTERS = re.compile(r"[^\W\d_]+")


class FaultCode(enum.StrEnum):
    """The reason why a password is refused, for forms and tests."""

    EMPTY = "empty"
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    IDENTIFIER = "identifier"
    NAME = "name"
    CHILD = "child"
    SCHOOL = "school"
    PROVISIONAL = "provisional"
    COMMON = "common"
    BREACHED = "breached"
    EXAMPLE = "example"
    GUESSABLE = "guessable"


@dataclass(frozen=True)
class Fault:
    """One reason, and its sentence in the reader's language."""

    code: FaultCode
    message: LazyString


@dataclass(frozen=True)
class Identity:
    """The person whose password is checked.

    Attributes:
        username: the identifier.
        names: given, family and birth names of the person.
        children: first names of the children.
        schools: names of their schools.
        services: names of this service, the académie and the ENTs. They are easy to guess, but allowed within a phrase.
        is_provisional: returns whether a text is the letter's secret; called only for texts of that form.
    """

    username: str
    names: tuple[str, ...] = ()
    children: tuple[str, ...] = ()
    schools: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    is_provisional: Callable[[str], bool] | None = None


def check_password(
    password: str, *, person: Identity, min_length: int = 12, is_breached: Callable[[str], bool] | None = None
) -> list[Fault]:
    """Return all faults of a new password; an empty list accepts it.

    `is_breached` returns whether a password is in a list of stolen ones (`idp.accounts.passwords.breached`).

    Whether the password is easy to guess is told only if nothing else is wrong: taking a name out changes the answer.

    Raises:
        HasherBusyError: from `person.is_provisional`, if its hash could not be computed in time.
    """
    if not password:
        message = lazy_ngettext(
            "Ce champ est vide. Choisissez un mot de passe de %(num)s caractère au moins.",
            "Ce champ est vide. Choisissez un mot de passe de %(num)s caractères au moins.",
            min_length,
        )
        return [Fault(FaultCode.EMPTY, message)]
    if len(password) > MAX_PASSWORD_LENGTH:
        message = lazy_ngettext(
            "Ce mot de passe dépasse %(num)s caractère. Prenez-en un plus court.",
            "Ce mot de passe dépasse %(num)s caractères. Prenez-en un plus court.",
            MAX_PASSWORD_LENGTH,
        )
        return [Fault(FaultCode.TOO_LONG, message)]
    if _is_provisional(password, person):
        message = _("C’est le mot de passe provisoire du courrier. Choisissez-en un autre, connu de vous seul.")
        return [Fault(FaultCode.PROVISIONAL, message)]
    text = normalise(password)
    faults = []
    # Both lengths: NFKC composes twelve code points to six é, and expands one ligature to eighteen letters.
    if min(len(password), len(text)) < min_length:
        message = lazy_ngettext(
            "Il faut %(num)s caractère au moins. Ajoutez un mot : les espaces comptent.",
            "Il faut %(num)s caractères au moins. Ajoutez un mot : les espaces comptent.",
            min_length,
        )
        faults.append(Fault(FaultCode.TOO_SHORT, message))
    faults += _personal_faults(fold(text), person)
    return faults or _guessing_faults(text, person, is_breached)


def _is_provisional(password: str, person: Identity) -> bool:
    return bool(
        person.is_provisional and looks_provisional(fold_provisional(password)) and person.is_provisional(password)
    )


def _personal_faults(folded: str, person: Identity) -> list[Fault]:
    faults = []
    names = _words(person.names)
    if _contains_identifier(folded, person.username):
        message = _(
            "Ce mot de passe contient votre identifiant. Retirez-le, ou prenez quatre mots sans rapport avec vous."
        )
        faults.append(Fault(FaultCode.IDENTIFIER, message))
    elif _contains(folded, names):  # an identifier contains the name: one reason is enough
        message = _(
            "Ce mot de passe contient votre nom ou votre prénom. "
            "Retirez-le, ou prenez quatre mots sans rapport avec vous."
        )
        faults.append(Fault(FaultCode.NAME, message))
    if _contains(folded, _words(person.children) - names):
        message = _(
            "Ce mot de passe contient le prénom de votre enfant. "
            "Retirez-le, ou prenez quatre mots sans rapport avec vous."
        )
        faults.append(Fault(FaultCode.CHILD, message))
    if _contains(folded, {word for word in _school_words(person.schools) if len(word) >= _LONG_WORD}):
        message = _(
            "Ce mot de passe contient le nom de l’établissement. "
            "Retirez-le, ou prenez quatre mots sans rapport avec vous."
        )
        faults.append(Fault(FaultCode.SCHOOL, message))
    return faults


def _guessing_faults(text: str, person: Identity, is_breached: Callable[[str], bool] | None) -> list[Fault]:
    if _is_example(fold(text)):
        return [Fault(FaultCode.EXAMPLE, _("C’est l’exemple de cette page, ou presque. Choisissez vos propres mots."))]
    if _is_common(fold(text)):
        message = _("Ce mot de passe est l’un des plus utilisés. Prenez quatre mots sans rapport entre eux.")
        return [Fault(FaultCode.COMMON, message)]
    if is_breached and is_breached(text):
        message = _(
            "Ce mot de passe, ou un autre presque pareil, est dans une liste de mots de passe volés. "
            "Prenez quatre mots sans rapport entre eux."
        )
        return [Fault(FaultCode.BREACHED, message)]
    from idp.accounts.passwords.words import strength  # noqa: PLC0415 - its lists take 15 MiB, and few requests choose a password

    services = _words(person.services)
    personal = {fold(person.username), *_words([*person.names, *person.children]), *_school_words(person.schools)}
    personal |= services
    if _is_commonplace(fold(text), services) or strength.score(text, sorted(personal)) < strength.GOOD_SCORE:
        message = _("Ce mot de passe se devine trop facilement. Ajoutez un ou deux mots sans rapport entre eux.")
        return [Fault(FaultCode.GUESSABLE, message)]
    return []


def _words(names: Iterable[str]) -> set[str]:
    """Return the words of `names`, folded, and each name written in one piece: « Le Goff » gives le, goff, legoff."""
    words: set[str] = set()
    for name in names:
        parts = _RUN.findall(fold(name))
        words |= {word for word in (*parts, "".join(parts)) if len(word) >= _SHORT_WORD}
    return words


def _school_words(schools: Iterable[str]) -> set[str]:
    """Return the words that tell one school from another: « Collège Jean Moulin » gives jean, moulin, jeanmoulin."""
    types = lists.school_types()
    return _words(" ".join(word for word in _RUN.findall(fold(name)) if word not in types) for name in schools)


def _contains_identifier(folded: str, username: str) -> bool:
    identifier = "".join(_RUN.findall(fold(username)))
    return len(identifier) >= _LONG_WORD and identifier in "".join(_RUN.findall(folded))


def _contains(folded: str, words: set[str]) -> bool:
    """Return whether the password contains one of `words`; look-alike signs are also read as letters.

    A word of four letters or more is refused anywhere. A shorter one (Léo, Li) occurs in many words by chance: it is
    refused only if at least half of the password's letters are such words, as in « Leo-2015-2015 ».
    """
    for text in (folded, folded.translate(_LOOK_ALIKES)):
        if any(word in run for run in _RUN.findall(text) for word in words if len(word) >= _LONG_WORD):
            return True
    short = sorted((word for word in words if len(word) < _LONG_WORD), key=len, reverse=True)
    letters = _LETTERS.findall(folded)
    if not short or not letters:
        return False
    pattern = re.compile("|".join(re.escape(word) for word in short))
    covered = sum(len(piece) for run in letters for piece in pattern.findall(run))
    return 2 * covered >= sum(map(len, letters))


def _is_example(folded: str) -> bool:
    """Return whether the password is an example of any language: reordered, decorated, or with one word replaced."""
    spellings = ["".join(_RUN.findall(spelling)) for spelling in (folded, folded.translate(_LOOK_ALIKES))]
    return any(
        sum(word in spelling for word in fold(example).split()) >= _MANY_WORDS
        for example in EXAMPLES.values()
        for spelling in spellings
    )


def _is_common(folded: str) -> bool:
    """Return whether the password is a common one, bare or decorated with digits and signs that are not most of it."""
    whole = "".join(_RUN.findall(folded))
    core = re.sub(r"^[\W\d_]+|[\W\d_]+$", "", folded)
    for spelling in (core, core.translate(_LOOK_ALIKES)):
        word = "".join(_RUN.findall(spelling))
        if 2 * len(word) >= len(folded) and lists.is_common(word):
            return True
    return lists.is_common(folded) or lists.is_common(whole)


def _is_commonplace(folded: str, services: set[str]) -> bool:
    core = re.sub(r"^[\W\d_]+|[\W\d_]+$", "", folded)
    for spelling in (core, core.translate(_LOOK_ALIKES)):
        word = "".join(_RUN.findall(spelling))
        if 2 * len(word) >= len(folded) and lists.is_phrase(word):
            return True
    return _is_word_and_number(folded, services)


def _is_word_and_number(folded: str, services: set[str]) -> bool:
    """Return whether a password is only a common word, a postcode or a year, and signs: « Paris75000!! ».

    A repeated sign counts once.
    """
    letters, digits = "".join(_LETTERS.findall(folded)), "".join(filter(str.isdecimal, folded))
    signs = sum(1 for sign, _ in groupby(folded) if not sign.isalnum())
    is_known = letters in lists.common() or letters in services
    is_number = lists.is_postcode(digits) or _YEAR.fullmatch(digits) is not None
    return is_known and is_number and signs <= _FEW_SIGNS


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
