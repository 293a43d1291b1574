"""CSV as a school's spreadsheet opens it well: UTF-8 with its mark, semicolons, and no cell that is a formula.

Every table that the product writes for people goes through here: a name that a family typed must not become a command
in the secretary's spreadsheet (R-04).
"""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_MARK = b"\xef\xbb\xbf"


def guarded(cell: str) -> str:
    """Return `cell` so that no spreadsheet takes it for a formula: those that begin like one get a leading `'`."""
    return f"'{cell}" if cell.startswith(_FORMULA) or cell.lstrip().startswith(_FORMULA) else cell


def rows_to_csv(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[bytes]:
    """Yield the lines of a CSV file: UTF-8 with a byte order mark, `;`, every cell guarded and quoted, CRLF."""
    yield _MARK + _line(header)
    for row in rows:
        yield _line(row)


def _line(cells: Sequence[str]) -> bytes:
    line = io.StringIO(newline="")
    csv.writer(line, delimiter=";", quoting=csv.QUOTE_ALL).writerow(map(guarded, cells))
    return line.getvalue().encode("utf-8", "replace")
