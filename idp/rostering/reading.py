"""Reads files into the staging database, each with the reader of its format.

The first bytes of a file say its format, and its name says the mode, Complet or Delta.
"""

import codecs
import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from idp.folding import foreign_letter
from idp.rostering.files.archives import Limits
from idp.rostering.files.sources import LIMITS, PEEK, Given, Source, open_sources
from idp.rostering.files.text import header_of
from idp.rostering.readers import aaf, csv_file, onde, siecle
from idp.rostering.readers.columns import clean_headers
from idp.rostering.reconcile.staging import Staging, Tick
from idp.rostering.records import (
    Act,
    Form,
    Format,
    Guardian,
    Issue,
    Link,
    Mode,
    Place,
    Record,
    School,
    Severity,
    Student,
    StudentLink,
)

_READERS: Mapping[Format, Callable[[Source, Form], Iterator[Record]]] = {
    Format.AAF: aaf.read,
    Format.AAF1D: aaf.read,
    Format.SIECLE: siecle.read,
    Format.ONDE: onde.read,
    Format.CSV: csv_file.read,
}
_AAF = {format_ for format_ in Format if format_.facts.is_aaf}
_ARCHIVES = (".zip", ".tgz", ".tar.gz", ".tar")
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

# All that may come before the root, also a DTD with declarations. Possessive quantifiers (`*+`) prevent backtracking,
# so that a crafted file cannot make the search slow.
_DEFINITIONS = r"""\[(?:[^\]"'<]|"[^"]*"|'[^']*'|<!--.*?-->|<\?.*?\?>|<(?!!--|\?))*+\]"""
_PROLOG = re.compile(
    rf"""(?:\s|<\?.*?\?>|<!--.*?-->|<!DOCTYPE(?:[^"'\[>]|"[^"]*"|'[^']*'|{_DEFINITIONS})*+>)*+<([\w.:-]+)""", re.DOTALL
)

_PRIMARY = re.compile(r"""["'](?:ENTPersonNom|ENTPersRelEleveEleve|ENTEcole\w+)["']""")
_PRIMARY_NAME = re.compile(r"ENT_?1D", re.IGNORECASE)
# « Incomplet » does not match; « ENT2DComplet » does, by its capital
_MODE = re.compile(r"(?<![a-zA-Z])(?i:(complet|delta))(?![a-zA-Z])|(?<=[A-Z])(Complet|Delta)(?![a-z])")
_EVERYWHERE = Place("", 0)


def read(staging: Staging, paths: Sequence[Given], form: Form, tick: Tick, limits: Limits = LIMITS) -> Form:
    """Read all files, whose archives may unpack to `limits`, and return `form` with their format and mode.

    A file that cannot be read is in `staging.fatal` afterwards: then nothing may be imported.
    """
    format_: Format | None = None
    modes: set[Mode] = set()
    for source in open_sources(paths, tick, limits):
        if isinstance(source, Issue):
            add(staging, source)
            continue
        kind = form.format or recognise(source)
        if kind is None:
            message = "Ce fichier n’est pas d’un format connu : il est laissé."
            add(staging, Issue(Severity.WARNING, Place(source.name, 1), "", "not_read", message))
            continue
        if {kind, format_} == _AAF:  # a primary AAF whose first file has no attribute of the 1D
            kind = Format.AAF1D
        elif format_ is not None and kind is not format_:
            sentence = (
                f"Ce fichier est au format {kind.value}, les autres au format {format_.value} : donnez-les à part."
            )
            _stop(staging, "two_formats", sentence, Place(source.name, 1))
            continue
        format_, source.tick = kind, partial(tick, 0)
        if kind in _AAF and (mode := mode_of(path_in_archives(source.name))):
            modes.add(mode)
        _add_all(staging, _READERS[kind](source, replace(form, format=kind)), form)
    if _refuses_too_many(staging, form):
        _stop(staging, "too_many_refused", "Trop de lignes ne peuvent pas être prises : la lecture s’est arrêtée.")
    return replace(form, format=format_ or form.format, mode=_mode(staging, form.mode, modes))


def _add_all(staging: Staging, records: Iterator[Record], form: Form) -> None:
    for record in records:
        if _refuses_too_many(staging, form):
            return
        add(staging, record)


def _refuses_too_many(staging: Staging, form: Form) -> bool:
    return form.most_refused is not None and staging.refused.total() > form.most_refused


def path_in_archives(name: str) -> str:
    """Return the path of a file in its archives, without the names of folders."""
    parts = name.split("/")
    return "/".join(part for part in parts if part == parts[-1] or part.lower().endswith(_ARCHIVES))


def _mode(staging: Staging, forced: Mode | None, named: set[Mode]) -> Mode:
    """Return the mode that the operator, the names or the records give: changes and removals make a Delta."""
    changes = bool(staging.acts & {Act.MODIFY, Act.DELETE})
    if forced is None and len(named) > 1:
        _stop(staging, "two_modes", "Des fichiers Complet et Delta sont mêlés : donnez-les à part.")
    mode = forced or (next(iter(named)) if len(named) == 1 else Mode.DELTA if changes else Mode.COMPLETE)
    if mode is Mode.COMPLETE and changes:
        _stop(staging, "changes_in_complete", "Un fichier complet ne peut pas tenir des modifications ou des départs.")
    return mode


def _stop(staging: Staging, code: str, message: str, place: Place = _EVERYWHERE) -> None:
    add(staging, Issue(Severity.ERROR, place, "", code, message))


def recognise(source: Source) -> Format | None:
    """Return the format of a source, or None; nothing is read from its stream."""
    head = source.stream.peek(PEEK)[:PEEK]
    text = _as_xml(head)
    if (prolog := _PROLOG.match(text)) is not None:
        root = prolog[1]
        if root == aaf.ROOT:
            primary = _PRIMARY.search(text) or _PRIMARY_NAME.search(source.name)
            return Format.AAF1D if primary else Format.AAF
        return Format.SIECLE if root in siecle.ROOTS else None
    headers = clean_headers(header_of(head))
    if onde.is_onde(headers):
        return Format.ONDE
    return Format.CSV if csv_file.kind_of(headers) else None


def mode_of(name: str) -> Mode | None:
    """Return the mode in the nearest name of a path: the file, then the archives and folders around it; or None."""
    for part in reversed(name.replace("\\", "/").split("/")):
        words = {(first or second).lower() for first, second in _MODE.findall(part)}
        if len(words) == 1:
            return Mode.COMPLETE if words == {"complet"} else Mode.DELTA
    return None


def _as_xml(head: bytes) -> str:
    """Return the beginning of a file as text in which names in ASCII are correct."""
    for mark, codec in _MARKS:
        if head.startswith(mark):
            return head[len(mark) :].decode(codec, "replace")
    # without a byte order mark: the text before the root is ASCII, so that UTF-16 has a zero in every other byte
    first, second = (head[at : at + 1] == b"\0" for at in range(2))
    codec = "utf-16-le" if second and not first else "utf-16-be" if first and not second else "latin-1"
    return head.decode(codec, "replace")


# The rank of a guardian without authority: the highest number, so that a link given twice keeps the other rank.
_NO_RANK = 9
_DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")
_UNSEEN = frozenset(("Cc", "Cs", "Co"))


def add(staging: Staging, record: Record) -> None:
    """Store a record or an issue. A row that a reader refused is counted, so that no row is lost."""
    match record:
        case Student() | Guardian() if refused := _foreign(record):
            _add_issue(staging, refused)
        case Student():
            _add_student(staging, record)
        case Guardian():
            _add_guardian(staging, record)
        case StudentLink():
            born = record.birth_date.isoformat() if record.birth_date else None
            place = staging.place(record.place)
            staging.put("link", (record.student, *_link(record.link), _clean(record.class_name), born, 0, *place))
        case School():
            _add_school(staging, record)
        case Issue():
            _add_issue(staging, record)


def _foreign(record: Student | Guardian) -> Issue | None:
    """Return the refusal of a person whose name has a letter that may stand for a Latin one."""
    birth_name = record.birth_name if isinstance(record, Guardian) else None
    names = (record.given_name, record.family_name, birth_name)
    letter = next(filter(None, (foreign_letter(name) for name in names if name)), "")
    if not letter:
        return None
    message = (
        f"La lettre « {letter} » de ce nom n’est pas une lettre latine courante, même si elle y ressemble : la ligne "
        "n’est pas prise. Tapez le nom de nouveau."
    )
    kind = "guardian" if isinstance(record, Guardian) else "student"
    return Issue(Severity.ERROR, record.place, record.key, "foreign_letter", message, refuses=kind)


def _add_issue(staging: Staging, issue: Issue) -> None:
    if issue.refuses or issue.code == "bad_link":
        staging.put("unread", (issue.refuses or "link", issue.key))
    if issue.refuses:
        staging.read[issue.refuses] += 1
        staging.refused[issue.refuses] += 1
    elif issue.severity is Severity.ERROR:
        staging.fatal.append(issue)
    staging.tell(issue)


def _add_school(staging: Staging, record: School) -> None:
    """Store a school. An empty field of a partial record is not said."""
    staging.acts.add(record.act)
    degree = record.degree.name if record.degree else None
    lines = json.dumps(record.address_lines, ensure_ascii=False) if record.address_lines else ""
    values: tuple[str | None, ...] = (record.uai, record.name, degree, lines, record.phone)
    if record.act is not Act.PUT:
        values = tuple(value or None for value in values)
    staging.put("school", (record.key, record.act.value, *values, *staging.place(record.place)))


def _add_student(staging: Staging, record: Student) -> None:
    staging.read["student"] += 1
    staging.acts.add(record.act)
    place, number = staging.place(record.place), staging.read["student"]
    left_on, birth_date = (day.isoformat() if day else None for day in (record.left_on, record.birth_date))
    names = map(_clean, (record.family_name, record.given_name, record.class_name))
    values = (record.school, record.student_id, *names, left_on, birth_date)
    # the links of the last record of a pupil replace those of an earlier one: phase `drop_former_links`
    listed = (None, None) if record.links is None else (1, number)
    staging.put("student", (record.key, record.act.value, *values, *listed, record.is_second_hand, *place))
    for link in record.links or ():
        staging.put("link", (record.key, *_link(link), "", None, number, *place))


def _add_guardian(staging: Staging, record: Guardian) -> None:
    staging.read["guardian"] += 1
    staging.acts.add(record.act)
    lines = (
        None if record.address_lines is None else json.dumps([*map(_clean, record.address_lines)], ensure_ascii=False)
    )
    values: tuple[Any, ...] = (
        *map(_clean, (record.civility, record.family_name, record.birth_name, record.given_name)),
        lines,
        *map(_clean, (record.postcode, record.city, record.country, record.email)),
        record.address_diffusion,
    )
    staging.put("guardian", (record.key, record.act.value, *values, *staging.place(record.place)))


def _link(link: Link) -> tuple[str, str, int]:
    return link.guardian, link.kinship, link.authority or _NO_RANK


def _clean(text: str | None) -> str | None:
    """Return a text on one line and in its own direction, without control characters."""
    if text is None or text.isprintable():
        return text
    shown = "".join(" " if c in "\t\r\n\u2028\u2029" else c for c in text if c not in _DIRECTIONS)
    return "".join(c for c in shown if unicodedata.category(c) not in _UNSEEN).strip()
