"""P-03 and 6.5: provisional passwords are 60 bits of Crockford's base32, drawn evenly and shown in groups of four."""

import math
import re
from collections import Counter
from collections.abc import Iterable

import pytest

from idp.letters import provisional

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
SAMPLES = 1_000_000
# 31 degrees of freedom: a fair draw goes beyond this once in 10⁹; a letter favoured by 6 % nearly always; among 200,000
# letters, one favoured by 14 %
CHI2_LIMIT = 105.0


def chi2(counts: Iterable[int]) -> float:
    observed = list(counts)
    expected = sum(observed) / len(observed)
    return sum((count - expected) ** 2 / expected for count in observed)


@pytest.mark.row("P-03")
@pytest.mark.parametrize("samples", [200_000, pytest.param(SAMPLES, marks=pytest.mark.long)])
def test_characters_are_uniform_over_the_crockford_alphabet(samples: int) -> None:
    drawn = [provisional.draw() for _ in range(math.ceil(samples / provisional.LENGTH))]
    letters = Counter("".join(drawn))
    assert set(letters) == set(CROCKFORD)
    assert letters.total() >= samples
    assert chi2(letters[letter] for letter in CROCKFORD) < CHI2_LIMIT
    for place in range(provisional.LENGTH):
        here = Counter(secret[place] for secret in drawn)
        assert chi2(here[letter] for letter in CROCKFORD) < CHI2_LIMIT, f"place {place}"
    assert len(set(drawn)) == len(drawn)


@pytest.mark.row("P-03")
def test_v651_a_secret_holds_sixty_bits_without_ambiguous_characters() -> None:
    assert provisional.ALPHABET == CROCKFORD
    assert len(provisional.draw()) * math.log2(len(CROCKFORD)) == 60


@pytest.mark.row("P-03")
def test_secrets_are_printed_in_groups_of_four() -> None:
    assert provisional.show("7K4MQX2P9RTD") == "7K4M-QX2P-9RTD"
    assert re.fullmatch(r"[0-9A-Z]{4}(-[0-9A-Z]{4}){2}", provisional.show(provisional.draw()))
