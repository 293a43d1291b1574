"""The conformity tables say only what a test of the project shows."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLES = ROOT / "docs" / "conformity.md"
_ROW = re.compile(r"\b([A-Z])-(\d\d)\b")
_PLACE = re.compile(r"`((?:tests|idp|deploy)/[\w/.-]+)`")
_TEST = re.compile(r"def test_([a-z]\d\d)_")


def test_every_row_that_is_named_has_a_test_of_its_name() -> None:
    named = {f"{letter.lower()}{number}" for letter, number in _ROW.findall(TABLES.read_text())}
    shown = {row for path in (ROOT / "tests").rglob("test_*.py") for row in _TEST.findall(path.read_text())}
    assert named - shown == set()
    assert len(named) > 60


def test_every_place_that_is_named_is_there() -> None:
    missing = [place for place in _PLACE.findall(TABLES.read_text()) if not (ROOT / place).exists()]
    assert missing == []
