"""`idp/desk/access/` alone names a role of the desk; other modules ask it for a right or for a fact about the role."""

import ast

from tests.architecture.tree import modules, named, nodes_of, parsed, shown
from tests.rows import each_row

HOME = "idp/desk/access/"


def names_a_role(tree: ast.AST) -> bool:
    return any(isinstance(node, ast.Attribute) and named(node.value) == "Role" for node in nodes_of(tree))


def test_roles_are_named_in_one_table() -> None:
    matches = {shown(path) for path in modules("idp") if names_a_role(parsed(path))}
    assert {path for path in matches if path.startswith(HOME)} == {f"{HOME}roles.py"}, (
        "the table, and nothing beside it"
    )
    assert {path for path in matches if not path.startswith(HOME)} == set()


def test_one_module_asks_the_table_who_imports_files() -> None:
    facts = {"accepts", "hands_files_to"}
    matches = {
        shown(path)
        for path in modules("idp")
        if any(isinstance(node, ast.Attribute) and node.attr in facts for node in nodes_of(parsed(path)))
    }
    assert matches == {"idp/desk/school_files/policy.py"}


@each_row(("code", "is_one"), [("access.role() is Role.HEAD", True), ("Role(value)", False), ("StaffRole.role", False)])
def test_a_role_that_is_named_would_be_seen(code: str, is_one: bool) -> None:  # noqa: FBT001 - a row of the table above
    assert names_a_role(ast.parse(code)) is is_one
