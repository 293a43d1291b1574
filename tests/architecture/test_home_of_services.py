"""Modules get services of the application from `idp.services`; these tests fail for any other way."""

import ast
import inspect
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from idp import services
from idp.services import Services
from tests.architecture.tree import modules, nodes_of, parsed, shown
from tests.rows import each_row

HOME = "idp/services.py"
_OWN_ROUTES = {"idp/web/declarations.py"}
"""Keeps what the views of an application declare: it is read from its routes once, and no service of the process."""
_CLIENTS = {"tests/clients/test_ent_sessions.py"}
"""Tests of the sample ENT, which is another program and has services of its own."""
_BY_HAND = {"tests/services.py"}
"""Checks whether an application of a test has services."""


def extensions_read(module: ast.Module) -> list[int]:
    return [node.lineno for node in nodes_of(module) if isinstance(node, ast.Attribute) and node.attr == "extensions"]


def asks_services(node: ast.AST | None) -> bool:
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "services"


def second_names(module: ast.Module) -> Iterator[str]:
    for node in nodes_of(module):
        if not isinstance(node, ast.FunctionDef):
            continue
        body = [part for part in node.body if not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))]
        match body:
            case [ast.Return(value=value)] if asks_services(value):
                yield node.name
            case [
                ast.Assign(targets=[target], value=value) | ast.AnnAssign(target=target, value=value),
                ast.Return(value=ast.Name(id=name)),
            ] if asks_services(value) and ast.unparse(target) == name:
                yield node.name


def upward(module: ast.Module) -> list[int]:
    """Return the lines that import a module of the product at run time."""
    checked = [part for node in module.body if isinstance(node, ast.If) for part in node.body]
    return [
        node.lineno
        for node in nodes_of(module)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("idp") and node not in checked
    ]


def test_only_the_services_touch_the_extensions_of_the_application() -> None:
    allowed = {HOME, *_OWN_ROUTES, *_CLIENTS, *_BY_HAND}
    named = [path for path in modules("idp", "tests", "bench") if "extensions" in path.read_text(encoding="utf-8")]
    matches = {shown(path) for path in named if extensions_read(parsed(path))}
    assert matches == allowed


def test_no_function_gives_a_service_another_name() -> None:
    matches = {shown(path): list(second_names(parsed(path))) for path in modules("idp")}
    assert {path: names for path, names in matches.items() if names} == {}


def test_the_services_import_their_types_for_the_type_checker_only() -> None:
    assert upward(parsed(Path(services.__file__))) == []


def test_each_service_says_what_it_is() -> None:
    source = inspect.getsource(Services)
    lines = source.splitlines()
    [matches] = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    documented = {
        node.target.id
        for node, after in zip(matches.body, [*matches.body[1:], None], strict=True)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        if isinstance(after, ast.Expr) or "  # " in lines[node.lineno - 1]
    }
    assert documented == {item.name for item in fields(Services)}


@each_row(
    "text",
    [
        'current_app.extensions["idp.settings"]',
        'app.extensions.get("idp.settings")',
        "extensions = current_app.extensions",
    ],
)
def test_another_way_to_the_extensions_would_be_seen(text: str) -> None:
    assert extensions_read(ast.parse(text))


@each_row(
    "text",
    [
        "def _settings():\n    return services().settings",
        'def _settings():\n    """Return the settings."""\n    return services().settings',
        "def _key():\n    key: str = services().settings.secret\n    return key",
        "def _all():\n    return services()",
    ],
)
def test_another_name_would_be_seen(text: str) -> None:
    assert list(second_names(ast.parse(text)))


def test_an_import_upwards_would_be_seen() -> None:
    assert upward(ast.parse("if TYPE_CHECKING:\n    from idp.config import Settings\nfrom idp.oidc import keys")) == [3]
