"""Recognises the format of a file by its first bytes, and the mode (Complet or Delta) by its name."""

import codecs
import re

from idp.rostering.files.sources import PEEK, Source
from idp.rostering.files.text import header_of
from idp.rostering.readers import csv_file, onde
from idp.rostering.readers.columns import clean_headers
from idp.rostering.records import Format, Mode

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

_SIECLE = {"BEE_ELEVES", "BEE_EPHC_ELEVES", "BEE_RESPONSABLES", "BEE_EPHC_RESPONSABLES"}
_AAF_ROOT = "ficAlimMENESR"
_PRIMARY = re.compile(r"""["'](?:ENTPersonNom|ENTPersRelEleveEleve|ENTEcole\w+)["']""")
_PRIMARY_NAME = re.compile(r"ENT_?1D", re.IGNORECASE)
# « Incomplet » does not match; « ENT2DComplet » does, by its capital
_MODE = re.compile(r"(?<![a-zA-Z])(?i:(complet|delta))(?![a-zA-Z])|(?<=[A-Z])(Complet|Delta)(?![a-z])")


def recognise(source: Source) -> Format | None:
    """Return the format of a source, or None; nothing is read from its stream."""
    head = source.stream.peek(PEEK)[:PEEK]
    text = _as_xml(head)
    if (prolog := _PROLOG.match(text)) is not None:
        root = prolog[1]
        if root == _AAF_ROOT:
            primary = _PRIMARY.search(text) or _PRIMARY_NAME.search(source.name)
            return Format.AAF1D if primary else Format.AAF
        return Format.SIECLE if root in _SIECLE else None
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
