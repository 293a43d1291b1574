"""A name is imported from the module that defines it: no module of the product hands on the names of another.

The interface of a package is the exception: the names in `__all__` of its `__init__.py`. Modules outside the package
import them from the package, and never from its modules.
"""

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
    return {alias.asname or alias.name for node in nodes for alias in node.names} - _interface(path)


def _interface(path: Path) -> set[str]:
    """Return the names that a package offers; nothing for a module, or a package without `__all__`."""
    for node in parsed(path).body if path.name == "__init__.py" else ():
        match node:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                return set(ast.literal_eval(value))
    return set()


def past_interface(tree: ast.Module, package: str) -> Iterator[str]:
    for node in nodes_of(tree):
        match node:
            case ast.ImportFrom(module=str(module)) if f"{module}.".startswith(f"{package}."):
                if module != package:
                    yield module
            case ast.Import(names=names):
                yield from (alias.name for alias in names if alias.name.startswith(f"{package}."))


def test_each_name_is_imported_from_its_home() -> None:
    imports = {_dotted(path): _imported(path) for path in modules(*PACKAGES)}
    matches = {shown(path): names for path in modules(*PACKAGES) if (names := list(handed_on(parsed(path), imports)))}
    assert matches == {}


def test_a_package_with_an_interface_is_imported_as_a_whole() -> None:
    packages = {_dotted(path): path.parent for path in modules(*PACKAGES) if _interface(path)}
    assert "idp.desk.access" in packages
    assert {
        (shown(path), name)
        for package, folder in packages.items()
        for path in modules(*PACKAGES)
        if folder not in path.parents
        for name in past_interface(parsed(path), package)
    } == set()


@each_row(
    ("code", "names"),
    [
        ("from idp.desk.access.roles import Right", ["idp.desk.access.roles"]),
        ("import idp.desk.access.roles", ["idp.desk.access.roles"]),
        ("from idp.desk.access import Right", []),
        ("from idp.desk.accessories import rights", []),
    ],
)
def test_an_import_past_the_interface_would_be_seen(code: str, names: list[str]) -> None:
    assert list(past_interface(ast.parse(code), "idp.desk.access")) == names


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
