"""Files in memory."""

import io
from collections.abc import Iterable, Iterator
from datetime import date
from typing import TypeVar

from idp.rostering.files.sources import PEEK, Source
from idp.rostering.records import Form, Issue, Record

SCHOOL, OTHER = "0599001N", "0599002P"
FORM = Form(today=date(2026, 9, 1), school=SCHOOL)


def source(content: str | bytes, name: str = "familles.csv", encoding: str = "utf-8") -> Source:
    raw = content if isinstance(content, bytes) else content.encode(encoding)
    return Source(name, io.BufferedReader(io.BytesIO(raw), PEEK))


def issues(records: list[Record]) -> list[tuple[str, int, str]]:
    return [(item.code, item.place.line, item.refuses) for item in records if isinstance(item, Issue)]


Kind = TypeVar("Kind")


def some(records: Iterable[object], kind: type[Kind]) -> Iterator[Kind]:
    return (item for item in records if isinstance(item, kind))
