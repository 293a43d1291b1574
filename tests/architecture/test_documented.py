"""What is documented: each line of the log (docs/journaux.md), and each column in the export of personal data."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from idp.audit.catalogue import KINDS
from idp.operations.personal_data.export import PARTS
from idp.paths import CHECKOUT
from idp.personal import HELD, LEFT_OUT, SHOWN
from idp.tables import metadata
from tests.architecture.tree import modules, nodes_of, parsed


@pytest.mark.row("K-10")
def test_every_table_and_column_is_exported_or_left_out_with_a_reason() -> None:
    exported = {part.table.__tablename__ for part in PARTS}
    for name, table in metadata.tables.items():
        assert (name in exported) != bool(table.info.get(LEFT_OUT)), name
        if name in exported:
            for column in table.columns:
                [text] = (column.info[use] for use in (SHOWN, HELD, LEFT_OUT) if use in column.info)
                assert text, f"{name}.{column.key}"


@pytest.mark.row("K-10")
def test_exported_columns_contain_no_secret() -> None:
    for part in PARTS:
        for name in part.shown:
            assert "LargeBinary" not in repr(part.table.__table__.columns[name].type), name
            assert "hash" not in name, name


_GUIDE = CHECKOUT / "docs/journaux.md"
_LEVELS = {"debug", "info", "warning", "error", "exception"}
_ROW = re.compile(r"^\| `([^`]+)` \| (debug|info|warning|error) \|([^|]*)\|", re.MULTILINE)
_OF_REQUESTS = {"method", "endpoint", "status", "ms"}
"""The fields of the line that no logger writes (`idp.web.door`)."""


def loggers(tree: ast.AST) -> set[str]:
    assigned = [node for node in nodes_of(tree) if isinstance(node, ast.Assign)]
    made = [node for node in assigned if ast.unparse(node.value) == "structlog.get_logger()"]
    return {ast.unparse(target) for node in made for target in node.targets}


def lines_of(tree: ast.AST) -> Iterator[tuple[str, str, set[str]]]:
    names = loggers(tree)
    for call in nodes_of(tree):
        match call:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=logger), attr=level), args=[event, *_]):
                if logger in names and level in _LEVELS:
                    assert isinstance(event, ast.Constant), ast.unparse(call)
                    fields = {str(keyword.arg) for keyword in call.keywords}
                    if level == "exception":
                        level, fields = "error", fields | {"where"}
                    yield str(event.value), level, fields
            case ast.Call(func=ast.Name(id="write_line"), args=[ast.Constant(value=str() as event), *_]):
                yield event, "info", {str(keyword.arg) for keyword in call.keywords}


def test_each_line_of_the_log_is_documented_with_its_level_and_fields() -> None:
    written = {event: (level, fields) for path in modules("idp") for event, level, fields in lines_of(parsed(path))}
    written["request"] = "info", _OF_REQUESTS
    documented = {
        event: (level, set(re.findall(r"`(\w+)`", fields))) for event, level, fields in _ROW.findall(_GUIDE.read_text())
    }
    assert documented == written


def test_the_events_to_watch_exist() -> None:
    table = _GUIDE.read_text().partition("| à surveiller |")[2].partition("\n\n")[0]
    named = set(re.findall(r"`([a-z_]+\.[a-z_]+)`", table))
    assert named
    assert named <= KINDS.keys()


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
