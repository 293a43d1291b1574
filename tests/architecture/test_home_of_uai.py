"""Only `idp/uai.py` validates and normalises a UAI and has the error message for a wrong one."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.tree import modules, nodes_of, parsed, shown
from tests.rows import each_row

HOME = "idp/uai.py"
_SECOND_RULE = re.compile(r"ABCDEFGHJKLMNPRSTUVWXYZ|\{7\}\[A-Z|control letter|bonne lettre")
_OF_A_SCHOOL = re.compile(r"uai|school", re.IGNORECASE)


def second_rules(tree: ast.AST) -> Iterator[int]:
    """Yield the lines that validate, normalise or refuse a UAI."""
    for node in nodes_of(tree):
        match node:
            case ast.FunctionDef(name="is_uai"):
                yield node.lineno
            case ast.Call(func=ast.Attribute(attr="upper", value=typed)) if _OF_A_SCHOOL.search(ast.unparse(typed)):
                yield node.lineno
            case ast.Constant(value=str() as text) if _SECOND_RULE.search(text):
                yield node.lineno


def prose(path: Path) -> set[int]:
    """Return the lines on which docstrings begin; they may explain the UAI."""
    return {
        node.value.lineno
        for node in nodes_of(parsed(path))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }


def test_a_uai_is_checked_and_normalised_in_one_module() -> None:
    matches = {
        f"{shown(path)}:{line}"
        for path in modules("idp")
        if shown(path) != HOME
        for line in set(second_rules(parsed(path))) - prose(path)
    }
    assert matches == set()


@each_row(
    ("text", "is_one"),
    [
        ("wanted = uai.strip().upper()", True),
        ("(form.school or '').strip().upper()", True),
        ("cells.raw('uai').upper()", True),
        ("re.compile(r'[0-9]{7}[A-Z]')", True),
        ("'ABCDEFGHJKLMNPRSTUVWXYZ'[number % 23]", True),
        ("raise ValueError('must be a UAI: seven digits and their control letter')", True),
        ("def is_uai(text): ...", True),
        ("field.upper()", False),
        ("normalised_uai(form.school)", False),
    ],
)
def test_a_second_rule_would_be_seen(text: str, is_one: bool) -> None:  # noqa: FBT001 - a row of the table above
    assert any(second_rules(ast.parse(text))) is is_one
