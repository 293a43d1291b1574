"""The files of the project and their syntax trees, for architecture tests."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from idp.paths import CHECKOUT, TEMPLATES

PRODUCT = ("idp", "demo", "clients")


@cache
def modules(*folders: str) -> tuple[Path, ...]:
    matches = tuple(path for folder in folders for path in sorted((CHECKOUT / folder).rglob("*.py")))
    assert len(matches) > 10, "a check of nothing would always pass"
    return matches


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@cache
def nodes_of(tree: ast.Module) -> tuple[ast.AST, ...]:
    """Return all nodes of a module: forty tests look at each, and `ast.walk` takes longer than what they ask."""
    return tuple(ast.walk(tree))


def shown(path: Path) -> str:
    return path.relative_to(CHECKOUT).as_posix()


def templates(suffix: str = ".html") -> list[Path]:
    matches = sorted(path for path in TEMPLATES.rglob(f"*{suffix}"))
    assert matches
    return matches


def pages() -> list[Path]:
    """Return the templates of whole pages, without layouts, macros, mails and parts (`_name.html`).

    The hidden frame for ENTs and the page inside the archive of personal data are left out too.
    """
    skipped = {"macros", "mail", "personal_data"}
    frame = TEMPLATES / "oidc" / "session.html"
    layouts = {TEMPLATES / "layout.html", TEMPLATES / "demo" / "demo.html", TEMPLATES / "desk" / "layout.html"}
    return [
        path
        for path in templates()
        if skipped.isdisjoint(path.relative_to(TEMPLATES).parts)
        and not path.name.startswith("_")
        and path not in {*layouts, frame}
    ]


def named(node: ast.AST) -> str:
    """Return the dotted name of an expression, with `?` for a part that is not a name."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            return f"{named(value)}.{attr}"
        case _:
            return "?"


def sentences(tree: ast.Module) -> Iterator[str]:
    """Yield the texts of a module, with `x` in the place of a value."""
    parts = {part for node in nodes_of(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in nodes_of(tree):
        match node:
            case ast.JoinedStr(values=values):
                yield "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in values)
            case ast.Constant(value=str() as text) if node not in parts:
                yield text


def imported(path: Path) -> Iterator[tuple[int, str]]:
    for node in nodes_of(parsed(path)):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=str() as module, names=names):
                yield from ((node.lineno, f"{module}.{alias.name}") for alias in names)
