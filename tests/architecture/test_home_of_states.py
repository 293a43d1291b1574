"""One module decides each state of a session, a tie, a one-time link and an audience: no second copy of these rules."""

import ast
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from idp.clients import audience
from idp.oidc.store import store
from idp.sessions import liveness
from tests.architecture.tree import modules, named, nodes_of, parsed, shown
from tests.rows import each_row

_TESTS = {"is_", "is_not", "isnot", "between", "in_", "not_in"}


def columns_compared(tree: ast.Module, table: str, rows: Collection[str], columns: Collection[str]) -> set[str]:
    """Return the columns that a module compares, by the class of the table, an alias of it or a row.

    Args:
        tree: The module.
        table: The class.
        rows: Names that always mean a row of the table, whatever they were made of.
        columns: The columns that count.
    """
    names = {table, *rows, *_named_rows(tree, table)}
    return {
        node.attr
        for operand in _operands(tree)
        for node in ast.walk(operand)
        if isinstance(node, ast.Attribute) and node.attr in columns and _row_of(node) in names
    }


def _row_of(column: ast.Attribute) -> str:
    """Return the name of the row, class or table in `row.column` or `table.c.column`."""
    match column.value:
        case ast.Name(id=name) | ast.Attribute(value=ast.Name(id=name), attr="c"):
            return name
    return ""


def _named_rows(tree: ast.Module, table: str) -> Iterator[str]:
    """Yield the names of rows: parameters by their annotation, variables by what they are made of."""
    for node in nodes_of(tree):
        match node:
            case ast.arg(arg=name, annotation=ast.expr() as annotation) if _is_about(annotation, table):
                yield name
            case ast.Assign(targets=[target], value=value) if _is_about(value, table):
                yield from (inner.id for inner in ast.walk(target) if isinstance(inner, ast.Name))


def _is_about(expression: ast.expr, table: str) -> bool:
    return any(isinstance(node, ast.Name) and node.id == table for node in ast.walk(expression))


def _operands(tree: ast.Module) -> Iterator[ast.expr]:
    """Yield the expressions that a decision depends on: of comparisons, of tests for NULL, of conditions."""
    for node in nodes_of(tree):
        match node:
            case ast.Compare(left=left, comparators=others):
                yield from (left, *others)
            case ast.Call(func=ast.Attribute(value=value, attr=test)) if test in _TESTS:
                yield value
            case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test):
                yield test
            case ast.BoolOp(values=values):
                yield from values
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                yield operand
            case ast.comprehension(ifs=conditions):
                yield from conditions


AUDIENCE = "idp/clients/audience.py"
_OWN_TABLES = "idp/clients/models.py"
DECIDES = {
    _OWN_TABLES: "it names the two values",
    "idp/registration/metadata.py": "it declares the field",
    "idp/registration/checks.py": "it refuses a registration that would know nobody",
    "idp/my_account/ent_data.py": "it says the value to the person",
    "idp/registration/trial/checks.py": "it says the value to the operator",
    "idp/desk/ents/fields.py": "it is a choice in the form of a registration",
    "idp/desk/ents/summary.py": "it says the value to the operator",
}
"""The modules that may use `Audience`, and why they do not decide about a person."""


def texts(path: Path) -> list[str]:
    matches = []
    for node in nodes_of(parsed(path)):
        match node:
            case ast.JoinedStr(values=values):
                matches.append("".join(str(part.value) for part in values if isinstance(part, ast.Constant)))
            case ast.Constant(value=str() as value):
                matches.append(value)
    return matches


def names(path: Path) -> set[str]:
    return {node.id for node in nodes_of(parsed(path)) if isinstance(node, ast.Name)}


def joins_by_hand(text: str) -> bool:
    """Return whether SQL text ties a person to a client."""
    return all(re.search(rf"\b{table}\b", text) for table in ("guardianship", "client_school")) or (
        re.search(r"\baudience\b\s*(?:=|IN\b|<>)", text) is not None
    )


def test_no_statement_spells_the_audience_a_second_time() -> None:
    assert [shown(path) for path in modules("idp") if any(map(joins_by_hand, texts(path)))] == []


def test_no_query_spells_the_audience_a_second_time() -> None:
    both = {"Guardianship", "ClientSchool"}
    assert [shown(path) for path in modules("idp") if both <= names(path)] == [AUDIENCE]


def test_no_other_module_decides_by_the_audience() -> None:
    assert {shown(path) for path in modules("idp") if "Audience" in names(path)} == {AUDIENCE, *DECIDES}


def test_each_hot_statement_that_tells_of_a_person_asks_the_audience() -> None:
    rule = audience.admits_sql(client="c", account="a.id", moment=":now")
    for name in ("_ISSUE_CODE", "_REDEEM_CODE", "_REFRESH", "_FIND_HOLDER"):
        assert rule in getattr(store, name).text, name


@each_row(
    ("text", "is_one"),
    [
        ("SELECT 1 FROM guardianship g JOIN client_school cs ON true", True),
        ("WHERE c.audience = 'EVERYONE'", True),
        ("SELECT 1 FROM guardianship", False),
        ("the audience of a client", False),
    ],
)
def test_a_second_audience_would_be_seen(text: str, is_one: bool) -> None:  # noqa: FBT001 - a row of the table above
    assert joins_by_hand(text) is is_one


LIVENESS = "idp/sessions/liveness.py"
COMPARE_SESSIONS = {
    ("idp/my_account/reauthentication.py", "ended_at"): "it compares with the sign-in of the row that came after",
}
"""The comparisons of other modules, and why they do not decide whether a session is alive."""

_OF_A_SESSION = {"ended_at", "expires_at", "last_seen_at", "generation"}
_SESSION_TABLE = re.compile(r"\b(?:FROM|JOIN|UPDATE)\s+session\b(?:\s+(?:AS\s+)?(\w+))?")
_SPELLED_LIVENESS = re.compile(r"\bended_at\s+IS\b|\blast_seen_at\s*>|\bgeneration\s*=|=\s*\w+\.generation\b")


def session_columns(tree: ast.Module) -> set[str]:
    """Return the session columns that a module compares, on the class, an alias or a row."""
    return columns_compared(tree, "Session", {"session"}, _OF_A_SESSION)


def spells_liveness(text: str) -> bool:
    """Return whether SQL text has a condition on the liveness of `session` rows.

    Other tables have an `expires_at` too: that of a session has the table's alias.
    """
    aliases = {match[1] or "session" for match in _SESSION_TABLE.finditer(text)}
    expires = any(re.search(rf"\b{alias}\.expires_at\s*>", text) for alias in aliases)
    return bool(aliases) and (expires or _SPELLED_LIVENESS.search(text) is not None)


def test_no_query_spells_the_liveness_of_a_session_a_second_time() -> None:
    matches = {(shown(path), column) for path in modules("idp") for column in session_columns(parsed(path))}
    assert {column for module, column in matches if module == LIVENESS} == _OF_A_SESSION, (
        "the check no longer sees the home"
    )
    assert {row for row in matches if row[0] != LIVENESS} == set(COMPARE_SESSIONS)


def test_no_text_spells_the_liveness_of_a_session_a_second_time() -> None:
    assert [shown(path) for path in modules("idp") if any(map(spells_liveness, texts(path)))] == []


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
def test_a_second_query_of_liveness_would_be_seen(code: str, columns: set[str]) -> None:
    assert session_columns(ast.parse(code)) == columns


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
def test_a_second_text_of_liveness_would_be_seen(text: str, is_one: bool) -> None:  # noqa: FBT001 - a row of the table above
    assert spells_liveness(text) is is_one


TIES = "idp/accounts/closings.py"
COMPARE_TIES = {
    "idp/accounts/directory.py": "it compares the end with the day when the pupil left",
    "idp/desk/school_files/policy.py": "it counts the ties that ended in the last days",
    "idp/operations/purge/unused_accounts.py": "it removes ties long after their end",
}
"""The comparisons of other modules, and why they do not decide about the state of a tie."""

_TIE_TABLE = re.compile(r"\b(?:FROM|JOIN|UPDATE)\s+guardianship\b")
_SPELLED_TIE = re.compile(r"\bended_at\s+IS\b")


def compares_ends(tree: ast.Module) -> bool:
    return bool(columns_compared(tree, "Guardianship", {"tie", "link", *_iterated(tree)}, {"ended_at"}))


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


def spells_a_tie(text: str) -> bool:
    """Return whether SQL text decides about rows of the table `guardianship` by itself."""
    return _TIE_TABLE.search(text) is not None and _SPELLED_TIE.search(text) is not None


def test_no_query_spells_the_state_of_a_tie_a_second_time() -> None:
    assert {shown(path) for path in modules("idp") if compares_ends(parsed(path))} - {TIES} == set(COMPARE_TIES)


def test_no_text_spells_the_state_of_a_tie_a_second_time() -> None:
    assert [shown(path) for path in modules("idp") if any(map(spells_a_tie, texts(path)))] == []


@each_row(
    ("code", "is_one"),
    [
        ("select(Guardianship).where(Guardianship.ended_at.is_(None))", True),
        ("[tie.child for tie in ties if tie.ended_at is None]", True),
        ("[one for one in account.guardianships if one.ended_at]", True),
        ("links = cast('Table', Guardianship.__table__)\nlinks.c.ended_at.is_(None)", True),
        ("def end(row: Guardianship): return not row.ended_at", True),
        ("select(Guardianship).order_by(Guardianship.ended_at)", False),
        ("update(Guardianship).values(ended_at=moment)", False),
        ("select(Guardianship).where(Guardianship.is_unended)", False),
        ("Session.ended_at.is_(None)", False),
    ],
)
def test_a_second_query_of_ties_would_be_seen(code: str, is_one: bool) -> None:  # noqa: FBT001 - a row of the table above
    assert compares_ends(ast.parse(code)) is is_one


@each_row(
    ("text", "is_one"),
    [
        ("SELECT 1 FROM guardianship g WHERE g.ended_at IS NULL", True),
        ("SELECT 1 FROM session s WHERE s.ended_at IS NULL", False),
    ],
)
def test_a_second_text_of_ties_would_be_seen(text: str, is_one: bool) -> None:  # noqa: FBT001 - a row of the table above
    assert spells_a_tie(text) is is_one


LINKS = "idp/accounts/one_time_links.py"

_OWN_COLUMNS = {"idp/oidc/", "idp/registration/", "idp/desk/staff/", "idp/desk/team/"}
"""The folders of the other tables that have `used_at` and `revoked_at`."""
_STATES = {"used_at", "revoked_at"}
_OF_A_LINK = _STATES | {"expires_at", "generation"}


def link_columns(tree: ast.Module) -> set[str]:
    return columns_compared(tree, "OneTimeLink", {"link"}, _OF_A_LINK)


def names_states(tree: ast.Module) -> set[str]:
    """Return the columns `used_at` and `revoked_at` that a module reads, whatever the row is called."""
    return {
        node.attr
        for node in nodes_of(tree)
        if isinstance(node, ast.Attribute) and node.attr in _STATES and named(node.value) != "Token"
    }


def test_no_query_spells_the_state_of_a_link_a_second_time() -> None:
    matches = {(shown(path), column) for path in modules("idp") for column in link_columns(parsed(path))}
    assert {column for module, column in matches if module == LINKS} == _OF_A_LINK, "the check no longer sees the home"
    assert {match for match in matches if match[0] != LINKS} == set()


def test_no_other_module_reads_whether_a_link_was_used() -> None:
    others = [path for path in modules("idp") if not shown(path).startswith(tuple(_OWN_COLUMNS))]
    assert [shown(path) for path in others if names_states(parsed(path))] == [LINKS]


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
def test_a_second_query_of_links_would_be_seen(code: str, columns: set[str]) -> None:
    assert link_columns(ast.parse(code)) == columns


def test_another_name_for_a_link_would_be_seen() -> None:
    assert names_states(ast.parse("if found.row.used_at is None: pass")) == {"used_at"}
    assert names_states(ast.parse("Token.revoked_at.is_(None)")) == set()
