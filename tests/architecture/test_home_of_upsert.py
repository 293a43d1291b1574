"""Few modules have SQL text with ON CONFLICT."""

import ast
import re
from pathlib import Path

from tests.architecture.tree import modules, nodes_of, parsed, shown

OWN_TEXT = {
    "idp/oidc/store/store.py": "the statements of the hot path, as text",
    "idp/rostering/reconcile/schema.py": "the private SQLite database of an import",
    "idp/rostering/reconcile/phases/people.py": "the same database",
    "idp/rostering/reconcile/phases/leavers.py": "the same database",
    "idp/rostering/reconcile/phases/links.py": "the same database",
}
"""The modules with ON CONFLICT in SQL text, and why they do not build it."""
_TEXT = re.compile(r"\bON CONFLICT\b")


def writes_conflict(path: Path) -> bool:
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


def test_on_conflict_is_text_only_where_it_must_be() -> None:
    assert {shown(path) for path in modules("idp") if writes_conflict(path)} == set(OWN_TEXT)
