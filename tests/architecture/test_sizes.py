import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from idp.paths import CHECKOUT
from tests.architecture.tree import PRODUCT, modules, nodes_of, pages, parsed, shown

MODULE, FUNCTION, CONFTEST, FOLDER = 400, 50, 150, 16
PAGE_LINES, PAGE_LOGIC = 120, 8
_LOGIC = re.compile(r"{%-?\s*(?:if|elif|for|set|macro|with|filter)\b")


def length(path: Path) -> int:
    """Return the number of lines of a file."""
    return len(path.read_text(encoding="utf-8").splitlines())


def functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in nodes_of(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{shown(path)}:{node.lineno} {node.name}", (node.end_lineno or node.lineno) - node.lineno + 1


def test_no_module_is_longer_than_what_is_read_at_once() -> None:
    assert {shown(path): length(path) for path in modules(*PRODUCT, "tests", "bench") if length(path) > MODULE} == {}


def test_no_function_is_longer_than_a_screen() -> None:
    matches = dict(pair for path in modules(*PRODUCT) for pair in functions(path))
    assert len(matches) > 100
    assert {name: lines for name, lines in matches.items() if lines > FUNCTION} == {}


def test_no_folder_of_the_service_has_more_modules_than_a_list_shows() -> None:
    matches = Counter(shown(path.parent) for path in modules("idp"))
    assert len(matches) > 20
    assert {name: count for name, count in matches.items() if count > FOLDER and name != "idp"} == {}


def test_no_conftest_becomes_a_library() -> None:
    matches = {shown(path): length(path) for path in CHECKOUT.joinpath("tests").rglob("conftest.py")}
    assert matches
    assert {name: lines for name, lines in matches.items() if lines > CONFTEST} == {}


def test_pages_are_pages_and_no_programs() -> None:
    matches = {shown(path): (length(path), len(_LOGIC.findall(path.read_text(encoding="utf-8")))) for path in pages()}
    assert any(logic for _, logic in matches.values())
    assert {name: size for name, size in matches.items() if size[0] > PAGE_LINES or size[1] > PAGE_LOGIC} == {}
