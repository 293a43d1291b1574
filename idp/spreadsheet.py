"""CSV for French spreadsheets: UTF-8 with a byte order mark, semicolons, no formulas.

All CSV files of the product are written here, so that no name becomes a formula in a spreadsheet (R-04).
"""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_MARK = b"\xef\xbb\xbf"


def guarded(cell: str) -> str:
    """Return `cell`, with a leading `'` if a spreadsheet would read it as a formula."""
    return f"'{cell}" if cell.startswith(_FORMULA) or cell.lstrip().startswith(_FORMULA) else cell


def rows_to_csv(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[bytes]:
    """Yield the lines of a CSV file, with every cell guarded and quoted, and CRLF."""
    yield _MARK + _line(header)
    for row in rows:
        yield _line(row)


def _line(cells: Sequence[str]) -> bytes:
    line = io.StringIO(newline="")
    csv.writer(line, delimiter=";", quoting=csv.QUOTE_ALL).writerow(map(guarded, cells))
    return line.getvalue().encode("utf-8", "replace")
