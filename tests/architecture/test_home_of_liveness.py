"""One module decides whether a session is live: these tests fail for a second copy of the rule."""

import ast
import re

from idp.oidc.store import store
from idp.sessions import liveness
from tests.architecture.deciding import columns_compared
from tests.architecture.test_audience import texts
from tests.architecture.tree import modules, parsed, shown
from tests.rows import each_row

HOME = "idp/sessions/liveness.py"
ELSEWHERE = {
    ("idp/my_account/reauthentication.py", "ended_at"): "it compares with the sign-in of the row that came after",
}
"""The comparisons of other modules, and why they do not decide whether a session is alive."""

_DECIDING = {"ended_at", "expires_at", "last_seen_at", "generation"}
_TABLE = re.compile(r"\b(?:FROM|JOIN|UPDATE)\s+session\b(?:\s+(?:AS\s+)?(\w+))?")
_SPELLED = re.compile(r"\bended_at\s+IS\b|\blast_seen_at\s*>|\bgeneration\s*=|=\s*\w+\.generation\b")


def decisions(tree: ast.Module) -> set[str]:
    """Return the session columns that a module compares, on the class, an alias or a row."""
    return columns_compared(tree, "Session", {"session"}, _DECIDING)


def spells_the_rule(text: str) -> bool:
    """Return whether SQL text has a condition on the liveness of `session` rows.

    Other tables have an `expires_at` too: that of a session has the table's alias.
    """
    aliases = {match[1] or "session" for match in _TABLE.finditer(text)}
    expires = any(re.search(rf"\b{alias}\.expires_at\s*>", text) for alias in aliases)
    return bool(aliases) and (expires or _SPELLED.search(text) is not None)


def test_no_query_spells_the_liveness_of_a_session_a_second_time() -> None:
    matches = {(shown(path), column) for path in modules("idp") for column in decisions(parsed(path))}
    assert {column for module, column in matches if module == HOME} == _DECIDING, "the check no longer sees the home"
    assert {row for row in matches if row[0] != HOME} == set(ELSEWHERE)


def test_no_text_spells_the_liveness_of_a_session_a_second_time() -> None:
    assert [shown(path) for path in modules("idp") if any(map(spells_the_rule, texts(path)))] == []


def test_each_hot_statement_that_opens_something_holds_the_rule() -> None:
    holding = liveness.holding_sql(session="s", account="a", moment=":now")
    for name in ("_ISSUE_CODE", "_REDEEM_CODE", "_REFRESH", "_FIND_HOLDER"):
        assert holding in getattr(store, name).text, name
    live = liveness.live_sql(session="s", account="a", moment=":now", idle_since=":idle_since")
    assert live in store._ISSUE_CODE.text


@each_row(
    ("code", "columns"),
    [
        ("select(Session).where(Session.ended_at.is_(None))", {"ended_at"}),
        ("row = aliased(Session)\nselect(row).where(row.expires_at > moment)", {"expires_at"}),
        ("given, row = aliased(Session), aliased(Session)\nor_(row.ended_at.is_(None), given.id == 1)", {"ended_at"}),
        ("Account.generation == Session.generation", {"generation"}),
        ("def is_idle(one: Session): return one.last_seen_at <= moment - idle", {"last_seen_at"}),
        ("def is_over(session): return not session.ended_at", {"ended_at"}),
        ("former = db.session.scalar(select(Session))\nif former.ended_at: pass", {"ended_at"}),
        ("select(Session).order_by(Session.last_seen_at.desc())", set()),
        ("Guardianship.ended_at.is_(None)", set()),
        ("update(Session).values(ended_at=moment)", set()),
    ],
)
def test_a_second_query_would_be_seen(code: str, columns: set[str]) -> None:
    assert decisions(ast.parse(code)) == columns


@each_row(
    ("text", "is_one"),
    [
        ("SELECT 1 FROM session s WHERE s.ended_at IS NULL", True),
        ("SELECT 1 FROM token t JOIN session s ON s.id = t.session_id WHERE s.expires_at > :now", True),
        ("SELECT 1 FROM session s JOIN account a ON a.generation = s.generation", True),
        ("SELECT 1 FROM guardianship WHERE ended_at IS NULL", False),
        ("SELECT 1 FROM token t JOIN session s ON s.id = t.session_id WHERE t.expires_at > :now", False),
        ("UPDATE session SET last_seen_at = :now WHERE digest = :digest", False),
    ],
)
def test_a_second_text_would_be_seen(text: str, is_one: bool) -> None:  # noqa: FBT001 - a row of the table above
    assert spells_the_rule(text) is is_one
