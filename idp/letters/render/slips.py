"""Letters as slips, four to a sheet with lines to cut along, for schools that save paper.

The layout is `templates/letter/strip.typ`. One person each, whole in its quarter of the sheet: slip K of page N is the
letter 4 (N - 1) + K, and no other.
"""

from collections.abc import Iterable

from idp.letters.render.pdf import Letter, typeset
from idp.paths import TEMPLATES

PER_SHEET = 4
_TEMPLATE = TEMPLATES / "letter" / "strip.typ"


def render(letters: Iterable[Letter]) -> bytes:
    """Return one PDF/UA-1 file with the slips of `letters`, in their order.

    Raises:
        idp.letters.render.pdf.LetterError: as for letters of a page each.
    """
    batch = list(letters)
    return typeset(_TEMPLATE, batch, [(rank // PER_SHEET + 1,) * 2 for rank in range(len(batch))])
