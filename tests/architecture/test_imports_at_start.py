"""What a process imports at its start: modules that few requests need would cost each process time and memory.

A module that is named here is imported by a function, at its first use.
"""

import json
import os
import re
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec

import pytest

from demo.processes import exported
from idp.paths import CHECKOUT
from tests.architecture.tree import modules
from tests.databases import settings_for
from tests.rows import each_row

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
    "idp.opaque",
    "idp.operations",
    "idp.operations.checks",
    "idp.operations.checks.finding",
    "idp.operations.checks.settings",
    "idp.pool",
    "idp.secret_check",
    "idp.stopping",
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
