"""Expand, then contract: a release's statements run on the schema of the release after it (migrations/README.md)."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from idp import __version__
from idp.paths import MIGRATIONS
from tests.architecture.tree import parsed

_TAKES_AWAY = {"drop_table", "drop_column", "drop_constraint", "rename_table"}


def revisions() -> list[Path]:
    return sorted((MIGRATIONS / "versions").glob("*.py"))


def names(tree: ast.Module) -> dict[str, object]:
    """Return what the module assigns, of plain values."""
    return {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def is_given(call: ast.Call, name: str, *values: object) -> bool:
    return any(
        keyword.arg == name and (not values or getattr(keyword.value, "value", None) in values)
        for keyword in call.keywords
    )


def taken_away(tree: ast.Module) -> Iterator[str]:
    """Yield what `upgrade` does that a statement of the release before may not survive."""
    upgrade = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "upgrade")
    for call in (node for node in ast.walk(upgrade) if isinstance(node, ast.Call)):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        if name in _TAKES_AWAY:
            yield name
        if name == "alter_column" and (is_given(call, "new_column_name") or is_given(call, "nullable", False)):
            yield name
        if name == "add_column":
            [column] = [arg for arg in call.args if isinstance(arg, ast.Call)]
            if is_given(column, "nullable", False) and not is_given(column, "server_default"):
                yield name


def faults(tree: ast.Module) -> list[str]:
    said, taken = names(tree), list(taken_away(tree))
    if said.get("phase") == "expand":
        return taken
    if said.get("phase") == "contract":
        since = str(said.get("unused_since", ""))
        older = since and [int(part) for part in since.split(".")] < [int(part) for part in __version__.split(".")]
        return [] if older else ["unused_since names no older release"]
    return ["no phase"]


def test_an_expanding_revision_takes_nothing_away() -> None:
    assert revisions()
    assert {path.name: faults(parsed(path)) for path in revisions() if faults(parsed(path))} == {}


@pytest.mark.parametrize(
    ("phase", "statement", "refused"),
    [
        ("phase = 'expand'", "op.add_column('a', sa.Column('b', sa.Text(), nullable=True))", False),
        ("phase = 'expand'", "op.add_column('a', sa.Column('b', sa.Text(), nullable=False, server_default=''))", False),
        ("phase = 'expand'", "op.add_column('a', sa.Column('b', sa.Text(), nullable=False))", True),
        ("phase = 'expand'", "op.drop_column('a', 'b')", True),
        ("phase = 'expand'", "op.alter_column('a', 'b', new_column_name='c')", True),
        ("phase = 'contract'; unused_since = '0.0.1'", "op.drop_column('a', 'b')", False),
        (f"phase = 'contract'; unused_since = '{__version__}'", "op.drop_column('a', 'b')", True),
        ("phase = 'contract'", "op.drop_column('a', 'b')", True),
        ("pass", "op.create_table('a')", True),
    ],
)
def test_a_revision_that_breaks_the_rule_is_seen(phase: str, statement: str, *, refused: bool) -> None:
    tree = ast.parse(f"{phase}\ndef upgrade():\n    {statement}\n")
    assert bool(faults(tree)) is refused
