"""Each line of the conformity tables has a test."""

import re
from pathlib import Path

from tests import checklist

ROOT = Path(__file__).parents[2]
TABLES = [ROOT / "docs" / "conformite.md", ROOT / "docs" / "doctrine.md"]
_ROW = re.compile(r"\b[A-Z]-\d\d\b")
_PLACE = re.compile(r"`((?:tests|idp|deploy)/[\w/.-]+)`")


def text() -> str:
    return "".join(path.read_text() for path in TABLES)


def test_every_row_that_is_named_has_a_test() -> None:
    named = set(_ROW.findall(text()))
    shown = {row for test in checklist.marked_tests(ROOT / "tests") for row in test.rows}
    assert named - shown == set()
    assert len(named) > 60


def test_every_place_that_is_named_is_there() -> None:
    missing = [place for place in _PLACE.findall(text()) if not (ROOT / place).exists()]
    assert missing == []
