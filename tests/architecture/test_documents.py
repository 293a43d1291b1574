"""The documents name what exists, and those that are written from the code are current."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from idp import __version__
from idp.audit.catalogue import EVENTS
from idp.cli import cli
from idp.config import PREFIX, Settings
from idp.languages import OFFERED
from idp.oidc.claims.release import CLAIMS_BY_SCOPE
from idp.paths import CHECKOUT
from tests import checklist, reference
from tests.architecture.tree import modules, parsed, sentences, shown, templates
from tests.rows import each_row

DOCUMENTS = sorted([*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/**/*.md"), *CHECKOUT.glob("clients/**/*.md")])
MOST_LINES = {"README.md": 100, "CHANGELOG.md": 40}
MOST_IMAGE_BYTES = 300 * 1024
MOST_SCREENSHOT_BYTES = 60_000
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_OWN = re.compile(rf"\b{PREFIX}[A-Z][A-Z0-9_]*[A-Z0-9]\b")
_FOREIGN = {"IDP_CONFIG", "IDP_IMAGE"}  # the latter is for compose.yaml
_ADVISED = re.compile(r"(?<![\w.-])idp (?!is |breached passwords 1)[a-z][^`»;,()\"'’\n]*")
UNITS = sorted(path for path in CHECKOUT.joinpath("deploy").iterdir() if path.is_file())


def typed(text: str) -> Iterator[str]:
    """Yield each use of the command `idp` in a document: in a code span, an indented line, or a fenced block."""
    fenced = "\n".join(block for language, block in _FENCE.findall(text) if language in {"", "sh", "console"})
    rest = _FENCE.sub("", text)
    spans = re.findall(r"`([^`\n]+)`", rest)
    lines = re.findall(r"^ {4}(\S[^\n]*)$", rest, re.MULTILINE) + fenced.replace("\\\n", " ").splitlines()
    for code in (*spans, *lines):
        for part in re.split(r"&&|\s#\s", code):
            if re.match(r"\s*(?:nice )?(?:\S*/)?idp \w", part):
                yield part.strip()


def faults(use: str) -> list[str]:
    words = shlex.split(use.replace("…", "x"))
    words = words[next(at for at, word in enumerate(words) if word.rpartition("/")[2] == "idp") + 1 :]
    commands: list[click.Command] = [cli]
    while words and all(isinstance(command, click.Group) for command in commands):
        names = words.pop(0).split("|")
        groups = [command for command in commands if isinstance(command, click.Group)]
        matches = [group.commands.get(name) for group in groups for name in names]
        if None in matches:
            return [f"{use}: no command {' or '.join(names)}"]
        commands = [command for command in matches if command is not None]
    known = {option for command in commands for parameter in command.params for option in parameter.opts}
    known |= {option for command in commands for parameter in command.params for option in parameter.secondary_opts}
    given = {option for word in words for option in re.findall(r"^\[?(--[a-z][\w-]*)", word)}
    return [f"{use}: no option {option}" for option in sorted(given - known - {"--help", "--version"})]


def test_every_command_in_a_document_exists() -> None:
    uses = [(shown(path), use) for path in DOCUMENTS for use in typed(path.read_text(encoding="utf-8"))]
    assert len(uses) > 100
    assert [f"{name}: {fault}" for name, use in uses for fault in faults(use)] == []


def advised(text: str) -> Iterator[str]:
    """Yield each use of the command `idp` in a sentence, up to the end of its quotation or a punctuation mark."""
    for match in _ADVISED.finditer(text):
        yield match.group().rstrip(" .")


def test_every_command_in_a_sentence_of_the_code_exists() -> None:
    places = [(shown(path), text) for path in modules("idp", "demo") for text in sentences(parsed(path))]
    places += [(shown(path), path.read_text(encoding="utf-8")) for path in (*templates(), *UNITS)]
    uses = {(name, use) for name, text in places for use in advised(text)}
    assert len(uses) > 50
    assert sorted(f"{name}: {fault}" for name, use in uses for fault in faults(use)) == []


@each_row(
    ("text", "uses"),
    [
        ("voyez « idp account frobnicate », puis", ["idp account frobnicate"]),
        ("réparez : idp client set x --frobnicate; puis", ["idp client set x --frobnicate"]),
        ("ExecStart=/opt/scolarite/.venv/bin/idp desk frobnicate --bind x", ["idp desk frobnicate --bind x"]),
    ],
)
def test_an_advice_that_is_gone_would_be_seen(text: str, uses: list[str]) -> None:
    assert list(advised(text)) == uses
    assert [len(faults(use)) for use in uses] == [1]


@each_row(
    ("text", "count"),
    [
        ("see `idp client frobnicate`", 1),
        ("    idp db upgrade && idp keys rotate --frobnicate", 1),
        ("```sh\nidp client add x \\\n  --frobnicate\n```", 1),
        ("`idp audit verify|show|export`, `idp account find [--school UAI]`, the command `idp`", 0),
        ("    nice .venv/bin/idp roster import FILES  # --frobnicate", 0),
    ],
)
def test_a_command_that_is_gone_would_be_seen(text: str, count: int) -> None:
    assert len([fault for use in typed(text) for fault in faults(use)]) == count


def test_every_setting_in_a_document_exists() -> None:
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | _FOREIGN
    named = {(shown(path), name) for path in DOCUMENTS for name in _OWN.findall(path.read_text(encoding="utf-8"))}
    assert sorted((path, name) for path, name in named if name not in known) == []


def drawn(name: str, heading: str) -> list[str]:
    _, _, section = CHECKOUT.joinpath(name).read_text(encoding="utf-8").partition(f"\n## {heading}\n")
    lines = section.partition("\n## ")[0].partition("```text\n")[2].partition("```")[0] or section.partition("\n## ")[0]
    return [line for line in lines.splitlines() if line.strip()]


def test_the_layers_are_those_of_the_import_contract() -> None:
    contracts = tomllib.loads(CHECKOUT.joinpath("pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    layers = [set(layer.split(" | ")) for layer in contracts["contracts"][0]["layers"]]
    assert [set(re.split(r" {3,}", line)[0].split()) for line in drawn("docs/architecture.md", "Layers")] == layers


def test_the_tree_has_every_folder() -> None:
    ignored = set(CHECKOUT.joinpath(".gitignore").read_text(encoding="utf-8").split())
    there = {f"{path.name}/" for path in CHECKOUT.iterdir() if path.is_dir() and not path.name.startswith(".")}
    packages = {f"{path.parent.name}/" for path in CHECKOUT.glob("idp/*/__init__.py")}
    lines = drawn("README.md", "The tree")
    inside = {
        word for line in lines if line.startswith(" " * 8) for word in re.split(r" {3,}", line.strip())[0].split()
    }
    assert {line.split()[0] for line in lines if not line.startswith(" " * 8)} == there - ignored
    assert inside == packages


def test_pages_for_ents_have_every_claim() -> None:
    every = {claim for claims in CLAIMS_BY_SCOPE.values() for claim in claims}
    school = {*CLAIMS_BY_SCOPE["ent"], *CLAIMS_BY_SCOPE["charter"]}  # the standard's own claims are described by scope
    for page, claims in (("clients/README.md", every), ("docs/brancher-un-ent.md", school)):
        text = CHECKOUT.joinpath(page).read_text(encoding="utf-8")
        assert [claim for claim in sorted(claims) if f"`{claim}`" not in text] == [], page


def test_short_documents_stay_short() -> None:
    lines = {name: len((CHECKOUT / name).read_text(encoding="utf-8").splitlines()) for name in MOST_LINES}
    assert {name: count for name, count in lines.items() if count > MOST_LINES[name]} == {}


def test_every_picture_is_used_and_all_are_small() -> None:
    pictures = [path for path in CHECKOUT.joinpath("docs", "images").iterdir() if path.is_file()]
    assert pictures
    assert sum(path.stat().st_size for path in pictures) <= MOST_IMAGE_BYTES
    text = "".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
    assert [path.name for path in pictures if f"images/{path.name})" not in text] == []


def test_every_screenshot_of_the_desk_is_small_and_is_used_once_with_a_description() -> None:
    pictures = sorted(CHECKOUT.joinpath("docs", "images", "bureau").glob("*"))
    text = "".join(path.read_text(encoding="utf-8") for path in CHECKOUT.glob("docs/bureau/*.md"))
    used = re.findall(r"!\[([^]]{20,})]\(\.\./images/bureau/([\w.]+)\)", text)
    assert sorted(name for _, name in used) == [path.name for path in pictures] != []
    assert {path.name: path.stat().st_size for path in pictures if path.stat().st_size > MOST_SCREENSHOT_BYTES} == {}


def test_every_decision_is_listed() -> None:
    folder = CHECKOUT / "docs" / "decisions"
    listed = folder.joinpath("README.md").read_text(encoding="utf-8")
    pages = list(folder.glob("0*.md"))
    assert len(pages) > 10
    for path in pages:
        heading, _, text = path.read_text(encoding="utf-8").partition("\n")
        number, _, title = heading.removeprefix("# ").partition(" · ")
        assert f"| [{number}]({path.name}) | {title} |" in listed, path.name
        assert [part for part in ("**Context.**", "**Decision.**", "**Consequences.**") if part not in text] == []


def test_every_setting_and_command_has_its_place() -> None:
    settings, commands = reference.settings_page(), reference.commands_page()
    assert [name for name in Settings.model_fields if f"| `IDP_{name.upper()}` |" not in settings] == []
    assert "| `IDP_CODE_LIFETIME` | authorization code | whole number, ≥ 10, ≤ 600<br>default: `60` |" in settings
    assert [name for name, part in cli.commands.items() if isinstance(part, click.Group)]
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
    (tmp_path / "bureau").mkdir()
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


ROOT = Path(__file__).parents[2]
TABLES = [ROOT / "docs" / "conformite.md", ROOT / "docs" / "doctrine.md"]
_ROW = re.compile(r"\b[A-Z]-\d\d\b")


def text() -> str:
    return "".join(path.read_text() for path in TABLES)


def test_every_row_that_is_named_has_a_test() -> None:
    named = set(_ROW.findall(text()))
    shown = {row for test in checklist.marked_tests(ROOT / "tests") for row in test.rows}
    assert named - shown == set()
    assert len(named) > 60


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
