"""The files of the project, for tests about them."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from idp.paths import CHECKOUT, TEMPLATES

PRODUCT = ("idp", "demo", "clients")


@cache
def modules(*folders: str) -> tuple[Path, ...]:
    """Return the Python files of `folders`."""
    found = tuple(path for folder in folders for path in sorted((CHECKOUT / folder).rglob("*.py")))
    assert len(found) > 10, "a check of nothing would always pass"
    return found


@cache
def parsed(path: Path) -> ast.Module:
    """Return the syntax tree of a module."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def shown(path: Path) -> str:
    """Return a path as people write it."""
    return path.relative_to(CHECKOUT).as_posix()


def templates(suffix: str = ".html") -> list[Path]:
    """Return the templates that end with `suffix`."""
    found = sorted(path for path in TEMPLATES.rglob(f"*{suffix}"))
    assert found
    return found


def pages() -> list[Path]:
    """Return the templates that are whole pages: what is neither a layout, nor macros, nor a mail.

    Nor is what ENTs load into a hidden frame: it shows nothing to anybody; nor the page of a person's archive, which is
    read from a disk, without this service.
    """
    skipped = ("macros", "mail", "personal_data")
    frame = TEMPLATES / "oidc" / "session.html"
    layouts = {TEMPLATES / "layout.html", TEMPLATES / "demo" / "demo.html"}
    return [
        path
        for path in templates()
        if path.relative_to(TEMPLATES).parts[0] not in skipped and path not in {*layouts, frame}
    ]


def named(node: ast.AST) -> str:
    """Return the dotted name that a call or an attribute reads, as far as it is one."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            return f"{named(value)}.{attr}"
        case _:
            return "?"


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Yield each line that imports, with what it imports."""
    for node in ast.walk(parsed(path)):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=str() as module, names=names):
                yield from ((node.lineno, f"{module}.{alias.name}") for alias in names)
