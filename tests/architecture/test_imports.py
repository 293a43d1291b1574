import ast
import subprocess
import sys
from pathlib import Path

from idp.paths import CHECKOUT
from tests.architecture.tree import PRODUCT, imported, modules, named, nodes_of, parsed, shown
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
