"""Templates, macros and CSS classes that nothing uses any more are deleted."""

import re
from collections.abc import Iterator
from pathlib import Path

from idp.desk.statistics.figures import STATES
from idp.paths import CHECKOUT, TEMPLATES
from tests.architecture.tree import modules, shown, templates
from tests.rows import each_row

STATIC = CHECKOUT / "idp" / "static"
BY_CODE = {f"s-{state.value}" for state in STATES}
"""The classes of states, which the code puts together."""
_IMPORTED = re.compile(r"{%-?\s*import \"([^\"]+)\" as (\w+)")
_INCLUDED = re.compile(r"{%-?\s*include \"([^\"]+)\"")
_MACRO = re.compile(r"{%-?\s*macro\s+(\w+)\(")
_SELECTOR = re.compile(r"([^{}]+){")
_CLASS = re.compile(r"\.([a-zA-Z][\w-]*)")
_CLASS_ATTRIBUTE = re.compile(r"class=(?:\"([^\"]*)\"|'([^']*)')")
_STRING = re.compile(r"'([\w -]+)'")
_WORD = re.compile(r"[\w-]+")


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def every(suffixes: tuple[str, ...] = (".html", ".txt")) -> str:
    return "\n".join(text(path) for suffix in suffixes for path in templates(suffix))


def code() -> str:
    return "\n".join(text(path) for path in modules("idp", "demo"))


def unused_imports(source: str) -> Iterator[str]:
    """Yield the names of imported macros that neither a template nor a part uses, or that stand for two files."""
    parts = [source, *(text(TEMPLATES / name) for name in _INCLUDED.findall(source))]
    names = [alias for _, alias in _IMPORTED.findall(source)]
    for alias in set(names):
        if names.count(alias) > 1 or not any(re.search(rf"\b{alias}\.", part) for part in parts):
            yield alias


def unused_classes(css: str, used: set[str]) -> set[str]:
    without = re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL)
    return {name for selector in _SELECTOR.findall(without) for name in _CLASS.findall(selector)} - used


def test_every_template_is_rendered_or_included() -> None:
    sources = every() + code()
    assert [
        shown(path)
        for path in templates()
        if not re.search(rf"[\"'/]{re.escape(path.stem)}(?:\.html)?[\"']", sources)
        and "mail" not in path.relative_to(TEMPLATES).parts
    ] == []


def test_every_import_of_macros_is_used() -> None:
    assert {shown(path): names for path in templates() if (names := list(unused_imports(text(path))))} == {}


def test_every_macro_is_called() -> None:
    sources = every()
    macros = [(shown(path), name) for path in templates() for name in _MACRO.findall(text(path))]
    assert len(macros) > 50
    called = set(re.findall(r"(?<!macro )\b(\w+)\(", sources))
    assert [macro for macro in macros if macro[1] not in called] == []


def test_every_class_of_the_style_sheets_is_on_a_page() -> None:
    sources = every((".html",))
    strings = [a or b for a, b in _CLASS_ATTRIBUTE.findall(sources)] + _STRING.findall(sources)
    used = {name for string in strings for name in _WORD.findall(string)} | BY_CODE
    used |= {name for path in STATIC.glob("*.js") for name in _WORD.findall(text(path))}
    assert {sheet: unused_classes(text(STATIC / sheet), used) for sheet in ("base.css", "desk.css")} == {
        "base.css": set(),
        "desk.css": set(),
    }


@each_row(
    ("source", "names"),
    [
        ('{% import "macros/kit.html" as k %}{{ k.csrf() }}', []),
        ('{% import "macros/kit.html" as k %}<p>k</p>', ["k"]),
        ('{% import "macros/kit.html" as k %}{% import "macros/ent.html" as k %}{{ k.csrf() }}', ["k"]),
        ('{% import "macros/kit.html" as k %}{% include "desk/jobs/_fichier.html" %}', []),
    ],
)
def test_an_unused_import_would_be_seen(source: str, names: list[str]) -> None:
    assert list(unused_imports(source)) == names


def test_an_unused_class_would_be_seen() -> None:
    assert unused_classes("/* .told { */ .acts .bar, .card > p { margin: 0; }", {"acts", "card"}) == {"bar"}
