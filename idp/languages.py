"""The languages of pages, mails and letters for parents, as BCP 47 tags. French is the source of the texts."""

import re
from collections.abc import Sequence

SOURCE = "fr"  # the language of the texts in the code, and of readers of none of `OFFERED`

OFFERED: tuple[str, ...] = (SOURCE, "en", "ar", "tr", "pt", "es", "uk", "ro", "zh-Hans")
"""The languages that parents may choose, in the order of the switch: those whose catalogue is complete."""

OWN_NAMES = {
    "fr": "Français",
    "en": "English",
    "ar": "العربية",
    "tr": "Türkçe",
    "pt": "Português",
    "es": "Español",
    "uk": "Українська",
    "ro": "Română",
    "zh-Hans": "简体中文",
}
"""Each language by its own name: all that have a catalogue, and French."""

_RIGHT_TO_LEFT = frozenset({"ar"})
_TAG = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{1,8})*")


def offered(tag: str) -> str:
    """Return the offered language that a tag asks for, or an empty string.

    The primary subtag decides: `en-GB` is served in English, `zh-TW` in simplified Chinese rather than in French.
    """
    if len(tag) > 40 or not _TAG.fullmatch(tag):  # noqa: PLR2004 - longer than any registered tag (RFC 5646 4.4.1)
        return ""
    primary = tag.partition("-")[0].lower()
    return next((language for language in OFFERED if language.partition("-")[0] == primary), "")


def first_offered(tags: str) -> str:
    """Return the first offered language among tags separated by spaces, or an empty string."""
    return next(filter(None, map(offered, tags[:200].split())), "")


def of_account(locale: str) -> str:
    """Return the language of an account's mails, by `Account.locale`; French if it is not offered any more."""
    return offered(locale) or SOURCE


def for_account(language: str) -> str:
    """Return the value of `Account.locale` for a language that its person reads."""
    return "fr-FR" if language == SOURCE else language


def locale_name(language: str) -> str:
    """Return the name that Babel and gettext give a language: `zh_Hans`."""
    return language.replace("-", "_")


def direction(language: str) -> str:
    """Return the direction of a language's script, for the attribute `dir`."""
    return "rtl" if language in _RIGHT_TO_LEFT else "ltr"


OF_LETTERS = {
    "en": "anglais",
    "ar": "arabe",
    "tr": "turc",
    "pt": "portugais",
    "es": "espagnol",
    "uk": "ukrainien",
    "ro": "roumain",
    "zh-Hans": "chinois simplifié",
}
"""The languages of which `templates/letter/languages.json` has the texts, in the order of letters without a choice."""


def of_letters(stored: Sequence[str] | None) -> list[str]:
    """Return the languages of a school's letters, in their order; `stored` is `School.letter_languages`."""
    return [tag for tag in (OF_LETTERS if stored is None else stored) if tag in OF_LETTERS]


def in_order_of_letters(stored: Sequence[str] | None, ticked: Sequence[str]) -> list[str]:
    """Return the ticked languages in the order that an operator gave a school's letters; the others come after.

    Letters whose order nobody changed keep the order of `OF_LETTERS`.
    """
    former = of_letters(stored)
    if former == [tag for tag in OF_LETTERS if tag in former]:
        former = list(OF_LETTERS)
    return [tag for tag in dict.fromkeys([*former, *OF_LETTERS]) if tag in ticked]


def letters_to_store(tags: Sequence[str]) -> list[str] | None:
    """Return what is stored for a choice. All languages in their order are no choice: a new one will be added.

    Raises:
        ValueError: letters have no texts in one of the languages.
    """
    unknown = [tag for tag in tags if tag not in OF_LETTERS]
    if unknown:
        raise ValueError(f"letters have no texts in {unknown[0][:20]!r}: choose among {', '.join(OF_LETTERS)}")
    different = list(dict.fromkeys(tags))
    return None if different == list(OF_LETTERS) else different
