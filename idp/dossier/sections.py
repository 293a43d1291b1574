"""Sections of pages of docs/, whose sentences are written once."""

import re

from idp.paths import DOCUMENTS

_HEADING = re.compile(r"^## ", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")


def section(document: str, title: str) -> str:
    """Return the text below the heading that begins with `title`, without links: their pages are not in the file.

    Raises:
        LookupError: the document has no such heading.
    """
    for part in _HEADING.split((DOCUMENTS / document).read_text(encoding="utf-8"))[1:]:
        heading, _, body = part.partition("\n")
        if heading.startswith(title):
            return _LINK.sub(r"\1", body).strip()
    raise LookupError(f"{document} has no section {title!r}")
