"""The sizes of files, functions and folders; the files hold no machine names, no home folders and no keys."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from idp.paths import CHECKOUT
from tests.architecture.tree import PRODUCT, modules, nodes_of, pages, parsed, shown
from tests.rows import each_row

MODULE, FUNCTION, CONFTEST, FOLDER = 400, 50, 150, 16
PAGE_LINES, PAGE_LOGIC = 120, 8
_LOGIC = re.compile(r"{%-?\s*(?:if|elif|for|set|macro|with|filter)\b")


def length(path: Path) -> int:
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


FOLDERS = ("idp", "demo", "clients", "templates", "migrations", "tests", "bench", "deploy", "themes", "docs", ".ci")
FILES = (
    "pyproject.toml",
    "Makefile",
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    ".gitignore",
    "publiccode.yml",
)
TEXT = {
    "", ".py", ".md", ".html", ".txt", ".css", ".js", ".mjs", ".json", ".toml", ".mako", ".svg", ".service", ".conf",
    ".env", ".timer", ".tpl", ".sh", ".yml", ".yaml", ".po", ".pot", ".socket",
}  # fmt: skip
FORBIDDEN = {
    "a folder of one machine": re.compile(r"(?<![\w.}>/-])/(?:home|Users|root|work|workspace)/\w"),
    "a folder beside the project": re.compile(r"\.\./{1,2}shared"),
    "a private key": re.compile(r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\s+[A-Za-z0-9+/=]{40}"),
    "a conflict that was not resolved": re.compile(r"^(?:<{7}|>{7}) ", re.MULTILINE),
    "work that is put off": re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b(?! -)"),
}


def files() -> Iterator[Path]:
    for name in FOLDERS:
        for path in sorted(CHECKOUT.joinpath(name).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts and path.suffix in TEXT:
                yield path
    yield from (CHECKOUT / name for name in FILES)


@each_row("what", FORBIDDEN)
def test_no_file_holds(what: str) -> None:
    matches = [
        f"{shown(path)}: {match.group(0)}"
        for path in files()
        if path != Path(__file__)
        for match in FORBIDDEN[what].finditer(path.read_text(encoding="utf-8"))
    ]
    assert matches == []


@each_row(
    ("what", "text"),
    [
        ("a folder of one machine", "see /home/anne/idp"),
        ("a folder of one machine", '"/root/x"'),
        ("a folder beside the project", "../shared/design"),
        ("a conflict that was not resolved", "a\n<<<<<<< HEAD\n"),
    ],
)
def test_it_would_be_seen(what: str, text: str) -> None:
    assert FORBIDDEN[what].search(text)


def test_every_file_is_text_as_it_should_be() -> None:
    matches = list(files())
    assert len(matches) > 200
    for path in matches:
        raw = path.read_bytes()
        assert b"\r\n" not in raw, shown(path)
        assert not raw.startswith(b"\xef\xbb\xbf"), shown(path)


def test_files_of_a_run_are_ignored_by_git() -> None:
    ignored = set((CHECKOUT / ".gitignore").read_text(encoding="utf-8").split())
    left = {"var/", ".venv/", ".tools/", "dist/", "__pycache__/", ".pytest_cache/", ".mypy_cache/", ".ruff_cache/"}
    assert left | {".import_linter_cache/", ".hypothesis/", "node_modules/"} <= ignored
