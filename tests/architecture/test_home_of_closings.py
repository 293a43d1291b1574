"""`Closable` alone decides whether an account or a tie is suspended."""

import ast

from tests.architecture.tree import modules, nodes_of, parsed, shown
from tests.rows import each_row

HOME = "idp/accounts/closings.py"
ELSEWHERE = {
    "idp/accounts/account_state.py": "it asks the rule about a state that was read without a row",
    "idp/accounts/models.py": "it defines the property",
}
"""The modules that read the state beside its home, and why they do not decide."""


def reads(tree: ast.AST) -> bool:
    """Return whether a module reads or writes the state as an attribute."""
    return any(isinstance(node, ast.Attribute) and node.attr == "shut_until" for node in nodes_of(tree))


def test_no_module_decides_a_second_time_whether_a_row_is_suspended() -> None:
    matches = {shown(path) for path in modules("idp") if reads(parsed(path))}
    assert matches == {HOME, *ELSEWHERE}


@each_row(
    ("code", "is_one"),
    [
        ("account.shut_until is not None", True),
        ("select(Guardianship).where(Guardianship.shut_until > moment)", True),
        ("account.is_shut_at(moment)", False),
        ("row.until", False),
    ],
)
def test_a_second_decision_would_be_seen(code: str, is_one: bool) -> None:  # noqa: FBT001 - a row of the table above
    assert reads(ast.parse(code)) is is_one
