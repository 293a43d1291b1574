"""One module changes the generation of credentials: these tests fail for a second one."""

import ast
import re

from tests.architecture.test_audience import texts
from tests.architecture.tree import modules, named, nodes_of, parsed, shown
from tests.rows import each_row

HOME = "idp/accounts/credentials.py"
OF_STAFF = "idp/desk/staff/models.py"
"""The staff of the desk have credentials of their own."""
_COUNTED = re.compile(r"\bgeneration\s*=\s*(?:\w+\.)?generation\s*\+")


def counted_by_hand(tree: ast.Module) -> list[int]:
    """Return the lines that compute or set the generation of an account."""
    return [node.lineno for node in nodes_of(tree) if isinstance(node, ast.expr | ast.stmt) and _counts(node)]


def _counts(node: ast.expr | ast.stmt) -> bool:
    match node:
        case ast.AugAssign(target=target):
            return _is_generation(target)
        case ast.Assign(targets=targets):
            return any(_is_generation(part) for target in targets for part in ast.walk(target) if _is_attribute(part))
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            return _is_generation(left) or _is_generation(right)
        case ast.Call(func=ast.Attribute(attr="values"), keywords=keywords):
            return any(keyword.arg == "generation" and not _is_the_home(keyword.value) for keyword in keywords)
        case _:
            return False


def _is_attribute(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)


def _is_generation(node: ast.AST) -> bool:
    return named(node).rpartition(".")[2] == "generation"


def _is_the_home(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and named(value.func) == "Account.next_generation"


def test_no_module_counts_a_change_of_credentials_by_hand() -> None:
    matches = {shown(path): lines for path in modules("idp") if (lines := counted_by_hand(parsed(path)))}
    assert list(matches) == [HOME, OF_STAFF], matches


def test_no_text_counts_a_change_of_credentials_by_hand() -> None:
    assert [shown(path) for path in modules("idp") if any(map(_COUNTED.search, texts(path)))] == []


@each_row(
    ("code", "is_one"),
    [
        ("account.generation += 1", True),
        ("account.generation = account.generation + 1", True),
        ("account.disabled_at, account.generation = moment, 3", True),
        ("update(Account).values(generation=Account.generation + 1)", True),
        ("update(accounts).values(generation=accounts.c.generation + 1)", True),
        ("update(Account).values(generation=generation + 1)", True),
        ("update(Account).values(generation=3)", True),
        ("update(Account).values(generation=Account.next_generation())", False),
        ("account.credentials_changed()", False),
        ("Session(generation=account.generation)", False),
        ("generation = account.generation", False),
        ("account.generation == link.generation", False),
    ],
)
def test_a_change_counted_by_hand_would_be_seen(code: str, is_one: bool) -> None:  # noqa: FBT001 - a row of the table above
    assert bool(counted_by_hand(ast.parse(code))) is is_one
