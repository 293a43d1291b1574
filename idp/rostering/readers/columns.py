"""Finds the fields of a CSV file among its columns, and reads them row by row.

A field has one column, or several: they differ by a number (`idenfant1`, `idenfant2`) or by their order, as ONDE
repeats four headers for every child. Such columns are grouped in blocks.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from idp.rostering.files.text import Row
from idp.rostering.readers import values
from idp.rostering.records import LONGEST, Issue, Place, Record, Severity

_NUMBERED = re.compile(r"(.*?)[-_(]?([0-9]{1,4})\)?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_SHOWN = 10
_LONGEST_SHOWN = 40

UNREADABLE = (
    "Une case de cette ligne contient un caractère interdit, ou un retour à la ligne : la ligne n’est pas prise."
)


class UnreadableCellError(Exception):
    """Say that a row, or a part of it, cannot become a record; `code` and the message are an `Issue`'s."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The headers of one kind of file, as `values.clean` returns them.

    Attributes:
        once: Header to field, for columns that come once.
        blocks: Header to field, for columns that may be repeated.
        ignored: Known headers of columns that are not needed.
    """

    once: Mapping[str, str]
    blocks: Mapping[str, str]
    ignored: Collection[str] = ()

    def needs(self, headers: Collection[str], *fields: str) -> bool:
        """Return whether cleaned `headers` have a column for each of `fields`."""
        return set(fields) <= {self.once[header] for header in headers if header in self.once}


@dataclass(slots=True)
class Columns:
    """The columns of the fields of one file.

    Attributes:
        once: Field to column.
        blocks: For each block, in order, field to column.
        unknown: Headers that no field has.
        doubled: Headers that come twice and must not.
    """

    once: dict[str, int] = field(default_factory=dict)
    blocks: list[dict[str, int]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)


def clean_headers(cells: Sequence[str]) -> list[str]:
    """Return headers as they are compared, shortened."""
    return [values.clean(cell[: LONGEST["name"]]) for cell in cells]


def find_columns(headers: Sequence[str], vocabulary: Vocabulary) -> Columns:
    """Return the columns of the fields of `vocabulary` among cleaned `headers`."""
    columns = Columns()
    times: Counter[str] = Counter()
    blocks: dict[int, dict[str, int]] = {}
    for at, header in enumerate(headers):
        base, number = (header, "") if header in vocabulary.blocks else _parts(header)
        if header in vocabulary.once:
            name, place = vocabulary.once[header], columns.once
        elif base in vocabulary.blocks:
            times[base] += not number
            name, place = vocabulary.blocks[base], blocks.setdefault(int(number or times[base]), {})
        else:
            if header and header not in vocabulary.ignored:
                columns.unknown.append(header)
            continue
        if name not in place:
            place[name] = at
        elif header == headers[place[name]]:
            columns.doubled.append(header)
        else:
            columns.unknown.append(header)  # a synonym of an earlier column
    columns.blocks = [blocks[number] for number in sorted(blocks)]
    return columns


def issues_of(columns: Columns, place: Place) -> Iterator[Issue]:
    """Yield the issues of the headers of a file; an error means that the file cannot be read."""
    if columns.doubled:
        message = f"Deux colonnes ont le même nom : {_listed(columns.doubled)}. Le fichier n’est pas lu."
        yield Issue(Severity.ERROR, place, "", "column_twice", message)
    elif columns.unknown:
        message = f"Des colonnes ne sont pas connues et ne sont pas lues : {_listed(columns.unknown)}."
        yield Issue(Severity.WARNING, place, "", "unknown_column", message)


def _parts(header: str) -> tuple[str, str]:
    numbered = _NUMBERED.fullmatch(header)
    return (numbered[1], numbered[2]) if numbered else (header, "")


def _listed(headers: Sequence[str]) -> str:
    shown = [_CONTROL.sub("�", header[:_LONGEST_SHOWN]) for header in dict.fromkeys(headers)]
    return ", ".join(f"« {header} »" for header in shown[:_SHOWN]) + (", …" if len(shown) > _SHOWN else "")


@dataclass(slots=True)
class Cells:
    """The fields of one row, and the issues of those that have been read."""

    columns: Columns
    row: Sequence[str]
    place: Place
    warnings: list[Issue] = field(default_factory=list)

    def raw(self, name: str, block: Mapping[str, int] | None = None) -> str:
        """Return an unchecked field of the row or of a block; empty if there is no such column."""
        at = self.columns.once.get(name) if block is None else block.get(name)
        return "" if at is None else self.row[at]

    def text(self, name: str, longest: str, block: Mapping[str, int] | None = None) -> str:
        """Return a checked field; `longest` names a limit of `records.LONGEST`.

        Raises:
            UnreadableCellError: The field is too long, or has a control character.
        """
        return checked(self.raw(name, block), longest)

    def lines(self, *names: str) -> tuple[str, ...]:
        """Return the lines of a postal address from several columns, or from one column with line breaks.

        Raises:
            UnreadableCellError: There are too many lines, one is too long, or one has a control character.
        """
        lines = [line.strip() for name in names for line in self.raw(name).split("\n")]
        texts = tuple(checked(line, "line") for line in lines if line)
        if sentence := values.too_long_address(texts):
            raise UnreadableCellError("field_too_long", sentence)
        return texts

    def day(self, name: str, block: Mapping[str, int] | None = None) -> date | None:
        """Return a day; None and a warning if it does not exist."""
        text = self.raw(name, block)
        parsed = values.day(text)
        if text and parsed is None:
            self.warn("date_impossible", "Une date de cette ligne n’existe pas (JJ/MM/AAAA) : elle est ignorée.")
        return parsed

    def civility(self) -> str:
        """Return « M. », « Mme » or the empty text; the latter with a warning for another word."""
        parsed = values.civility(self.text("civility", "line"))
        if parsed is None:
            self.warn("civility_unknown", "La civilité de cette ligne n’est ni « M. » ni « Mme » : elle est ignorée.")
        return parsed or ""

    def warn(self, code: str, message: str) -> None:
        """Add a warning."""
        self.warnings.append(Issue(Severity.WARNING, self.place, "", code, message))


def checked(text: str, longest: str) -> str:
    """Return `text` if it can be a field.

    Raises:
        UnreadableCellError: The text is longer than `records.LONGEST` allows, or has a control character.
    """
    if sentence := values.too_long([(longest, text)]):
        raise UnreadableCellError("field_too_long", sentence)
    if _CONTROL.search(text):
        raise UnreadableCellError("control_character", UNREADABLE)
    return text


def records_of(
    rows: Iterable[Row | Issue], columns: Columns, file: str, refuses: str, make: Callable[[Cells], Iterable[Record]]
) -> Iterator[Record]:
    """Yield the records of each row, and an issue for a row that has none.

    Args:
        rows: The rows after the header.
        columns: The columns of the fields.
        file: The name of the file.
        refuses: The kind of record that is lost with a row: `student` or `guardian`.
        make: Returns the records of a row, or raises `UnreadableCellError`.
    """
    empty = True
    for row in rows:
        empty = False
        if isinstance(row, Issue):
            yield replace(row, refuses=refuses)
            continue
        cells = Cells(columns, row.cells, Place(file, row.line))
        try:
            yield from make(cells)
        except UnreadableCellError as unfit:
            yield Issue(Severity.ERROR, cells.place, "", unfit.code, str(unfit), refuses)
        yield from cells.warnings
    if empty:
        yield Issue(Severity.WARNING, Place(file, 1), "", "no_rows", "Ce fichier n’a que des titres de colonnes.")
