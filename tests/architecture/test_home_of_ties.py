"""`Guardianship` alone decides whether a tie is unended, disputed, undisputed or excluded."""

import ast
import re

from tests.architecture.deciding import columns_compared
from tests.architecture.test_audience import texts
from tests.architecture.tree import modules, nodes_of, parsed, shown
from tests.rows import each_row

HOME = "idp/accounts/models.py"
ELSEWHERE = {
    ("idp/accounts/directory.py", "ended_at"): "it compares the end with the day when the pupil left",
    ("idp/accounts/merging.py", "excluded_at"): "it compares the exclusion with the merge of the accounts",
    ("idp/activation/service.py", "disputed_at"): "it asks for disputes that began during this activation",
    ("idp/desk/school_files/policy.py", "ended_at"): "it counts the ties that ended in the last days",
    ("idp/families/standing.py", "excluded_at"): "it compares the exclusion with the end of the account",
    ("idp/operations/purge/unused_accounts.py", "ended_at"): "it removes ties long after their end",
}
"""The comparisons of other modules, and why they do not decide about the state of a tie."""

_DECIDING = {"ended_at", "disputed_at", "excluded_at"}
_TABLE = re.compile(r"\b(?:FROM|JOIN|UPDATE)\s+guardianship\b")
_SPELLED = re.compile(r"\b(?:ended_at|disputed_at|excluded_at)\s+IS\b")


def decisions(tree: ast.Module) -> set[str]:
    return columns_compared(tree, "Guardianship", {"tie", "link", *_iterated(tree)}, _DECIDING)


def _iterated(tree: ast.Module) -> set[str]:
    """Return the names of rows that a loop takes from `account.guardianships`."""
    return {
        name.id
        for node in nodes_of(tree)
        if isinstance(node, ast.comprehension | ast.For)
        and any(isinstance(part, ast.Attribute) and part.attr == "guardianships" for part in ast.walk(node.iter))
        for name in ast.walk(node.target)
        if isinstance(name, ast.Name)
    }


def spells_the_rule(text: str) -> bool:
    """Return whether SQL text decides about rows of the table `guardianship` by itself."""
    return _TABLE.search(text) is not None and _SPELLED.search(text) is not None


def test_no_query_spells_the_state_of_a_tie_a_second_time() -> None:
    matches = {(shown(path), column) for path in modules("idp") for column in decisions(parsed(path))}
    assert {match for match in matches if match[0] != HOME} == set(ELSEWHERE)


def test_no_text_spells_the_state_of_a_tie_a_second_time() -> None:
    assert [shown(path) for path in modules("idp") if any(map(spells_the_rule, texts(path)))] == []


@each_row(
    ("code", "columns"),
    [
        ("select(Guardianship).where(Guardianship.ended_at.is_(None))", {"ended_at"}),
        ("[tie.child for tie in ties if tie.disputed_at is None]", {"disputed_at"}),
        ("[one for one in account.guardianships if one.excluded_at]", {"excluded_at"}),
        ("links = cast('Table', Guardianship.__table__)\nlinks.c.excluded_at.is_(None)", {"excluded_at"}),
        ("int(link.excluded_at is not None)", {"excluded_at"}),
        ("def end(row: Guardianship): return not row.ended_at", {"ended_at"}),
        ("select(Guardianship).order_by(Guardianship.ended_at)", set()),
        ("update(Guardianship).values(ended_at=moment)", set()),
        ("select(Guardianship).where(Guardianship.is_disputed)", set()),
        ("Session.ended_at.is_(None)", set()),
    ],
)
def test_a_second_query_would_be_seen(code: str, columns: set[str]) -> None:
    assert decisions(ast.parse(code)) == columns


@each_row(
    ("text", "is_one"),
    [
        ("SELECT 1 FROM guardianship g WHERE g.ended_at IS NULL", True),
        ("SELECT 1 FROM session s WHERE s.ended_at IS NULL", False),
    ],
)
def test_a_second_text_would_be_seen(text: str, is_one: bool) -> None:  # noqa: FBT001 - a row of the table above
    assert spells_the_rule(text) is is_one
