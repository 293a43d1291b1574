"""How long a password stands against somebody who tries the likely ones first: zxcvbn, French words, bounded time.

zxcvbn tries every reading of look-alike signs (4 for a, $ for s…). Their number multiplies: 72 well-chosen characters
keep it busy for seconds. Beyond a few readings the signs are replaced by their letters before the estimate: it is
then a little too low for a text that is all signs, never too high, and takes half a second at worst, some
milliseconds as a rule.

Its own entry point writes the personal words of one call into a table that all threads share; its parts are called here
instead, with a table of our own.
"""

from collections.abc import Iterable
from math import prod

from zxcvbn import matching, scoring, time_estimates

from idp.accounts.words import lists
from idp.accounts.words.folding import plain

SCORED_LENGTH = 72
"""Characters that are looked at: the work grows with their cube, and what these do not secure the rest seldom does."""
GOOD_SCORE = 3
"""« Safely unguessable » in zxcvbn's words, where tries are counted as they are here: 10⁸ guesses and more."""
_READINGS = 4
_SEPARATORS = dict.fromkeys(map(ord, " -_.,;:/'+*"))
_LETTERS = str.maketrans(
    {sign: letter for letter, signs in reversed(matching.L33T_TABLE.items()) for sign in signs} | {"7": "t"}
)

matching.add_frequency_lists({f"french_{name}": lists.read(name) for name in lists.RANKED})


def score(password: str, personal: Iterable[str]) -> int:
    """Return 0 (guessed at once) to 4 (very strong) for an NFKC text; `personal` are words that lead to its owner.

    Signs between words count for nothing: « soleil-chaton » is no better than « soleilchaton ».
    """
    text = plain(password)[:SCORED_LENGTH]
    known = matching.RANKED_DICTIONARIES | {"user_inputs": matching.build_ranked_dict([w.lower() for w in personal])}
    return min(_score(spelling, known) for spelling in {text, text.translate(_SEPARATORS)} if spelling) if text else 0


def _score(text: str, known: dict[str, dict[str, int]]) -> int:
    text = _few_readings(text)
    found = scoring.most_guessable_match_sequence(text, matching.omnimatch(text, known))
    return int(time_estimates.guesses_to_score(found["guesses"]))


def _few_readings(text: str) -> str:
    table = matching.relevant_l33t_subtable(text, matching.L33T_TABLE)
    shared = [sign for signs in table.values() for sign in signs]
    readings = prod(sum(2 if shared.count(sign) > 1 else 1 for sign in signs) for signs in table.values())
    return text if readings <= _READINGS else text.translate(_LETTERS)
