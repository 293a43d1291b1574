"""Libraries that log tokens, statements or emails at DEBUG stay above DEBUG with any setting."""

import subprocess
import sys

import pytest

_ASKED = """
import logging, idp.logging
idp.logging.configure({level!r})
names = ["authlib.oauth2", "werkzeug", "sqlalchemy.engine", "requests", "urllib3.connectionpool", "alembic", "psycopg",
         "any.other", "idp.x"]
print(*(logging.getLogger(name).getEffectiveLevel() for name in names))
"""
_STRICT, _OTHERS = 7, 1


@pytest.mark.row("O-01")
@pytest.mark.parametrize(
    ("level", "strict", "other", "ours"),
    [
        ("DEBUG", 30, 20, 10),
        ("INFO", 30, 20, 20),
        ("WARNING", 30, 30, 30),
        ("ERROR", 40, 40, 40),
    ],
)
def test_libraries_are_held(level: str, strict: int, other: int, ours: int) -> None:
    command = [sys.executable, "-c", _ASKED.format(level=level)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert [int(number) for number in shown] == [strict] * _STRICT + [other] * _OTHERS + [ours]
