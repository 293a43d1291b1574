"""The checklist of docs/security.md, and the command that fills its column of tests."""

from pathlib import Path

import pytest

from tests import checklist

_HEAD = "| row | rule | tests |\n|---|---|---|\n"
_MODULE = """
import pytest

pytestmark = [pytest.mark.browser, pytest.mark.row("B-01")]


@pytest.mark.row("A-02", "A-01")
@pytest.mark.parametrize("x", [1])
def test_first(x): ...


@pytest.mark.row("C-01")
class TestClass:
    @pytest.mark.row("A-02")
    def test_second(self): ...


def helper(): ...
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a checklist and a module of tests."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "docs").mkdir()
    (tmp_path / "tests" / "test_it.py").write_text(_MODULE)
    return tmp_path


def run(project: Path, rows: str, *arguments: str) -> tuple[int, str]:
    """Return the exit code of the command and the checklist after it."""
    file = project / "docs" / "security.md"
    file.write_text(_HEAD + rows)
    code = checklist.main(list(arguments), checklist=file, folder=project / "tests")
    return code, file.read_text().removeprefix(_HEAD)


def test_each_row_gets_the_tests_that_are_marked_with_it(project: Path) -> None:
    rows = "| A-01 | One. | |\n| A-02 | Two. |  |\n| B-01 | Three. | old |\n| C-01 | Four. | |\n"
    code, written = run(project, rows)
    assert code == 0
    cells = [line.split(" | ")[2].split("<br>") for line in written.splitlines()]
    names = [[link.partition("]")[0].rpartition("test_it.py::")[2] for link in cell] for cell in cells]
    both = ["test_first", "TestClass::test_second"]
    assert names == [["test_first"], both, both, ["TestClass::test_second"]]
    assert "](../tests/test_it.py)" in cells[0][0]
    assert run(project, written, "--check") == (0, written)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ("| A-01 | One. | |", 'run "make checklist"'),
        ("| A-03 | Five. | — |", "Row A-03 has no test: mark one"),
        ("| A-01 | no test: none is needed. | |", 'Row A-01 says "no test:", but tests are marked with it.'),
        ("| Q-01 | One. | |", "is marked with A-01, which is no row of the checklist."),
        ("| A-02 | One. | |", "line 4 is a second row A-02"),
        ("| A-01 | One, or | two. | |", "line 3 is not"),
    ],
)
def test_a_checklist_that_is_not_true_is_refused_and_left_as_it_is(
    project: Path, capsys: pytest.CaptureFixture[str], changed: str, sentence: str
) -> None:
    others = "| A-02 | Two. | |\n| B-01 | Three. | |\n| C-01 | Four. | |\n"
    _, written = run(project, "| A-01 | One. | |\n" + others)
    rows = changed + "\n" + written.partition("\n")[2]
    assert run(project, rows, "--check") == (1, rows)
    assert sentence in capsys.readouterr().err


def test_a_row_may_say_why_it_has_no_test(project: Path) -> None:
    others = "| A-01 | One. | |\n| A-02 | Two. | |\n| B-01 | Three. | |\n| C-01 | Four. | |\n"
    code, written = run(project, others + "| D-01 | Five. no test: it is the operator's duty. | |\n")
    assert code == 0
    assert written.endswith("| D-01 | Five. no test: it is the operator's duty. | — |\n")


def test_a_marker_names_its_rows_by_texts(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "tests" / "test_it.py").write_text(_MODULE.replace('"C-01"', "ROW"))
    assert run(project, "", "--check")[0] == 1
    assert "test_it.py, line 12: a marker names its rows by texts" in capsys.readouterr().err
