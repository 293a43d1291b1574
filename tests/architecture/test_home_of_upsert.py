"""`idp.db.upsert` alone chooses the INSERT … ON CONFLICT of a database; few modules have SQL text with ON CONFLICT."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.tree import modules, nodes_of, parsed, shown
from tests.rows import each_row

HOME = "idp/db.py"
OWN_TEXT = {
    "idp/oidc/store/sql.py": "the statements of the hot path, as text that both databases read",
    "idp/rostering/reconcile/tables.py": "the private SQLite database of an import",
    "idp/rostering/reconcile/merging.py": "the same database",
    "idp/rostering/reconcile/phases/guardians.py": "the same database",
    "idp/rostering/reconcile/phases/former_accounts.py": "the same database",
    "idp/rostering/reconcile/phases/leavers.py": "the same database",
    "idp/rostering/reconcile/phases/links.py": "the same database",
}
"""The modules with ON CONFLICT in SQL text, and why they need no dialect."""
_DIALECTS = ("postgresql", "sqlite")
_A_DIALECT = re.compile(r"\b(postgresql|sqlite|dialect)\b")
_IMPORTED = {f"sqlalchemy.dialects.{dialect}" for dialect in _DIALECTS}
_TEXT = re.compile(r"\bON CONFLICT\b")


def chooses_dialect(tree: ast.AST) -> Iterator[int]:
    """Yield the lines that import the INSERT of one dialect."""
    for node in nodes_of(tree):
        match node:
            case ast.Attribute(attr="insert", value=source) if _A_DIALECT.search(ast.unparse(source)):
                yield node.lineno
            case ast.ImportFrom(module=str() as module, names=names) if module in _IMPORTED:
                yield from (node.lineno for alias in names if alias.name == "insert")


def writes_conflict(path: Path) -> bool:
    """Return whether a module has SQL text with ON CONFLICT outside docstrings."""
    docstrings = {
        id(node.value)
        for node in nodes_of(parsed(path))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    return any(
        isinstance(node, ast.Constant) and isinstance(node.value, str) and _TEXT.search(node.value)
        for node in nodes_of(parsed(path))
        if id(node) not in docstrings
    )


def test_the_dialect_of_an_insert_is_chosen_in_one_function() -> None:
    matches = {
        f"{shown(path)}:{line}"
        for path in modules("idp")
        if shown(path) != HOME
        for line in chooses_dialect(parsed(path))
    }
    assert matches == set()


def test_on_conflict_is_text_only_where_the_database_is_known() -> None:
    assert {shown(path) for path in modules("idp") if writes_conflict(path)} == set(OWN_TEXT)


@each_row(
    ("text", "is_one"),
    [
        ("insert = (postgresql if name == 'postgresql' else sqlite).insert(Row)", True),
        ("postgresql.insert(Row)", True),
        ("insert = sqlite.insert if name == 'sqlite' else postgresql.insert", True),
        ("dialect.insert(Row).on_conflict_do_nothing()", True),
        ("from sqlalchemy.dialects.sqlite import insert", True),
        ("from sqlalchemy import insert", False),
        ("upsert(Row).on_conflict_do_nothing()", False),
    ],
)
def test_a_second_choice_would_be_seen(text: str, is_one: bool) -> None:  # noqa: FBT001 - a row of the table above
    assert any(chooses_dialect(ast.parse(text))) is is_one
