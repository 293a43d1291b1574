"""The documents that are written from the code, or checked against it: reference, checklist, conformity, publiccode."""

import re
import tomllib
from pathlib import Path

import click
import pytest
import yaml

from idp import __version__
from idp.audit.catalogue import EVENTS
from idp.cli import cli
from idp.config import Settings
from idp.languages import OFFERED
from idp.paths import CHECKOUT
from tests import checklist, reference


def test_every_setting_and_command_has_its_place() -> None:
    settings, commands = reference.settings_page(), reference.commands_page()
    assert [name for name in Settings.model_fields if f"| `IDP_{name.upper()}` |" not in settings] == []
    assert "| `IDP_CODE_LIFETIME` | authorization code | whole number, ≥ 10, ≤ 600<br>default: `60` |" in settings
    groups = [name for name, part in cli.commands.items() if isinstance(part, click.Group)]
    assert groups
    assert [name for name in cli.commands if f"\n## idp {name}\n" not in commands] == []
    assert "\n## idp client accept\n" in commands, "a command that another module adds to a group"


def test_a_field_of_an_event_that_nothing_explains_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    events = reference.events_page()
    assert "\n| `account.read` | refused | An operator " in events, "a second result of a kind"
    monkeypatch.delitem(reference.CONTENTS, "username_digest")
    with pytest.raises(ValueError, match="SignInFailed does not explain `username_digest`"):
        reference.events_page()


def test_every_module_of_events_is_in_the_catalogue() -> None:
    modules = {f"idp.audit.{path.stem}" for path in CHECKOUT.glob("idp/audit/*events.py")}
    assert {event.__module__ for event in EVENTS} == modules


def test_every_setting_has_a_description() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_a_page_that_is_not_current_is_refused_and_left_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "reference").mkdir()
    assert reference.main(["--check"], folder=tmp_path) == 1
    assert reference.main([], folder=tmp_path) == 0
    assert reference.main(["--check"], folder=tmp_path) == 0
    changed = tmp_path / "reference" / "settings.md"
    changed.write_text("old", encoding="utf-8")
    capsys.readouterr()
    assert reference.main(["--check"], folder=tmp_path) == 1
    assert 'run "make reference"' in capsys.readouterr().err
    assert changed.read_text(encoding="utf-8") == "old"


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
    (tmp_path / "tests").mkdir()
    (tmp_path / "docs" / "reference").mkdir(parents=True)
    (tmp_path / "tests" / "test_it.py").write_text(_MODULE)
    return tmp_path


def run(project: Path, rows: str, *arguments: str) -> tuple[int, str]:
    file = project / "docs" / "security.md"
    file.write_text(_HEAD + rows)
    code = checklist.main(list(arguments), checklist=file, folder=project / "tests")
    page = project / "docs" / checklist.PAGE
    return code, page.read_text().partition("|---|---|\n")[2] if page.exists() else ""


def test_each_row_gets_the_tests_that_are_marked_with_it(project: Path) -> None:
    rows = "| A-01 | One. |\n| A-02 | Two. |\n| B-01 | Three. |\n| C-01 | Four. |\n"
    code, written = run(project, rows)
    assert code == 0
    cells = [line.split(" | ")[1].split("<br>") for line in written.splitlines()]
    names = [[link.partition("]")[0].rpartition("test_it.py::")[2] for link in cell] for cell in cells]
    both = ["test_first", "TestClass::test_second"]
    assert names == [["test_first"], both, both, ["TestClass::test_second"]]
    assert "](../../tests/test_it.py)" in cells[0][0]
    assert run(project, rows, "--check") == (0, written)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ("| A-03 | Five. |", "Row A-03 has no test: mark one"),
        ("| A-01 | no test: none is needed. |", 'Row A-01 says "no test:", but tests are marked with it.'),
        ("| Q-01 | One. |", "is marked with A-01, which is no row of the checklist."),
        ("| A-02 | One. |", "line 4 is a second row A-02"),
        ("| A-01 | One, or | two. |", "line 3 is not"),
    ],
)
def test_a_checklist_that_is_not_true_is_refused(
    project: Path, capsys: pytest.CaptureFixture[str], changed: str, sentence: str
) -> None:
    others = "| A-02 | Two. |\n| B-01 | Three. |\n| C-01 | Four. |\n"
    _, written = run(project, "| A-01 | One. |\n" + others)
    assert run(project, f"{changed}\n{others}", "--check") == (1, written)
    assert sentence in capsys.readouterr().err


def test_a_page_that_does_not_name_the_tests_of_today_is_refused(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "| A-01 | One. |\n| A-02 | Two. |\n| B-01 | Three. |\n| C-01 | Four. |\n"
    assert run(project, rows, "--check") == (1, "")
    assert 'run "make checklist"' in capsys.readouterr().err


def test_a_row_may_say_why_it_has_no_test(project: Path) -> None:
    others = "| A-01 | One. |\n| A-02 | Two. |\n| B-01 | Three. |\n| C-01 | Four. |\n"
    code, written = run(project, others + "| D-01 | Five. no test: it is the operator's duty. |\n")
    assert (code, "D-01" in written) == (0, False)


def test_a_marker_names_its_rows_by_texts(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "tests" / "test_it.py").write_text(_MODULE.replace('"C-01"', "ROW"))
    assert run(project, "", "--check")[0] == 1
    assert "test_it.py, line 12: a marker names its rows by texts" in capsys.readouterr().err


ROOT = Path(__file__).parents[2]
TABLES = [ROOT / "docs" / "conformite.md", ROOT / "docs" / "doctrine.md"]
_ROW = re.compile(r"\b[A-Z]-\d\d\b")
_PLACE = re.compile(r"`((?:tests|idp|deploy)/[\w/.-]+)`")


def text() -> str:
    return "".join(path.read_text() for path in TABLES)


def test_every_row_that_is_named_has_a_test() -> None:
    named = set(_ROW.findall(text()))
    shown = {row for test in checklist.marked_tests(ROOT / "tests") for row in test.rows}
    assert named - shown == set()
    assert len(named) > 60


def test_every_place_that_is_named_is_there() -> None:
    missing = [place for place in _PLACE.findall(text()) if not (ROOT / place).exists()]
    assert missing == []


PUBLICCODE = yaml.safe_load((CHECKOUT / "publiccode.yml").read_text(encoding="utf-8"))
MANDATORY = {
    "publiccodeYmlVersion", "name", "url", "platforms", "categories", "developmentStatus", "softwareType",
    "description", "legal", "maintenance", "localisation",
}  # fmt: skip
OPTIONAL = {"softwareVersion", "releaseDate", "logo", "landingURL", "intendedAudience", "roadmap", "dependsOn"}
STATES = {"concept", "development", "beta", "stable", "obsolete"}


def test_publiccode_has_the_mandatory_keys_and_no_unknown_ones() -> None:
    assert set(PUBLICCODE) >= MANDATORY
    assert set(PUBLICCODE) <= MANDATORY | OPTIONAL
    assert PUBLICCODE["publiccodeYmlVersion"] == "0.4"
    assert PUBLICCODE["url"].startswith("https://")
    assert PUBLICCODE["developmentStatus"] in STATES
    assert set(PUBLICCODE["categories"]) <= {"identity-management", "it-security"}, "words of the standard's list"
    assert PUBLICCODE["maintenance"]["type"] == "community"
    assert PUBLICCODE["maintenance"]["contacts"], "which the type `community` demands"
    assert PUBLICCODE["localisation"]["localisationReady"] is True


def test_descriptions_have_the_lengths_of_the_standard() -> None:
    assert set(PUBLICCODE["description"]) == {"fr", "en"}
    for text in PUBLICCODE["description"].values():
        assert set(text) == {"shortDescription", "longDescription", "features"}
        assert len(text["shortDescription"]) <= 150
        assert 150 <= len(text["longDescription"]) <= 10_000
        assert all(len(feature) <= 100 for feature in text["features"])


def test_publiccode_agrees_with_the_project() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert PUBLICCODE["legal"]["license"] == project["license"]
    assert PUBLICCODE["softwareVersion"] == __version__
    assert tuple(PUBLICCODE["localisation"]["availableLanguages"]) == OFFERED
