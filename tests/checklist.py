"""`python -m tests.checklist`: write the tests of each row of docs/security.md into a page of the reference.

A test names its rows with a marker, `@pytest.mark.row("Z-01", "Z-02")`. A class or a module may carry the marker for
all its tests. The marker is read from the source, so no test is imported or run.
"""

import argparse
import ast
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
CHECKLIST = ROOT / "docs" / "security.md"
PAGE = "reference/tests.md"
"""The page with the tests, beside the checklist."""
TESTS = ROOT / "tests"
NO_TEST = "no test: "
_ROW = re.compile(r"^\| (?P<id>[A-Z]-\d\d) \| (?P<rule>[^|]+?) \|$")
_HEAD = """# Tests of the checklist

*Cette page est produite à partir des tests (`make checklist`).* The rules are in [the checklist](../security.md).

| row | tests |
|---|---|
"""
_LOOKS_LIKE_A_ROW = re.compile(r"^\|\s*[A-Z]-\d")


@dataclass(frozen=True)
class MarkedTest:
    """A test function and the ids of the rows that its markers name.

    Attributes:
        path: the test's file.
        name: the function, after its class if it has one: `TestZip::test_limits`.
        rows: ids in the order of the markers.
    """

    path: Path
    name: str
    rows: tuple[str, ...]


def marked_tests(folder: Path) -> list[MarkedTest]:
    """Return the marked tests under `folder`, by file and then in the order of the source.

    Raises:
        ValueError: an argument of a marker is not a string literal.
    """
    return [test for path in sorted(folder.rglob("test_*.py")) for test in _tests_of(path)]


def rows_of(text: str) -> dict[str, str]:
    """Return the rule of each row of the checklist `text`, by the row's id.

    Raises:
        ValueError: a line cannot be read as a row, or two rows have one id.
    """
    rows: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        row = _ROW.match(line)
        if row is None and _LOOKS_LIKE_A_ROW.match(line):
            raise ValueError(f'line {number} is not "| A-01 | rule |": {line[:60]}')
        if row is not None and row["id"] in rows:
            raise ValueError(f"line {number} is a second row {row['id']}")
        if row is not None:
            rows[row["id"]] = row["rule"]
    return rows


def render(text: str, tests: list[MarkedTest], folder: Path) -> str:
    return _HEAD + "".join(
        _with_tests(row, tests, folder) for row, rule in rows_of(text).items() if NO_TEST not in rule
    )


def problems(text: str, tests: list[MarkedTest]) -> list[str]:
    """Return a sentence for each marker without a row, and for each row without a test and without a reason."""
    rows = rows_of(text)
    held = {row for test in tests for row in test.rows}
    unknown = [
        f"{_shown(test)} is marked with {row}, which is no row of the checklist."
        for test in tests
        for row in test.rows
        if row not in rows
    ]
    bare = [
        f'Row {row} has no test: mark one with @pytest.mark.row("{row}"), or write "{NO_TEST}REASON" into its rule.'
        for row, rule in rows.items()
        if row not in held and NO_TEST not in rule
    ]
    both = [
        f'Row {row} says "{NO_TEST.strip()}", but tests are marked with it.'
        for row, rule in rows.items()
        if row in held and NO_TEST in rule
    ]
    return unknown + bare + both


def main(arguments: list[str] | None = None, *, checklist: Path = CHECKLIST, folder: Path = TESTS) -> int:
    """Write the page, or check it with `--check`; return 1 if something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.checklist", description="The checklist and its tests.")
    parser.add_argument("--check", action="store_true", help="write nothing, and fail if the file is not current")
    check: bool = parser.parse_args(arguments).check
    text = checklist.read_text(encoding="utf-8")
    try:
        tests = marked_tests(folder)
        faults = problems(text, tests)
    except ValueError as error:
        return _refuse([f"{checklist.name} cannot be filled: {error}."])
    page = checklist.parent / PAGE
    current = render(text, tests, page.parent)
    if check and (not page.exists() or page.read_text(encoding="utf-8") != current):
        faults.append(f'{page.name} does not name the tests of today: run "make checklist" and commit it.')
    if not check:
        page.write_text(current, encoding="utf-8")
    return _refuse(faults)


def _refuse(faults: list[str]) -> int:
    for sentence in faults:
        print(sentence, file=sys.stderr)  # noqa: T201 - a command
    return int(bool(faults))


def _with_tests(row: str, tests: list[MarkedTest], folder: Path) -> str:
    links = [f"[{_shown(test)}]({_relative(test.path, folder)})" for test in tests if row in test.rows]
    return f"| {row} | {'<br>'.join(links)} |\n"


def _shown(test: MarkedTest) -> str:
    return f"{_relative(test.path, ROOT)}::{test.name}"


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()


def _tests_of(path: Path) -> Iterator[MarkedTest]:
    source = path.read_text(encoding="utf-8")
    if "mark.row(" not in source:
        return
    module = ast.parse(source, str(path))
    yield from _tests_in(module.body, path, "", _module_rows(module, path))


def _tests_in(body: list[ast.stmt], path: Path, prefix: str, around: tuple[str, ...]) -> Iterator[MarkedTest]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            rows = around + _rows_in(node.decorator_list, path)
            yield from _tests_in(node.body, path, f"{prefix}{node.name}::", rows)
        elif isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            rows = around + _rows_in(node.decorator_list, path)
            if rows:
                yield MarkedTest(path, prefix + node.name, tuple(dict.fromkeys(rows)))


def _module_rows(module: ast.Module, path: Path) -> tuple[str, ...]:
    for node in module.body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["pytestmark"]:
            marks = node.value.elts if isinstance(node.value, ast.List | ast.Tuple) else [node.value]
            return _rows_in(marks, path)
    return ()


def _rows_in(marks: list[ast.expr], path: Path) -> tuple[str, ...]:
    rows: list[str] = []
    for mark in marks:
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.row":
            for argument in mark.args:
                if not isinstance(argument, ast.Constant) or not isinstance(argument.value, str):
                    message = f"{path.name}, line {argument.lineno}: a marker names its rows by texts"
                    raise ValueError(message)  # noqa: TRY004 - the source is wrong, not a type of ours
                rows.append(argument.value)
    return tuple(rows)


if __name__ == "__main__":
    sys.exit(main())
