"""Each of these decisions has one home: no other module closes, retires, signs, names a role or writes ON CONFLICT."""

import ast
import re
from collections.abc import Callable
from pathlib import Path

from tests.architecture.test_home_of_states import texts
from tests.architecture.tree import modules, named, nodes_of, parsed, shown
from tests.rows import each_row

CLOSINGS = "idp/accounts/closings.py"
ELSEWHERE = {
    "idp/accounts/account_state.py": "it asks the rule about a state that was read without a row",
    "idp/accounts/models.py": "it defines the property",
}
"""The modules that read the state beside its home, and why they do not decide."""


def reads_closing(tree: ast.AST) -> bool:
    """Return whether a module reads or writes the state as an attribute."""
    return any(isinstance(node, ast.Attribute) and node.attr == "shut_until" for node in nodes_of(tree))


CREDENTIALS = "idp/accounts/credentials.py"

SIGNING_KEYS = "idp/oidc/keys/rotation.py"


def decides_which_keys(tree: ast.Module) -> bool:
    """Return whether a module selects keys by the end of their life, or by a time after which they sign."""
    names = {f"SigningKey.{column}" for column in ("retired_at", "active_from")}
    tested = [node for node in nodes_of(tree) if isinstance(node, ast.Compare)]
    asked = [
        node.value for node in nodes_of(tree) if isinstance(node, ast.Attribute) and node.attr in {"is_", "is_not"}
    ]
    parts = [ast.unparse(part) for node in tested for part in (node.left, *node.comparators)]
    return bool(names.intersection(parts + [ast.unparse(node) for node in asked]))


ROLES = "idp/desk/access/"


def names_a_role(tree: ast.AST) -> bool:
    return any(isinstance(node, ast.Attribute) and named(node.value) == "Role" for node in nodes_of(tree))


def test_roles_are_named_in_one_table() -> None:
    matches = {shown(path) for path in modules("idp") if names_a_role(parsed(path))}
    assert {path for path in matches if path.startswith(ROLES)} == {f"{ROLES}roles.py"}, (
        "the table, and nothing beside it"
    )
    assert {path for path in matches if not path.startswith(ROLES)} == set()


def test_one_module_asks_the_table_who_imports_files() -> None:
    facts = {"accepts", "hands_files_to"}
    matches = {
        shown(path)
        for path in modules("idp")
        if any(isinstance(node, ast.Attribute) and node.attr in facts for node in nodes_of(parsed(path)))
    }
    assert matches == {"idp/desk/school_files/policy.py"}


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


def test_no_text_counts_a_change_of_credentials_by_hand() -> None:
    assert [shown(path) for path in modules("idp") if any(map(_COUNTED.search, texts(path)))] == []


Check = Callable[[ast.Module], object]


@each_row(
    ("decides", "homes"),
    [
        (reads_closing, {CLOSINGS, *ELSEWHERE}),
        (decides_which_keys, {SIGNING_KEYS}),
        (counted_by_hand, {CREDENTIALS, OF_STAFF}),
    ],
)
def test_no_other_module_decides(decides: Check, homes: set[str]) -> None:
    assert {shown(path) for path in modules("idp") if decides(parsed(path))} == homes


@each_row(
    ("decides", "code", "is_one"),
    [
        (reads_closing, "account.shut_until is not None", True),
        (reads_closing, "select(Guardianship).where(Guardianship.shut_until > moment)", True),
        (reads_closing, "account.is_shut_at(moment)", False),
        (reads_closing, "row.until", False),
        (decides_which_keys, "select(SigningKey.alg).where(SigningKey.active_from <= now())", True),
        (decides_which_keys, "select(SigningKey).where(SigningKey.retired_at.is_(None))", True),
        (decides_which_keys, "select_live(SigningKey.alg, SigningKey.active_from)", False),
        (decides_which_keys, "select(SigningKey).order_by(SigningKey.active_from.desc())", False),
        (names_a_role, "access.role() is Role.HEAD", True),
        (names_a_role, "Role(value)", False),
        (names_a_role, "StaffRole.role", False),
        (counted_by_hand, "account.generation += 1", True),
        (counted_by_hand, "account.generation = account.generation + 1", True),
        (counted_by_hand, "account.disabled_at, account.generation = moment, 3", True),
        (counted_by_hand, "update(Account).values(generation=Account.generation + 1)", True),
        (counted_by_hand, "update(accounts).values(generation=accounts.c.generation + 1)", True),
        (counted_by_hand, "update(Account).values(generation=generation + 1)", True),
        (counted_by_hand, "update(Account).values(generation=3)", True),
        (counted_by_hand, "update(Account).values(generation=Account.next_generation())", False),
        (counted_by_hand, "account.credentials_changed()", False),
        (counted_by_hand, "Session(generation=account.generation)", False),
        (counted_by_hand, "generation = account.generation", False),
        (counted_by_hand, "account.generation == link.generation", False),
    ],
)
def test_a_second_decision_would_be_seen(decides: Check, code: str, is_one: bool) -> None:  # noqa: FBT001 - a row of the table above
    assert bool(decides(ast.parse(code))) is is_one
