"""The lists, read once."""

from functools import cache
from pathlib import Path

from zxcvbn.frequency_lists import FREQUENCY_LISTS

from idp.accounts.words.folding import fold

_FOLDER = Path(__file__).parent
RANKED = ("common", "given_names", "school", "calendar", "phrases")
"""The files whose order is a rank."""


def read(name: str) -> list[str]:
    """Return the entries of `name`.txt, folded, each once, in the file's order."""
    lines = (_FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return list(dict.fromkeys(fold(line.strip()) for line in lines if line.strip() and not line.startswith("#")))


@cache
def common() -> frozenset[str]:
    """Return all that is refused as a whole password: zxcvbn's 30,000 most used, and our own words and phrases."""
    ours = (entry for name in RANKED for entry in read(name))
    return frozenset(ours) | frozenset(fold(entry) for entry in FREQUENCY_LISTS["passwords"])


@cache
def school_types() -> frozenset[str]:
    """Return the words that half of all schools have in their name: they name no school."""
    return frozenset(read("school_types"))
