"""Sections of docs/conformity.md and docs/doctrine.md, whose sentences are written once."""

import re

from idp.paths import DOCUMENTS

_HEADING = re.compile(r"^## ", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")
RESULTS = {
    "met": "satisfait",
    "**not met**": "**non satisfait**",
    "operator": "à l’exploitant",
    "n/a": "sans objet",
    "here": "ici",
}
"""The words of the third column of docs/conformity.md, in French."""
_HEADERS = {
    "section": "section", "number": "numéro", "requirement": "exigence", "theme": "thème", "asks": "demande",
    "here": "ici", "shown by, or why": "montré par, ou pourquoi",
}  # fmt: skip


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


def conformity(title: str) -> str:
    """Return a section of docs/conformity.md with results and headers in French."""
    return "\n".join(_in_french(line) for line in section("conformity.md", title).splitlines())


def _in_french(line: str) -> str:
    cells = line.split(" | ")
    if not line.startswith("| ") or len(cells) < 4:  # noqa: PLR2004 - the four columns of the tables
        return line
    if cells[1] == "asks":
        names = (cell.strip("| ") for cell in cells)
        return f"| {' | '.join(_HEADERS.get(name, name) for name in names)} |"
    cells[2] = RESULTS.get(cells[2], cells[2])
    return " | ".join(cells)
