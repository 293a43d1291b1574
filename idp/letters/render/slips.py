"""Renders letters as slips, three to a sheet with lines to cut along (`templates/letter/strip.typ`).

Slip K of page N is letter 3 (N - 1) + K: each letter is within its third of the sheet.
"""

from collections.abc import Iterable

from idp.letters.render.pdf import Letter, typeset
from idp.paths import TEMPLATES

PER_SHEET = 3
_TEMPLATE = TEMPLATES / "letter" / "strip.typ"


def render(letters: Iterable[Letter]) -> bytes:
    """Return one PDF/UA-1 file with the slips of `letters`, in their order.

    Raises:
        LetterError: see `pdf.render`.
    """
    batch = list(letters)
    return typeset(_TEMPLATE, batch, [(rank // PER_SHEET + 1,) * 2 for rank in range(len(batch))])
