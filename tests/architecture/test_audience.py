"""One module decides whether a client may get data of a person: these tests fail for a second copy of the rule."""

import ast
import re
from pathlib import Path

from idp.clients import audience
from idp.oidc.store import store
from tests.architecture.tree import modules, nodes_of, parsed, shown
from tests.rows import each_row

HOME = "idp/clients/audience.py"
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


def test_no_statement_spells_the_rule_a_second_time() -> None:
    matches = [shown(path) for path in modules("idp") if any(map(joins_by_hand, texts(path)))]
    assert matches == []


def test_no_query_spells_the_rule_a_second_time() -> None:
    both = {"Guardianship", "ClientSchool"}
    matches = [shown(path) for path in modules("idp") if both <= names(path)]
    assert matches == [HOME]


def test_no_other_module_decides_by_the_audience() -> None:
    matches = {shown(path) for path in modules("idp") if "Audience" in names(path)}
    assert matches == {HOME, *DECIDES}


def test_each_hot_statement_that_tells_of_a_person_holds_the_rule() -> None:
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
def test_a_second_spelling_would_be_seen(text: str, is_one: bool) -> None:  # noqa: FBT001 - a row of the table above
    assert joins_by_hand(text) is is_one
