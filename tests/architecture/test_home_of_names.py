"""A name is imported from the module that defines it: no module of the product hands on the names of another."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

from idp.paths import CHECKOUT
from tests.architecture.tree import modules, nodes_of, parsed, shown
from tests.rows import each_row

PACKAGES = ("idp", "demo", "bench")


def handed_on(tree: ast.Module, imports: Mapping[str, set[str]]) -> Iterator[str]:
    """Yield the names that a module takes from another one which only imports them.

    Args:
        tree: The module.
        imports: By module, the names that it imports.
    """
    known: dict[str, str] = {}
    for node in nodes_of(tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (name := f"{node.module}.{alias.name}") in imports:
                    known[alias.asname or alias.name] = name
                elif alias.name in imports.get(str(node.module), ()):
                    yield name
    for node in nodes_of(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=module), attr=attr) if attr in imports.get(known.get(module, ""), ()):
                yield f"{known[module]}.{attr}"


def _dotted(path: Path) -> str:
    return ".".join(path.relative_to(CHECKOUT).with_suffix("").parts).removesuffix(".__init__")


def _imported(path: Path) -> set[str]:
    nodes = [node for node in nodes_of(parsed(path)) if isinstance(node, ast.Import | ast.ImportFrom)]
    return {alias.asname or alias.name for node in nodes for alias in node.names}


def test_each_name_is_imported_from_its_home() -> None:
    imports = {_dotted(path): _imported(path) for path in modules(*PACKAGES)}
    matches = {shown(path): names for path in modules(*PACKAGES) if (names := list(handed_on(parsed(path), imports)))}
    assert matches == {}


@each_row(
    ("code", "names"),
    [
        ("from idp.oidc.keys.ring import KeyRing, rotate", ["idp.oidc.keys.ring.rotate"]),
        ("from idp.oidc.keys import ring as keys\nkeys.rotate(settings)", ["idp.oidc.keys.ring.rotate"]),
        ("from idp.oidc.keys import ring\nring.KeyRing(settings)", []),
        ("from idp.oidc.keys.rotation import rotate", []),
        ("from flask import request", []),
    ],
)
def test_a_name_that_is_handed_on_would_be_seen(code: str, names: list[str]) -> None:
    imports = {"idp.oidc.keys.ring": {"rotate"}, "idp.oidc.keys.rotation": {"material"}}
    assert list(handed_on(ast.parse(code), imports)) == names
