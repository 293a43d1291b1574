"""Reads a CSV file as rows of cells: finds its encoding and its delimiter, and reports its mistakes (R-03).

The encoding is the one of the byte order mark, or UTF-8 if the whole file is valid UTF-8, or cp1252, which Excel and
ONDE write in France. Detection takes two passes, so that the file is copied first: in memory if it is small, otherwise
to a nameless file.

No line is skipped silently. A row that cannot be read is an `Issue` with its line, and reading continues with the next
physical line: a quote that is never closed loses one row and not the rest of the file.
"""

import codecs
import io
import itertools
import re
import shutil
import tempfile
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, cast

from idp.rostering.files.sources import Source
from idp.rostering.records import Issue, Place, Severity

LONGEST_CELL = 131_072
LONGEST_LINE = 1 << 20
MOST_COLUMNS = 1_000
MOST_LINES = 20  # the most physical lines of one row: a cell with a postal address may have line breaks

DELIMITERS = ";\t,"

ROWS_PER_TICK = 100  # how many rows are read between two calls of `Source.tick`

_IN_MEMORY = 16 << 20
_CHUNK = 1 << 16
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark is its beginning
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_QUOTED = re.compile(r'"([^"]*+(?:""[^"]*+)*+)"')

_MESSAGES = {
    "encoding_unknown": "L’encodage demandé n’existe pas, ou n’est pas celui d’un texte.",
    "encoding_wrong": "Un caractère de cette ligne ne peut pas être lu : enregistrez le fichier en « CSV UTF-8 ».",
    "file_empty": "Le fichier ne contient aucune ligne.",
    "no_delimiter": "La première ligne n’a qu’une colonne : le fichier doit être un CSV à points-virgules.",
    "nul_character": "Cette ligne contient un caractère nul : le fichier est abîmé, ou n’est pas un CSV.",
    "too_many_columns": f"La première ligne a plus de {MOST_COLUMNS} colonnes : ce n’est pas un fichier de familles.",
    "too_many_cells": "Cette ligne a plus de cases que le fichier n’a de colonnes : elle n’est pas lue.",
    "line_too_long": "Cette ligne est démesurément longue : elle n’est pas lue.",
    "cell_too_long": f"Une case de cette ligne dépasse {LONGEST_CELL} caractères : la ligne n’est pas lue.",
    "quote_not_closed": "Un guillemet est ouvert à cette ligne et n’est pas fermé : la ligne n’est pas lue.",
    "quote_misplaced": "Un guillemet est fermé au milieu d’une case de cette ligne : elle n’est pas lue.",
}


@dataclass(frozen=True, slots=True)
class Row:
    """A row: the physical line where it begins, from 1, and its cells without surrounding spaces."""

    line: int
    cells: list[str]


class UnreadableRowError(Exception):
    """Say that a row, or the whole file, cannot be read; `code` is an `Issue`'s."""

    def __init__(self, code: str, line: int) -> None:
        super().__init__(code)
        self.code = code
        self.line = line


def read_rows(source: Source, encoding: str | None = None) -> Iterator[Row | Issue]:
    """Yield the header of a CSV file, then its rows, each as wide as the header; empty rows are skipped.

    An issue instead of the header means that the file cannot be read at all. An issue after it stands for one row that
    cannot be read; its `refuses` is empty, because only the caller knows what a row is.
    """
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as spooled:
        copy = cast("BinaryIO", spooled)
        shutil.copyfileobj(source.stream, copy, _CHUNK)
        try:
            codec, start = _find_codec(copy, encoding)
            copy.seek(start)
            lines = _Lines(io.TextIOWrapper(copy, encoding=codec, newline=None))
            header, delimiter = _header(lines)
        except UnreadableRowError as error:
            yield _issue(error, source.name)
            return
        yield header
        for number in itertools.count():
            if number % ROWS_PER_TICK == 0:  # the copy was read long ago, so that the stream reports no progress
                source.tick()
            try:
                row = _next_row(lines, delimiter, len(header.cells))
            except UnreadableRowError as error:
                yield _issue(error, source.name)
                continue
            if row is None:
                return
            if any(row.cells):
                yield row


def header_of(head: bytes) -> list[str]:
    """Return the cells of the first line of a file that begins with `head`; empty if the file is not a table."""
    codec, start = _by_mark(head)
    for candidate in [codec] if codec else ["utf-8", "cp1252"]:
        decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(candidate)(), translate=True)
        try:
            text = decoder.decode(head[start:])
        except UnicodeError:
            continue
        try:
            return _header(_Lines(io.StringIO(text)))[0].cells
        except UnreadableRowError:
            return []
    return []


def _by_mark(head: bytes) -> tuple[str, int]:
    for mark, codec in _MARKS:
        if head.startswith(mark):
            return codec, len(mark)
    return "", 0


def _find_codec(copy: BinaryIO, forced: str | None) -> tuple[str, int]:
    """Return the encoding of a file, and how many bytes its byte order mark has."""
    if forced is not None:
        try:
            io.TextIOWrapper(io.BytesIO(), encoding=forced)
            codecs.getincrementaldecoder(forced)
        except (LookupError, ValueError):
            raise UnreadableRowError("encoding_unknown", 1) from None
        _check_decodes(copy, forced, 0)
        return forced, 0
    copy.seek(0)
    codec, start = _by_mark(copy.read(4))
    if not codec:
        try:
            _check_decodes(copy, "utf-8", 0)
        except UnreadableRowError:
            codec = "cp1252"
        else:
            return "utf-8", 0
    _check_decodes(copy, codec, start)
    return codec, start


def _check_decodes(copy: BinaryIO, codec: str, start: int) -> None:
    copy.seek(start)
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(codec)(), translate=True)
    line = 1
    while True:
        chunk = copy.read(_CHUNK)
        try:
            line += decoder.decode(chunk, final=not chunk).count("\n")
        except UnicodeDecodeError as error:
            good = error.object[: error.start].decode(codec, "ignore")
            raise UnreadableRowError("encoding_wrong", line + len(re.findall(r"\r\n?|\n", good))) from None
        except UnicodeError:
            raise UnreadableRowError("encoding_wrong", line) from None
        if not chunk:
            return


class _Lines:
    """Physical lines without their ends, with look-ahead."""

    def __init__(self, text: io.TextIOBase) -> None:
        self.taken = 0
        self._text = text
        self._waiting: deque[str] = deque()

    def look(self, ahead: int) -> str | None:
        """Return the line that is `ahead` lines after the next one; None beyond the end."""
        while len(self._waiting) <= ahead:
            line = self._text.readline(LONGEST_LINE + 2)
            if not line:
                return None
            rest = line
            while not rest.endswith("\n") and len(rest) > LONGEST_LINE:
                rest = self._text.readline(LONGEST_LINE + 2)
            self._waiting.append(line.removesuffix("\n"))
        return self._waiting[ahead]

    def take(self, count: int) -> None:
        """Drop the next `count` lines, which have been looked at."""
        self.taken += count
        for _ in range(count):
            self._waiting.popleft()


def _header(lines: _Lines) -> tuple[Row, str]:
    while (first := lines.look(0)) is not None and not first.strip("\ufeff \t;,"):
        lines.take(1)
    if first is None:
        raise UnreadableRowError("file_empty", 1)
    bare = re.sub(r'"[^"]*+"', "", first)
    delimiter = max(DELIMITERS, key=bare.count)
    if not bare.count(delimiter):
        raise UnreadableRowError("nul_character" if "\0" in first else "no_delimiter", lines.taken + 1)
    row = _next_row(lines, delimiter, 0)
    if row is None or len(row.cells) > MOST_COLUMNS:
        raise UnreadableRowError("too_many_columns", lines.taken)
    return row, delimiter


def _next_row(lines: _Lines, delimiter: str, width: int) -> Row | None:
    """Take the next row; None at the end of the file. `width` is its number of cells, 0 for the header."""
    text = lines.look(0)
    if text is None:
        return None
    start = lines.taken + 1
    try:
        cells, count = _whole_row(lines, text, delimiter, start)
        _check_cells(cells, delimiter, width, start)
    except UnreadableRowError:
        lines.take(1)
        raise
    lines.take(count)
    cells = [cell.strip() for cell in cells]
    return Row(start, cells[:width] + [""] * (width - len(cells)) if width else cells)


def _whole_row(lines: _Lines, text: str, delimiter: str, start: int) -> tuple[list[str], int]:
    """Return the cells of the row that begins with the line `text`, and how many physical lines it has."""
    text = text.lstrip("\ufeff") if start == 1 else text
    for count in range(1, MOST_LINES + 1):
        if len(text) > LONGEST_LINE:
            raise UnreadableRowError("line_too_long", start)
        if "\0" in text:
            raise UnreadableRowError("nul_character", start)
        cells, opened = _split(text, delimiter)
        if opened is None:
            return cells, count
        opened_on = start + text.count("\n", 0, opened)
        # if no delimiter follows the last quote, the quote belongs to another row
        if _QUOTED.match(text, opened):
            raise UnreadableRowError("quote_not_closed" if count > 1 else "quote_misplaced", opened_on)
        following = lines.look(count)
        if following is None:
            break
        text = f"{text}\n{following}"
    raise UnreadableRowError("quote_not_closed", opened_on)


def _split(text: str, delimiter: str) -> tuple[list[str], int | None]:
    """Return the cells of `text`, and the index of a quote that is not closed properly, or None."""
    if '"' not in text:
        return text.split(delimiter), None
    cells: list[str] = []
    at = 0
    while True:
        if text.startswith('"', at):
            quoted = _QUOTED.match(text, at)
            if quoted is None or (quoted.end() < len(text) and text[quoted.end()] != delimiter):
                return cells, at
            cells.append(quoted[1].replace('""', '"'))
            at = quoted.end()
        else:
            end = text.find(delimiter, at)
            end = len(text) if end < 0 else end
            cells.append(text[at:end])
            at = end
        if at >= len(text):
            return cells, None
        at += 1


def _check_cells(cells: list[str], delimiter: str, width: int, line: int) -> None:
    """Check the number and the length of the cells, and that none contains the end of its row."""
    swallowed = width - 1 if delimiter == "," else 1  # a postal address may contain commas, but fewer than a row
    for cell in cells:
        if len(cell) > LONGEST_CELL:
            raise UnreadableRowError("cell_too_long", line)
        if width and "\n" in cell and cell.count(delimiter) >= swallowed:
            raise UnreadableRowError("quote_not_closed", line)
    if width and any(cell.strip() for cell in cells[width:]):
        raise UnreadableRowError("too_many_cells", line)


def _issue(error: UnreadableRowError, name: str) -> Issue:
    return Issue(Severity.ERROR, Place(name, error.line), "", error.code, _MESSAGES[error.code])
