"""`idp.accounts.one_time_links` alone decides whether a one-time link is used, revoked, expired or outdated."""

import ast

from tests.architecture.deciding import columns_compared
from tests.architecture.tree import modules, named, nodes_of, parsed, shown
from tests.rows import each_row

HOME = "idp/accounts/one_time_links.py"

_OWN_COLUMNS = {"idp/oidc/", "idp/registration/", "idp/desk/staff/", "idp/desk/team/"}
"""The folders of the other tables that have `used_at` and `revoked_at`."""
_STATES = {"used_at", "revoked_at"}
_DECIDING = _STATES | {"expires_at", "generation"}


def decisions(tree: ast.Module) -> set[str]:
    return columns_compared(tree, "OneTimeLink", {"link"}, _DECIDING)


def names_states(tree: ast.Module) -> set[str]:
    """Return the columns `used_at` and `revoked_at` that a module reads, whatever the row is called."""
    return {
        node.attr
        for node in nodes_of(tree)
        if isinstance(node, ast.Attribute) and node.attr in _STATES and named(node.value) != "Token"
    }


def test_no_query_spells_the_state_of_a_link_a_second_time() -> None:
    matches = {(shown(path), column) for path in modules("idp") for column in decisions(parsed(path))}
    assert {column for module, column in matches if module == HOME} == _DECIDING, "the check no longer sees the home"
    assert {match for match in matches if match[0] != HOME} == set()


def test_no_other_module_reads_whether_a_link_was_used() -> None:
    others = [path for path in modules("idp") if not shown(path).startswith(tuple(_OWN_COLUMNS))]
    assert [shown(path) for path in others if names_states(parsed(path))] == [HOME]


@each_row(
    ("code", "columns"),
    [
        ("select(OneTimeLink).where(OneTimeLink.revoked_at.is_(None))", {"revoked_at"}),
        ("def send(row: OneTimeLink): return row.expires_at < now()", {"expires_at"}),
        ("row = db.session.get(OneTimeLink, key)\nif row.used_at: pass", {"used_at"}),
        ("link.generation == account.generation", {"generation"}),
        ("delete(OneTimeLink).order_by(OneTimeLink.expires_at)", set()),
        ("hours = link.expires_at - now()", set()),
    ],
)
def test_a_second_query_would_be_seen(code: str, columns: set[str]) -> None:
    assert decisions(ast.parse(code)) == columns


def test_another_name_for_a_link_would_be_seen() -> None:
    assert names_states(ast.parse("if found.row.used_at is None: pass")) == {"used_at"}
    assert names_states(ast.parse("Token.revoked_at.is_(None)")) == set()
