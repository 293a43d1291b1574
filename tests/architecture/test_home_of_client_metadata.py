"""`ClientMetadata` alone declares the fields of a client: a module that lists them again fails here.

A fault is data: no program judges its text. `registrations` alone adds clients.
"""

import ast
from collections.abc import Iterator

from idp.registration.metadata import FIELDS
from tests.architecture.tree import modules, named, nodes_of, parsed, shown
from tests.rows import each_row

HOME = "idp/registration/metadata.py"
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
    assert set(matches) == {HOME, *OWN_LISTS}, matches


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
