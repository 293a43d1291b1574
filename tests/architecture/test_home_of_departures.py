"""`Account.is_disabled_by_departure` alone says whether an account is disabled because its last child left."""

import ast
from collections.abc import Iterator

from tests.architecture.tree import modules, nodes_of, parsed, shown
from tests.rows import each_row

HOME = "idp/accounts/models.py"
_INSTANTS = {"disabled_at", "left_at"}


def decisions(tree: ast.AST) -> Iterator[int]:
    """Yield the lines that compare when an account was disabled with when its last child left."""
    for node in nodes_of(tree):
        if isinstance(node, ast.Compare):
            sides = (node.left, *node.comparators)
            if {part.attr for part in sides if isinstance(part, ast.Attribute)} >= _INSTANTS:
                yield node.lineno


def test_no_module_decides_a_second_time_whether_an_account_left() -> None:
    assert [shown(path) for path in modules("idp") if any(decisions(parsed(path)))] == [HOME]


@each_row(
    ("code", "is_one"),
    [
        ("account.disabled_at == account.left_at", True),
        ("select(Account).where(Account.left_at != Account.disabled_at)", True),
        ("rows.c.left_at == rows.c.disabled_at", True),
        ("account.left_at is None or account.disabled_at is None", False),
        ("link.excluded_at == account.left_at", False),
    ],
)
def test_a_second_decision_would_be_seen(code: str, is_one: bool) -> None:  # noqa: FBT001 - a row of the table above
    assert any(decisions(ast.parse(code))) is is_one
