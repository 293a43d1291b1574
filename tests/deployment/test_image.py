"""The image of the service, and the command `idp` that it shares with the Debian package."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from sqlalchemy import make_url

from demo.processes import exported
from idp import __version__
from idp.paths import CHECKOUT
from tests.commands.processes import PATIENCE, free_port
from tests.databases import run_sql, server_url, settings_for
from tests.deployment import clean_root
from tests.packaging.test_wheel import MAKEFILE

CONTAINERFILE = (CHECKOUT / "deploy" / "Containerfile").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((CHECKOUT / "deploy" / "compose.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def image() -> str:
    return clean_root.built("localhost/scolarite-services:test")


@pytest.fixture
def empty_database(shared: Path) -> Iterator[str]:
    server = make_url(server_url(shared)).set(drivername="postgresql")
    name = f"image_{uuid.uuid4().hex}"
    plain = server.render_as_string(hide_password=False)
    run_sql(plain, "CREATE DATABASE {}", name)
    yield server.set(database=name).render_as_string(hide_password=False)
    run_sql(plain, "DROP DATABASE {} WITH (FORCE)", name)


def answer(url: str, container: str) -> bytes:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE) as response:  # noqa: S310 - http on loopback
                return bytes(response.read())
        except (urllib.error.URLError, ConnectionError):
            assert time.monotonic() < until, clean_root.podman("logs", container)
            time.sleep(0.1)


def stopped(container: str) -> int:
    clean_root.podman("stop", "--time", "30", container)
    [state] = json.loads(clean_root.podman("inspect", container, "--format", "[{{json .State}}]"))
    assert not state["OOMKilled"]
    return int(state["ExitCode"])


@pytest.mark.interop
def test_the_image_serves_from_an_empty_database_until_it_is_stopped(image: str, empty_database: str) -> None:
    port = free_port()
    settings = exported(settings_for(empty_database, issuer=f"http://127.0.0.1:{port}", env="development"))
    *shell, upkeep = COMPOSE["services"]["upkeep"]["entrypoint"]
    tables = upkeep.partition("touch")[0]
    for _ in range(2):  # an upgrade runs it again
        clean_root.in_image(image, settings, entrypoint=(*shell, tables))
    [key] = json.loads(clean_root.in_image(image, settings, "keys", "list", "--json"))
    assert key["state"] == "signing"
    checked = clean_root.in_image(image, {**settings, "IDP_TRACES": "1"}, "config", "check")
    assert "password hashes: " in checked
    assert "argon2 compiled for this CPU is about twice as fast" not in checked
    assert "00-sommaire.md" in clean_root.in_image(image, settings, "dossier", "--out", "/tmp/dossier")  # noqa: S108
    with clean_root.container(image, settings, "serve", "--workers", "1", "--bind", f"127.0.0.1:{port}") as name:
        assert json.loads(answer(f"http://127.0.0.1:{port}/readyz", name)) == {"status": "ok"}
        discovered = json.loads(answer(f"http://127.0.0.1:{port}/.well-known/openid-configuration", name))
        assert discovered["issuer"] == settings["IDP_ISSUER"]
        assert clean_root.podman("exec", name, "id", "-u").strip() == "10001"
        [_, python, option, check] = COMPOSE["services"]["provider"]["healthcheck"]["test"]
        clean_root.podman("exec", name, python, option, check.replace(":8000/", f":{port}/"))
        assert stopped(name) == 0


@pytest.mark.interop
def test_a_stop_ends_a_command_that_handles_no_signal(image: str) -> None:
    """As the first process it would never get SIGTERM, nor would `idp serve` before it has handlers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(PATIENCE)
        url = f"postgresql://idp@127.0.0.1:{silent.getsockname()[1]}/idp"
        settings = exported(settings_for(url, issuer="http://127.0.0.1:8000", env="development"))
        with clean_root.container(image, settings, "db", "upgrade") as name:
            connection, _ = silent.accept()
            with connection:
                assert stopped(name) == 128 + signal.SIGTERM


@pytest.mark.interop
def test_the_image_holds_the_service_and_none_of_the_tools_that_built_it(image: str) -> None:
    listing = clean_root.in_image(
        image, {}, "-c", "ls -a / /opt/idp; ls /opt/idp/lib/python3*/site-packages", entrypoint=("sh",)
    )
    assert {"argon2-x86-64-v3", "granian", "idp"} <= set(listing.split())
    assert not {"sources", "uv", "cmake", "hatchling", "pytest", "scikit_build_core"} & set(listing.split())


@pytest.mark.interop
def test_the_image_is_built_with_the_uv_of_the_makefile_and_from_no_particular_registry() -> None:
    [version] = [line.split(":= ")[1] for line in MAKEFILE.splitlines() if line.startswith("UV_VERSION")]
    assert f"ARG UV_VERSION={version}\n" in CONTAINERFILE
    assert "index" not in CONTAINERFILE.lower()
    assert "USER 10001" in CONTAINERFILE


@pytest.mark.interop
def test_python_in_the_image_imports_nothing_from_the_folder_that_all_may_write(image: str) -> None:
    hostile = "echo 'raise SystemExit(9)' | tee click.py urllib.py >idp.py"
    script = f"cd /tmp; {hostile}; idp --version; /opt/idp/bin/python -c 'import urllib.request, idp'"
    clean_root.in_image(image, {}, "-euc", script, entrypoint=("sh",))
    assert clean_root.in_image(image, {}, entrypoint=("pwd",)) == "/\n"


HOSTILE = "raise SystemExit('imported from the working directory')"


@pytest.fixture
def launcher(tmp_path: Path) -> Path:
    """Install the command beside a Python that is the one of the tests."""
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n', encoding="utf-8")
    (commands / "python").chmod(0o755)
    return Path(shutil.copy(CHECKOUT / "deploy" / "installation" / "idp.sh", commands / "idp"))


def test_the_command_imports_nothing_from_the_folder_where_it_is_typed(launcher: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "idp").mkdir(parents=True)
    for name in ("idp/__init__", "idp/__main__", "click", "runpy", "os"):
        (folder / f"{name}.py").write_text(HOSTILE, encoding="utf-8")
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    done = subprocess.run(
        [launcher, "--version"], cwd=folder, env=inherited, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert __version__ in done.stdout
