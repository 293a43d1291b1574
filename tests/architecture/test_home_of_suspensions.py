"""`Suspendable` alone decides whether an account or a tie is suspended."""

import ast

from tests.architecture.tree import modules, nodes_of, parsed, shown
from tests.rows import each_row

HOME = "idp/accounts/suspensions/states.py"
ELSEWHERE = {"idp/accounts/account_state.py": "it asks the rule about a state that was read without a row"}
"""The modules that read the columns beside their home, and why they do not decide."""

_READERS = {
    "idp/families/suspension.py": "it writes the state",
    "idp/accounts/closings.py": "it says when the suspension began and ends",
    "idp/cli/account_view.py": "it shows when the suspension ends",
}
_COLUMNS = {"suspended_at", "suspended_until"}


def reads(tree: ast.AST) -> bool:
    """Return whether a module reads or writes a column of the state as an attribute."""
    return any(isinstance(node, ast.Attribute) and node.attr in _COLUMNS for node in nodes_of(tree))


def test_no_module_decides_a_second_time_whether_a_row_is_suspended() -> None:
    matches = {shown(path) for path in modules("idp") if reads(parsed(path))}
    assert matches == {HOME, *ELSEWHERE, *_READERS}


@each_row(
    ("code", "is_one"),
    [
        ("account.suspended_at is not None", True),
        ("select(Guardianship).where(Guardianship.suspended_until > moment)", True),
        ("account.is_suspended_at(moment)", False),
        ("row.until", False),
    ],
)
def test_a_second_decision_would_be_seen(code: str, is_one: bool) -> None:  # noqa: FBT001 - a row of the table above
    assert reads(ast.parse(code)) is is_one
