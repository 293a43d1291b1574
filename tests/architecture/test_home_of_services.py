"""Services come from `idp.services`, and `ClientMetadata` alone declares the fields of a client."""

import ast
import inspect
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from idp import services
from idp.registration.metadata import FIELDS
from idp.services import Services
from tests.architecture.tree import modules, named, nodes_of, parsed, shown
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
    assert {shown(path) for path in named if extensions_read(parsed(path))} == allowed


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


METADATA = "idp/registration/metadata.py"
OWN_LISTS = {
    "idp/clients/models.py": "the columns of the table",
    "idp/clients/registry.py": "what a request reads of a row, as a value that cannot change",
}
"""The modules with a list of their own; `tests/registration/test_checks.py` holds both to the declarations."""
NAMES = {name for item in FIELDS for name in (item.name, item.member, item.column) if "_" in name}
"""The names that can only be those of fields: a `name` or a `scope` may be that of anything."""
MOST = 7
"""A function that treats some fields differently names these; a mapper names all fields."""


def listed(node: ast.AST) -> set[str]:
    """Return the fields that a piece of code names as keywords, texts or targets of assignments."""
    matches = set()
    for part in ast.walk(node):
        match part:
            case ast.keyword(arg=str() as name) | ast.Constant(value=str() as name):
                matches.add(name)
            case ast.Attribute(attr=name, ctx=ast.Store()) | ast.AnnAssign(target=ast.Name(id=name)):
                matches.add(name)
    return matches & NAMES


def second_lists(module: ast.Module) -> Iterator[int]:
    """Yield the lines of the functions, classes and statements that list fields."""
    yield from (statement.lineno for statement in module.body if len(listed(statement)) > MOST)


def clients_made(module: ast.Module) -> Iterator[int]:
    """Yield the lines that make a row of the table of clients."""
    models = {
        alias.asname or alias.name
        for node in nodes_of(module)
        if isinstance(node, ast.ImportFrom) and node.module == "idp.clients.models"
        for alias in node.names
        if alias.name == "Client"
    }
    yield from (node.lineno for node in nodes_of(module) if isinstance(node, ast.Call) and named(node.func) in models)


def texts_judged(module: ast.Module) -> Iterator[int]:
    """Yield the lines that read the text of a fault otherwise than to print it, that is, outside of an f-string."""
    printed = {
        id(part)
        for node in nodes_of(module)
        if isinstance(node, ast.FormattedValue)
        for part in ast.walk(node)
        if not _is_call_with_arguments(node.value)
    }
    for node in nodes_of(module):
        match node:
            case ast.Attribute(attr="text", value=value) if "fault" in ast.unparse(value) and id(node) not in printed:
                yield node.lineno


def _is_call_with_arguments(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and bool(node.args)


def test_no_other_module_lists_the_fields_of_a_client() -> None:
    matches = {shown(path): lines for path in modules("idp") if (lines := list(second_lists(parsed(path))))}
    assert set(matches) == {METADATA, *OWN_LISTS}, matches


def test_no_module_judges_the_text_of_a_fault() -> None:
    matches = {shown(path): lines for path in modules("idp") if (lines := list(texts_judged(parsed(path))))}
    assert matches == {}


def test_a_single_module_adds_clients() -> None:
    matches = {shown(path) for path in modules("idp", "demo", "bench") if any(clients_made(parsed(path)))}
    assert matches == {"idp/registration/registrations.py"}


def test_a_client_added_elsewhere_would_be_seen() -> None:
    made = "from idp.clients.models import Client as Row\nRow(client_id='x')"
    assert list(clients_made(ast.parse(made))) == [2]
    assert not list(clients_made(ast.parse("from werkzeug.test import Client\nClient(app)")))


KEYWORDS = ", ".join(f"{name}=row.{name}" for name in sorted(NAMES)[: MOST + 1])
KEYS = ", ".join(f'"{name}": row.{name}' for name in sorted(NAMES)[: MOST + 1])
TARGETS = "\n    ".join(f"row.{name} = wanted.{name}" for name in sorted(NAMES)[: MOST + 1])
FIELDS_AGAIN = "\n    ".join(f'{name}: str = ""' for name in sorted(NAMES)[: MOST + 1])
TEXTS = ", ".join(f'"{name}"' for name in sorted(NAMES)[: MOST + 1])
FEW = ", ".join(f'"{name}"' for name in sorted(NAMES)[:MOST])


@each_row(
    ("code", "is_one"),
    [
        (f"def read(row):\n    return Wanted({KEYWORDS})", True),
        (f"def shown(row):\n    return {{{KEYS}}}", True),
        (f"def write(row, wanted):\n    {TARGETS}", True),
        (f"class Wanted:\n    {FIELDS_AGAIN}", True),
        (f"_MEMBERS = ({TEXTS})", True),
        (f"_MEMBERS = ({FEW})", False),
        ("def check(metadata):\n    return metadata.auth_method, metadata.jwks_uri", False),
    ],
)
def test_a_second_list_would_be_seen(code: str, is_one: bool) -> None:  # noqa: FBT001 - a row of the table above
    assert bool(list(second_lists(ast.parse(code)))) is is_one


@each_row(
    ("code", "is_one"),
    [
        ("_OPTION.sub(name_of, fault.text)", True),
        ('fault.text.startswith("--redirect-uri")', True),
        ('"needs PKCE" in refused.faults[0].text', True),
        ('f"{_OPTION.sub(name_of, fault.text)}"', True),
        ('error = next(f for f in refused.faults if fault.text == "x")', True),
        ('f"{label} {fault.text}".strip()', False),
        ("fault.field == 'redirect_uris'", False),
        ("answer.text", False),
    ],
)
def test_a_judged_text_would_be_seen(code: str, is_one: bool) -> None:  # noqa: FBT001 - a row of the table above
    assert bool(list(texts_judged(ast.parse(code)))) is is_one
