"""The word lists, read once."""

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from idp.accounts.passwords import breached
from idp.folding import fold

if TYPE_CHECKING:
    from rbloom import Bloom

_FOLDER = Path(__file__).parent
_LONG = 12
RANKED = ("common", "given_names", "school", "calendar", "phrases", "phrase_parts", "towns")
"""The files whose order is a rank."""


def read(name: str) -> list[str]:
    """Return the entries of `name`.txt, folded, each once, in the file's order."""
    lines = (_FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return list(dict.fromkeys(fold(line.strip()) for line in lines if line.strip() and not line.startswith("#")))


def postcodes() -> list[str]:
    """Return French postcodes, those of large towns first: people write them behind the town's name.

    All possible postcodes are included, also some that do not exist: that changes the estimate little.
    """
    departments = ["75", "13", "69", *(f"{number:02}" for number in range(1, 96))]
    overseas = [f"97{number}" for number in (1, 2, 3, 4, 6)]
    first = [*(f"{d}000" for d in departments), *(f"{d}00" for d in overseas)]
    districts = [f"{d}0{n:02}" for d in ("75", "13", "69") for n in range(1, 21)]
    rest = [f"{d}{n:02}0" for n in range(1, 100) for d in departments]
    return list(dict.fromkeys((*first, *districts, *rest, *(f"{d}{n}0" for d in overseas for n in range(1, 10)))))


def is_common(folded: str) -> bool:
    """Return whether a folded text is refused as a whole password.

    Beside the words of `common` these are the long ones among the million most used passwords: OWASP ASVS 5.0, 6.2.4
    asks for 3,000 that a policy of 12 characters would allow.
    """
    return folded in common() or (len(folded) >= _LONG and folded in _long())


@cache
def _long() -> "Bloom":
    """Return the filter of the 44,150 passwords of 12 characters or more in the million most used.

    They come from « 10 million passwords » (Mark Burnett, 2015, public domain). When the format or the folding changes,
    make the file again: `idp passwords load` with `10-million-password-list-top-1000000.txt` of OWASP SecLists.
    """
    return breached.load(_FOLDER / "long_passwords.filter")[1]


@cache
def common() -> frozenset[str]:
    """Return zxcvbn's 30,000 most used passwords, and our own words and phrases."""
    from zxcvbn.frequency_lists import FREQUENCY_LISTS  # noqa: PLC0415 - 7 MiB, for the first new password

    ours = (entry for name in RANKED for entry in read(name))
    return frozenset(ours) | frozenset(fold(entry) for entry in FREQUENCY_LISTS["passwords"])


@cache
def _postcodes() -> frozenset[str]:
    return frozenset(postcodes())


def is_postcode(digits: str) -> bool:
    """Return whether digits may be a French postcode."""
    return digits in _postcodes()


@cache
def _phrase() -> re.Pattern[str]:
    """Return the pattern of phrases that consist of a few common pieces: « jesuislemeilleur »."""
    pieces = sorted(read("phrase_parts"), key=len, reverse=True)
    return re.compile(f"(?:{'|'.join(map(re.escape, pieces))}){{1,3}}")


def is_phrase(word: str) -> bool:
    """Return whether a folded text without gaps consists of at most three pieces of common phrases."""
    return _phrase().fullmatch(word) is not None


@cache
def school_types() -> frozenset[str]:
    """Return the words that occur in the names of many schools: they do not tell one school from another."""
    return frozenset(read("school_types"))
