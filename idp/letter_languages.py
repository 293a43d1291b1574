"""The languages of letters beside French, as BCP 47 tags."""

from collections.abc import Sequence

LANGUAGES = {
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


def chosen(stored: Sequence[str] | None) -> list[str]:
    """Return the languages of a school's letters, in their order; `stored` is `School.letter_languages`."""
    return [tag for tag in (LANGUAGES if stored is None else stored) if tag in LANGUAGES]


def in_order(stored: Sequence[str] | None, ticked: Sequence[str]) -> list[str]:
    """Return the ticked languages in the order that an operator gave a school's letters; the others come after.

    Letters whose order nobody changed keep the order of `LANGUAGES`.
    """
    former = chosen(stored)
    if former == [tag for tag in LANGUAGES if tag in former]:
        former = list(LANGUAGES)
    return [tag for tag in dict.fromkeys([*former, *LANGUAGES]) if tag in ticked]


def to_store(tags: Sequence[str]) -> list[str] | None:
    """Return what is stored for a choice. All languages in their order are no choice: a new one will be added.

    Raises:
        ValueError: letters have no texts in one of the languages.
    """
    unknown = [tag for tag in tags if tag not in LANGUAGES]
    if unknown:
        raise ValueError(f"letters have no texts in {unknown[0][:20]!r}: choose among {', '.join(LANGUAGES)}")
    different = list(dict.fromkeys(tags))
    return None if different == list(LANGUAGES) else different
