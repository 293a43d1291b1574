"""The folder `clients/kit` can be copied: it is small, typed and imports no other code of the project."""

import shutil
import subprocess
import sys
from pathlib import Path

from idp.paths import CHECKOUT
from tests.architecture.tree import imported

KIT = CHECKOUT / "clients" / "kit"
REFERENCE = CHECKOUT / "clients" / "reference"
FILES = sorted(KIT.glob("**/*.py"))


def test_kit_is_shorter_than_650_lines() -> None:
    lengths = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {"checks.py", "provider.py", "flask_ent.py"} <= lengths.keys()
    assert sum(lengths.values()) < 650, lengths


def test_kit_imports_two_libraries_and_flask_in_one_module() -> None:
    allowed = {*sys.stdlib_module_names, "requests", "joserfc"}
    imports = {path.name: {name.partition(".")[0] for _, name in imported(path)} for path in FILES}
    own = {path.stem for path in FILES}  # relative imports are listed without their dot
    assert {name: needed - allowed - own for name, needed in imports.items() if needed - allowed - own} == {
        "flask_ent.py": {"flask"}
    }


def test_the_reference_imports_the_kit_alone() -> None:
    allowed = {*sys.stdlib_module_names, "requests"}
    for path in REFERENCE.glob("*.py"):
        foreign = {name for _, name in imported(path) if name.partition(".")[0] not in allowed}
        assert all(name.startswith(("clients.kit", "clients.reference")) for name in foreign), foreign


def test_kit_works_under_another_package_name_and_is_typed(tmp_path: Path) -> None:
    shutil.copytree(KIT, tmp_path / "vendored" / "oidc", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "vendored" / "__init__.py").touch()
    ent = tmp_path / "ent.py"
    ent.write_text(
        "from vendored.oidc import Provider, Registration\n"
        "from vendored.oidc.flask_ent import FlaskEnt\n"
        'agreed = Registration(issuer="https://x.example", client_id="c", redirect_uri="https://e.example/callback")\n'
        "url, attempt = Provider(agreed).start_sign_in()\n"
        "reveal_type(attempt.state)\n"
        "Provider(agreed).start_sign_in(7)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "import vendored.oidc.flask_ent, sys; print('idp' in sys.modules)"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("False\n", "")
    assert (tmp_path / "vendored" / "oidc" / "py.typed").exists()
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "ent.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert 'Revealed type is "str"' in checked.stdout.replace("builtins.", ""), checked.stdout + checked.stderr
    assert "[arg-type]" in checked.stdout
    assert checked.stdout.count("error:") == 1, checked.stdout
