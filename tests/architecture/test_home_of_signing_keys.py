"""`idp.oidc.keys.rotation` alone decides which keys are alive, and which of them signs."""

import ast

from tests.architecture.tree import modules, nodes_of, parsed, shown
from tests.rows import each_row

HOME = "idp/oidc/keys/rotation.py"


def decides(tree: ast.Module) -> bool:
    """Return whether a module selects keys by the end of their life, or by a time after which they sign."""
    names = {f"SigningKey.{column}" for column in ("retired_at", "active_from")}
    tested = [node for node in nodes_of(tree) if isinstance(node, ast.Compare)]
    asked = [
        node.value for node in nodes_of(tree) if isinstance(node, ast.Attribute) and node.attr in {"is_", "is_not"}
    ]
    parts = [ast.unparse(part) for node in tested for part in (node.left, *node.comparators)]
    return bool(names.intersection(parts + [ast.unparse(node) for node in asked]))


def test_no_module_decides_a_second_time_which_keys_sign() -> None:
    assert {shown(path) for path in modules("idp") if decides(parsed(path))} == {HOME}


@each_row(
    ("code", "is_one"),
    [
        ("select(SigningKey.alg).where(SigningKey.active_from <= now())", True),
        ("select(SigningKey).where(SigningKey.retired_at.is_(None))", True),
        ("select_live(SigningKey.alg, SigningKey.active_from)", False),
        ("select(SigningKey).order_by(SigningKey.active_from.desc())", False),
    ],
)
def test_a_second_decision_would_be_seen(code: str, is_one: bool) -> None:  # noqa: FBT001 - a row of the table above
    assert decides(ast.parse(code)) is is_one
