"""Estimates how hard a password is to guess: zxcvbn, French words, bounded time.

zxcvbn tries every reading of look-alike signs (4 for a, $ for s…). Their number multiplies: 72 well-chosen characters
keep it busy for seconds. If there are more than a few readings, the text is estimated twice, unchanged and with the
signs replaced by letters, and the lower estimate counts: half a second at worst, some milliseconds usually.

zxcvbn's own entry point writes the personal words of one call into a table that all threads share. This module calls
its parts instead, with a table of its own.
"""

from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from math import prod
from typing import Any

from zxcvbn import matching, scoring, time_estimates

from idp.accounts.passwords.words import lists
from idp.folding import plain

SCORED_LENGTH = 72
"""The number of characters that are estimated: the work grows with their cube, and further characters seldom matter."""
GOOD_SCORE = 3
"""« Safely unguessable » in zxcvbn's words: 10⁸ guesses and more, if tries are rate-limited as they are here."""
_READINGS = 4
_SEPARATORS = dict.fromkeys(map(ord, " -_.,;:/'+*"))
_LETTERS = str.maketrans(
    {sign: letter for letter, signs in reversed(matching.L33T_TABLE.items()) for sign in signs} | {"7": "t"}
)

_ONE_READING = (  # without repeats: that matcher tries every reading, and the other estimate finds repeats
    matching.dictionary_match,
    matching.reverse_dictionary_match,
    matching.spatial_match,
    matching.sequence_match,
    matching.regex_match,
    matching.date_match,
)
_Ranked = dict[str, dict[str, int]]

matching.add_frequency_lists({f"french_{name}": lists.read(name) for name in lists.RANKED})
matching.add_frequency_lists({"french_postcodes": lists.postcodes()})


def score(password: str, personal: Iterable[str]) -> int:
    """Return 0 (guessed at once) to 4 (very strong) for an NFKC text; `personal` are words about its owner.

    Signs between words do not count: « soleil-chaton » is no better than « soleilchaton ».
    """
    text = plain(password)[:SCORED_LENGTH]
    known = matching.RANKED_DICTIONARIES | {"user_inputs": matching.build_ranked_dict([w.lower() for w in personal])}
    spellings = {text, text.translate(_SEPARATORS)} - {""}
    return min((int(time_estimates.guesses_to_score(_guesses(s, known))) for s in spellings), default=0)


def _guesses(text: str, known: _Ranked) -> Decimal:
    if _readings(text) <= _READINGS:
        return _estimate(text, matching.omnimatch(text, known))
    letters = text.translate(_LETTERS)
    as_it_stands = [match for find in _ONE_READING for match in find(text, _ranked_dictionaries=known)]
    return min(_estimate(text, as_it_stands), _estimate(letters, matching.omnimatch(letters, known)))


def _estimate(text: str, matches: list[dict[str, Any]]) -> Decimal:
    return Decimal(scoring.most_guessable_match_sequence(text, matches)["guesses"])


def _readings(text: str) -> int:
    """Return an upper bound of the number of readings that zxcvbn would try."""
    table = matching.relevant_l33t_subtable(text, matching.L33T_TABLE)
    shared = Counter(sign for signs in table.values() for sign in signs)
    return prod(sum(2 if shared[sign] > 1 else 1 for sign in signs) for signs in table.values())
