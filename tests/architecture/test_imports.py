"""Imports go down only, names come from their home, and a process imports at its start what it needs."""

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from demo.processes import exported
from idp.paths import CHECKOUT
from tests.architecture.tree import PRODUCT, imported, modules, named, nodes_of, parsed, shown
from tests.databases import settings_for
from tests.rows import each_row

READS_ENVIRONMENT = {
    "idp/config/settings.py": "it is the settings",
    "idp/config/loading.py": "it refuses unknown settings",
    "idp/letters/process_pool.py": "it sets PYTHONSAFEPATH for the interpreters that it starts",
    "idp/metrics/listener.py": "it tells prometheus_client where the workers count, below the folder of an operator",
    "idp/cli/application.py": "SUDO_UID says who became root, for the journal",
    "idp/cli/environment_file.py": "it puts the settings of a file into the environment, before the settings are read",
    "demo/commands.py": "it hands the environment on to the processes that it starts",
    "clients/ent/__main__.py": "the sample ENT is another program: its entry hands the environment to its settings",
    "clients/ent/app.py": "its other entry, for any WSGI server, does the same",
    "clients/reference/__main__.py": "so is the headless ENT: its entry reads its secrets there",
    "clients/recipes/django/ent/settings.py": "the Django recipe is another program too: these are its settings",
    "clients/recipes/django/ent/wsgi.py": "it names them to Django",
    "clients/recipes/django/manage.py": "so does its other entry",
}
CLOCKS = {
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
    "time.time",
    "time.time_ns",
    "time.localtime",
}


def attributes(path: Path, names: set[str]) -> list[int]:
    return [node.lineno for node in nodes_of(parsed(path)) if isinstance(node, ast.Attribute) and named(node) in names]


def imports(path: Path, names: set[str]) -> list[int]:
    return [line for line, name in imported(path) if name in names]


def test_imports_go_down_only() -> None:
    tool = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([tool, "--no-cache"], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


def test_only_the_protocol_knows_authlib() -> None:
    matches = [
        f"{shown(path)}:{line}"
        for path in modules("idp")
        for line, name in imported(path)
        if name.partition(".")[0] == "authlib" and not shown(path).startswith("idp/oidc/")
    ]
    assert matches == []


def test_one_module_knows_the_library_of_passkeys() -> None:
    matches = [shown(path) for path in modules("idp") for _, name in imported(path) if name.startswith("webauthn")]
    assert set(matches) == {"idp/passkeys/ceremony.py"}


def test_the_sample_ents_know_the_provider_by_http_alone() -> None:
    matches = [
        f"{shown(path)}:{line}"
        for path in modules("clients")
        for line, name in imported(path)
        if name.partition(".")[0] == "idp"
    ]
    assert matches == []


def test_no_product_module_imports_the_tests() -> None:
    matches = [
        f"{shown(path)}:{line}"
        for path in modules(*PRODUCT)
        for line, name in imported(path)
        if name.partition(".")[0] in {"tests", "pytest", "bench"}
    ]
    assert matches == []


def test_only_the_settings_read_the_environment() -> None:
    assert set(READS_ENVIRONMENT) <= {shown(path) for path in modules(*PRODUCT)}, "a reason for a file that is gone"
    matches = [
        f"{shown(path)}:{line}"
        for path in modules(*PRODUCT)
        if shown(path) not in READS_ENVIRONMENT
        for line in (*attributes(path, {"os.environ", "os.getenv"}), *imports(path, {"os.environ", "os.getenv"}))
    ]
    assert matches == []


def test_only_the_clock_asks_the_time() -> None:
    clocks = {*CLOCKS, *(f"datetime.{clock}" for clock in CLOCKS)}
    matches = [
        f"{shown(path)}:{line}"
        for path in modules("idp")
        if shown(path) != "idp/clock.py"
        for line in (*attributes(path, clocks), *imports(path, clocks))
    ]
    assert matches == []


@each_row("word", ["utils", "helpers", "common", "core", "misc"])
def test_no_module_has_a_name_without_meaning(word: str) -> None:
    matches = [
        shown(path) for path in modules("idp", "clients", "tests", "bench") if word in path.with_suffix("").parts
    ]
    assert matches == []


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


HELP = """
import idp.__main__
try:
    idp.__main__.main()
except SystemExit:
    pass
"""
PARENT = """
from idp.cli import cli
cli.commands["serve"]
from idp.cli import settings
settings.load_to_serve()
"""
WORKER = """
from idp.app import create_app
from idp import config
app = create_app(config.load())
assert app.test_client().get("/healthz").status_code == 200
"""

PARENT_MODULES = {
    "idp",
    "idp.cli",
    "idp.cli.serve",
    "idp.cli.settings",
    "idp.clock",
    "idp.config",
    "idp.config.display",
    "idp.config.loading",
    "idp.config.rules",
    "idp.config.settings",
    "idp.origins",
    "idp.logging",
    "idp.mail",
    "idp.mail.emails",
    "idp.paths",
    "idp.metrics",
    "idp.metrics.catalogue",
    "idp.metrics.instruments",
    "idp.node",
    "idp.opaque",
    "idp.operations",
    "idp.operations.checks",
    "idp.operations.checks.finding",
    "idp.operations.checks.settings",
    "idp.pool",
    "idp.secret_check",
    "idp.tracing",
    "idp.waiting",
}
"""What the parent process of `idp serve` has of the product, beside `idp.serving`."""
LATE = {
    "alembic": "/readyz and `idp db`",
    "email_validator": "an email that is stored, or that a mail is sent to",
    "fontTools": "letters",
    "webauthn": "passkeys",
    "idp.accounts.passwords.words.strength": "a new password",
    "babel.lists": "opening hours of some days",
    "idp.desk.retention": "a purge",
    "idp.letters": "letters",
    "idp.rostering.commands": "school files",
    "mako": "alembic",
    "markdown_it": "a charter",
    "segno": "letters",
    "typst": "letters",
    "zxcvbn": "a new password",
}
"""What a worker must not import before a request needs it, and what does need it."""

_LATER = re.compile(r"later\(\"([^\"]+)\"")


def loaded(program: str, *arguments: str) -> set[str]:
    environment = {**os.environ, **exported(settings_for("postgresql://idp@127.0.0.1:1/idp"))}
    code = f"{program}\nimport json, sys\nprint('\\n' + json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def within(modules: set[str], *packages: str) -> set[str]:
    return {name for name in modules if any(f"{name}.".startswith(f"{package}.") for package in packages)}


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_imports_no_command(argument: str) -> None:
    modules = loaded(HELP, argument)
    assert within(modules, "idp") == {"idp", "idp.__main__", "idp.cli", "idp.paths"}
    assert within(modules, "flask", "sqlalchemy", "pydantic", "structlog", "alembic") == set()


def test_parent_of_the_workers_does_not_import_the_application() -> None:
    modules = loaded(PARENT)
    assert within(modules, "idp") - within(modules, "idp.serving") == PARENT_MODULES
    application = {
        "flask",
        "werkzeug",
        "jinja2",
        "sqlalchemy.orm",
        "authlib",
        "joserfc",
        "wtforms",
        "babel",
        "argon2",
        "rich",
    }
    checks = {"email_validator"}  # of the emails that it must have in production
    assert within(modules, *application, *LATE.keys() - checks) == set()


def test_worker_imports_what_requests_need() -> None:
    modules = loaded(WORKER)
    assert within(modules, *LATE) == set()
    assert within(modules, "idp.app", "flask", "sqlalchemy.orm"), "the program is a worker"
    ours = [module for module in modules if module.partition(".")[0] not in sys.stdlib_module_names]
    assert len(ours) < 1_040, "modules beside Python's; each takes half a millisecond of the start"


@each_row("module", LATE)
def test_late_module_exists(module: str) -> None:
    assert find_spec(module)


def test_every_function_that_is_imported_at_its_call_exists() -> None:
    homes = {home for path in modules("idp") for home in _LATER.findall(path.read_text(encoding="utf-8"))}
    assert len(homes) > 10
    assert [home for home in homes if not hasattr(import_module(home.partition(":")[0]), home.partition(":")[2])] == []
