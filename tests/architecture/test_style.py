"""Style: plain English without private idioms, and the sizes of files, functions and folders."""

import ast
import io
import re
import subprocess
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from idp.paths import CHECKOUT
from idp.tables import metadata
from tests.architecture.tree import PRODUCT, imported, modules, named, nodes_of, pages, parsed, shown
from tests.rows import each_row

PACKAGES = ("idp", "demo", "bench", "clients", "migrations")
_FIRST_COMMIT = "7e98f39"
_LONGEST_SUBJECT = 72

_IDIOMS = re.compile(
    r"\bwho(m|so)?ever\b"  # name the person or the program
    r"|\bthe ones? (that|which|who)\b"  # name the thing
    r"|\b(goes|going|go|went) on\b"  # continue
    r"|\b(dies?|died|dying)\b"  # end, expire, fail
    r"|\bforg(ive|ave|iven|iving)\b"  # reset
    r"|\bopens? nothing\b|\bnone when\b"  # is refused; None if
    r"|\b(mails?|messages?|links?) (leaves?|left)\b"  # is sent
    r"|\bwhat is so\b"
    r"|\breturn if\b",  # return whether
    re.IGNORECASE,
)
_IDIOMS_OF_COMMANDS = re.compile(
    r"\b(lives?|living) again\b"  # is restored
    r"|burnt"  # removed, expired; also in a name of JSON
    r"|_forgotten\b"  # removed
    r"|\ball the same\b"  # anyway
    r"|\bleads? to nobody\b"  # identifies nobody
    r"|\bours to\b",
    re.IGNORECASE,
)
"""Further idioms that operators have read in commands and logs."""
_VAGUE_NAMES = {"address", "addresses", "found", "wanted", "told", "said", "one"}
"""An address is an IP, an email, a URL or a postal address; a value has a noun."""
_VAGUE_TEXT = re.compile(rf"\b({'|'.join(sorted(_VAGUE_NAMES))})(?=\s*([=:,)\](]|in\b))", re.IGNORECASE)
_FRENCH = re.compile(r"[àâçèêëîïôùûœ«»’]|\b(le|les|une|des|est|pas|pour|avec)\b")
_SAYS = re.compile(r"^(click|log|logger|_log|_logger)\.|(Error|Exception)$")
_FRENCH_WORDS = re.compile(r"\b(Académies?|académies?|collèges?|lycées?|écoles?)\b")
"""Words of the domain that English sentences keep."""

ALLOWED_FRENCH = {"idp/rostering/files/xml_stream.py": "a secretary reads what is wrong in a file"}


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the docstrings and comments of a module, each with its line."""
    for node in nodes_of(parsed(path)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, " ".join(node.value.value.split())
    for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def names(path: Path) -> Iterator[tuple[int, str]]:
    for node in nodes_of(parsed(path)):
        match node:
            case ast.arg(arg=name):
                yield node.lineno, name
            case ast.Name(id=name, ctx=ast.Store()):
                yield node.lineno, name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield node.lineno, name


def command_texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the literals in calls of `click`, of loggers and of exceptions: help, output, log lines and errors.

    Arguments of `gettext` are for pages, also in an exception that a page shows.
    """
    for node in nodes_of(parsed(path)):
        if isinstance(node, ast.Call) and _SAYS.search(named(node.func)):
            calls = [part for part in ast.walk(node) if isinstance(part, ast.Call) and named(part.func) == "gettext"]
            for_pages = {id(part) for call in calls for part in ast.walk(call)}
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and isinstance(part.value, str) and id(part) not in for_pages:
                    yield part.lineno, part.value


def operator_texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield `command_texts`, and in a module with commands all literals except docstrings: help of options, sentences.

    The help of a command is its docstring, and part of `prose`.
    """
    yield from command_texts(path)
    if any(name.partition(".")[0] == "click" for _, name in imported(path)):
        docstrings = {id(node.value) for node in nodes_of(parsed(path)) if isinstance(node, ast.Expr)}
        for node in nodes_of(parsed(path)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
                yield node.lineno, node.value


def test_no_docstring_or_comment_has_a_private_idiom() -> None:
    assert [
        f"{shown(path)}:{line}: {match.group()}"
        for path in modules(*PACKAGES, "tests")
        if _IDIOMS.search(" ".join(path.read_text(encoding="utf-8").split()))  # a tenth; to tokenize all takes seconds
        for line, text in prose(path)
        for match in _IDIOMS.finditer(text)
    ] == []


def test_names_say_what_they_hold() -> None:
    assert [
        f"{shown(path)}:{line}: {name}"
        for path in modules(*PACKAGES, "tests")
        if _VAGUE_TEXT.search(path.read_text(encoding="utf-8"))  # to parse all takes seconds
        for line, name in names(path)
        if name.lower() in _VAGUE_NAMES
    ] == []


def test_columns_say_what_they_hold() -> None:
    columns = (column for table in metadata.tables.values() for column in table.columns)
    assert [str(column) for column in columns if column.name in _VAGUE_NAMES] == []


def test_exceptions_end_in_error() -> None:
    # Ruff's N818 says which do not; no module exempts itself.
    assert [shown(path) for path in modules(*PACKAGES) if "N818" in path.read_text(encoding="utf-8")] == []


def test_commands_and_logs_speak_english() -> None:
    assert [
        f"{shown(path)}:{line}: {text}"
        for path in modules(*PACKAGES)
        for line, text in command_texts(path)
        if _FRENCH.search(_FRENCH_WORDS.sub("", text)) and shown(path) not in ALLOWED_FRENCH
    ] == []


def test_no_command_or_log_line_has_a_private_idiom() -> None:
    assert (
        sorted(
            {
                f"{shown(path)}:{line}: {match.group()}"
                for path in modules(*PACKAGES)
                for line, text in operator_texts(path)
                for idioms in (_IDIOMS, _IDIOMS_OF_COMMANDS)
                for match in idioms.finditer(text)
            }
        )
        == []
    )


@each_row(
    "text",
    ["the tie lives again", "its password opens nothing", "letters_burnt", "it retires it all the same", "it goes on"],
)
def test_an_idiom_of_a_command_would_be_seen(text: str) -> None:
    assert _IDIOMS.search(text) or _IDIOMS_OF_COMMANDS.search(text)


def commit_subjects(folder: Path) -> list[str]:
    """Return the subjects of the commits since the style was written; of a shallow clone, of the commits that it has.

    Raises:
        CalledProcessError: git cannot read the history.
    """
    known = subprocess.run(["git", "cat-file", "-e", _FIRST_COMMIT], cwd=folder, capture_output=True, check=False)
    since = [f"{_FIRST_COMMIT}..HEAD"] if known.returncode == 0 else ["HEAD", "--max-count=1"]
    log = ["git", "log", "--format=%s", *since]
    return subprocess.run(log, cwd=folder, capture_output=True, text=True, check=True).stdout.splitlines()


def test_commit_subjects_are_short() -> None:
    if not (CHECKOUT / ".git").exists():
        return  # a source archive has no commits
    subjects = commit_subjects(CHECKOUT)
    assert subjects, "no commit since the first one"
    assert [subject for subject in subjects if len(subject) > _LONGEST_SUBJECT] == []


def test_a_history_that_cannot_be_read_would_be_seen(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    with pytest.raises(subprocess.CalledProcessError):
        commit_subjects(tmp_path)


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
