"""Days in Paris are computed in `idp/clock.py`; what people type at the desk is read in one place for each kind."""

import ast
from collections.abc import Iterator

from tests.architecture.tree import modules, named, parsed, shown
from tests.rows import each_row

CLOCK = "idp/clock.py"


def days_in_paris(tree: ast.AST) -> Iterator[int]:
    """Yield the lines that compute a day, a midnight or the end of a day in Paris."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr="combine")) | ast.keyword(arg="tzinfo", value=ast.Name(id="PARIS")):
                yield node.lineno
            case ast.Call(func=ast.Attribute(attr="date", value=ast.Call(func=ast.Attribute(attr="astimezone")))):
                yield node.lineno
            case ast.Attribute(attr="year" | "month" | "day", value=ast.Call(func=ast.Attribute(attr="astimezone"))):
                yield node.lineno


def typed_texts(tree: ast.AST) -> Iterator[str]:
    """Yield what a module does itself with typed texts: compare a word in capitals, read a search or a day."""
    for node in ast.walk(tree):
        match node:
            case ast.Compare(left=ast.Call(func=ast.Attribute(attr="upper"))):
                yield "a word in capitals"
            case ast.Call(func=func, args=[ast.Constant(value="q"), *_]) if named(func) == "request.args.get":
                yield "a search"
            case ast.Call(func=ast.Attribute(attr="strptime")):
                yield "a day"


def test_days_in_paris_are_computed_in_one_module() -> None:
    matches = {shown(path): list(days_in_paris(parsed(path))) for path in modules("idp")}
    assert matches.pop(CLOCK), "the check no longer sees the home"
    assert {path: lines for path, lines in matches.items() if lines} == {}


def test_typed_texts_are_read_in_one_place() -> None:
    assert {(shown(path), what) for path in modules("idp/desk") for what in typed_texts(parsed(path))} == {
        ("idp/desk/fields.py", "a word in capitals"),
        ("idp/desk/fields.py", "a search"),
        ("idp/desk/fields.py", "a day"),
    }


@each_row(
    "code",
    [
        "datetime.combine(day, time(), PARIS)",
        "datetime(day.year, day.month, day.day, tzinfo=PARIS)",
        "now().astimezone(PARIS).date()",
        "moment.astimezone(PARIS).year",
    ],
)
def test_a_second_computation_would_be_seen(code: str) -> None:
    assert list(days_in_paris(ast.parse(code)))


@each_row(
    ("code", "what"),
    [
        ('(form.word.data or "").upper() != "BLOQUER"', "a word in capitals"),
        ('request.args.get("q", "")[:80]', "a search"),
        ('datetime.strptime(text, "%Y-%m-%d")', "a day"),
    ],
)
def test_a_second_reading_would_be_seen(code: str, what: str) -> None:
    assert list(typed_texts(ast.parse(code))) == [what]
