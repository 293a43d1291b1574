"""The documents name only existing commands, options, settings and files, and stay short."""

import re
import shlex
import tomllib
from collections.abc import Iterator

import click

from idp.cli import cli
from idp.config import PREFIX, Settings
from idp.oidc.claims.release import CLAIMS_BY_SCOPE
from idp.paths import CHECKOUT
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
_PLACE = re.compile(r"`((?:idp|tests|templates|migrations|demo|deploy|bench|clients|docs)/[\w/.-]+)`")


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


def test_every_file_in_a_document_exists() -> None:
    named = {
        (shown(path), place)
        for path in DOCUMENTS
        for place in _PLACE.findall(path.read_text(encoding="utf-8"))
        if path.is_relative_to(CHECKOUT / "docs") or path.parent == CHECKOUT
    }
    assert len(named) > 50
    assert sorted((path, place) for path, place in named if not (CHECKOUT / place).exists()) == []


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
