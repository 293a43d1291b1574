"""The wheel works outside the sources, and has the dependencies with their hashes (constraints.txt)."""

import json
import re
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
import requests

from idp import __version__, precompressed
from idp.config import Settings
from idp.paths import CHECKOUT, STATIC, STATIC_COMPRESSED
from tests.commands.processes import PATIENCE, connect, free_port
from tests.databases import SECRET, once
from tests.packaging.build import Built, Installed, build, found_in, install
from tests.relying_party import Attempt, RelyingParty

PASSWORD = "tasse vélo nuage citron"
DATA = ("templates", "migrations")


@pytest.fixture(scope="session")
def built(shared: Path) -> Built:
    folder = shared / "release"
    with once(shared, "release") as first:
        return build(folder) if first else found_in(folder)


@pytest.fixture
def installed(built: Built, shared: Path, tmp_path: Path, empty: Settings) -> Installed:
    environment = shared / "environment"
    with once(shared, "environment") as first:
        if first:
            install(built.wheel, environment)
    issuer = f"http://127.0.0.1:{free_port()}"
    settings = {
        "IDP_ENV": "development",
        "IDP_ISSUER": issuer,
        "IDP_SECRET_KEY": SECRET,
        "IDP_DATABASE_URL": empty.database_url,
        "IDP_DRAIN_SECONDS": "0",
    }
    return Installed(environment, tmp_path, settings)


@contextmanager
def served(installed: Installed) -> Iterator[None]:
    port, log = urlsplit(installed.settings["IDP_ISSUER"]).port or 0, installed.folder / "log"
    command = [str(installed.environment / "bin" / "idp"), "serve", "--bind", f"127.0.0.1:{port}", "--workers", "1"]
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=installed.folder, env=installed.variables, stdout=file, stderr=file)
    try:
        connect(port, process, log).close()
        yield
    finally:
        process.terminate()
        assert process.wait(PATIENCE) == 0


def sources(folder: str) -> set[str]:
    paths = (path for path in CHECKOUT.joinpath(folder).rglob("*") if path.is_file() and path.suffix != ".mo")
    built = {"__pycache__", STATIC_COMPRESSED.name}
    return {p.relative_to(CHECKOUT).as_posix() for p in paths if not built & {*p.parts}}


def test_the_wheel_holds_the_package_and_its_data_and_nothing_else(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        [metadata] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        described = archive.read(metadata).decode()
        assert archive.read("idp/constraints.txt") == (CHECKOUT / "constraints.txt").read_bytes()
    data = {f"idp/{name}" for folder in DATA for name in sources(folder)} | {"idp/constraints.txt"}
    data |= {f"idp/docs/{name}.md" for name in ("conformite", "dimensionnement", "doctrine", "fiabilite", "security")}
    catalogues = {name for name in sources("idp") if name.startswith("idp/translations/")}
    compiled = {name.removesuffix("po") + "mo" for name in catalogues if name.endswith(".po")}
    assert compiled
    files = [Path(path) for source in STATIC.iterdir() for path in precompressed.variants(source).values()]
    compressed = {file.relative_to(CHECKOUT).as_posix() for file in files}
    assert names == sources("idp") - catalogues | compiled | compressed | data
    assert f"\nVersion: {__version__}\n" in described
    assert "\nLicense-Expression: EUPL-1.2\n" in described
    assert "\nRequires-Python: >=3.11\n" in described


def test_the_sdist_holds_what_builds_and_tests_it(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    expected = {"pyproject.toml", "uv.lock", "constraints.txt", "Makefile", "README.md", "CHANGELOG.md", "SECURITY.md"}
    expected |= {"CONTRIBUTING.md", "PKG-INFO", "hatch_build.py", "publiccode.yml"}
    for folder in ("idp", "clients", "tests", "bench", "docs", "deploy", "themes", ".ci", *DATA):
        expected |= sources(folder)
    assert expected <= names
    assert not [name for name in names if re.search(r"(^|/)(var|\.venv|\.git|node_modules|__pycache__)(/|$)", name)]


def test_the_command_finds_its_data_inside_the_package(installed: Installed) -> None:
    code = "from idp import paths; print(paths.TEMPLATES, paths.MIGRATIONS, paths.STATIC, sep='\\n')"
    paths = [Path(line) for line in installed.run("python", "-c", code).split()]
    assert [path.is_relative_to(installed.environment) for path in paths] == [True, True, True]
    assert [path.name for path in paths] == ["templates", "migrations", "static"]
    assert installed.run("idp", "--version") == f"idp, version {__version__}\n"


def test_a_parent_signs_in_through_the_wheel(installed: Installed) -> None:
    issuer = installed.settings["IDP_ISSUER"]
    assert installed.run("idp", "db", "upgrade").startswith("empty → ")
    installed.run("idp", "keys", "rotate")
    assert "08-conformite-doctrine.md" in installed.run("idp", "dossier", "--out", "dossier")
    redirect_uri = "https://ent.test/cb"
    added = ("ENT", "--redirect-uri", redirect_uri, "--uai", "0599001N", "--charter", "none", "--json")
    client = json.loads(installed.run("idp", "client", "add", *added))
    username = installed.run("python", str(Path(__file__).with_name("family.py")), PASSWORD).strip()
    ent = RelyingParty(issuer, client["client_id"], client["client_secret"], redirect_uri, [])
    with served(installed):
        browser, attempt = requests.Session(), Attempt()
        page = browser.get(issuer + ent.url(attempt), timeout=PATIENCE)
        assert "<h1>Connexion</h1>" in page.text
        for asset in re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text):
            assert browser.get(urljoin(issuer, asset), timeout=PATIENCE).status_code == 200, asset
        code = sign_in(browser, page, username)
        tokens = browser.post(
            f"{issuer}/token",
            data={
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": redirect_uri,
                "code_verifier": attempt.verifier,
            },
            auth=(client["client_id"], client["client_secret"]),
            timeout=PATIENCE,
        ).json()
        who = browser.get(
            f"{issuer}/userinfo", headers={"Authorization": f"Bearer {tokens['access_token']}"}, timeout=PATIENCE
        ).json()
    assert (who["given_name"], who["uai"]) == ("Noémie", ["0599001N"])


def sign_in(browser: requests.Session, page: requests.Response, username: str) -> str:
    token, *_ = re.findall(r'name="csrf_token" value="([^"]+)"', page.text)
    form = {"csrf_token": token, "identifiant": username, "mot-de-passe": PASSWORD}
    answer = browser.post(page.url, data=form, allow_redirects=False, timeout=PATIENCE)
    while (target := urljoin(answer.url, answer.headers.get("Location", ""))).startswith(f"{urljoin(page.url, '/')}"):
        assert answer.is_redirect, answer.text
        answer = browser.get(target, allow_redirects=False, timeout=PATIENCE)
    assert target.startswith("https://ent.test/cb?"), target
    return parse_qs(urlsplit(target).query)["code"][0]


CONSTRAINTS = CHECKOUT / "constraints.txt"
MAKEFILE = (CHECKOUT / "Makefile").read_text(encoding="utf-8")


def uv() -> str:
    [version] = re.findall(r"^UV_VERSION := (\S+)$", MAKEFILE, re.MULTILINE)
    for path in (str(CHECKOUT / ".tools" / "bin" / "uv"), shutil.which("uv")):
        if path and Path(path).exists():
            version_text = subprocess.run(
                [path, "--version"], capture_output=True, text=True, check=True, timeout=60
            ).stdout
            if version_text.split()[1] == version:
                return path
    pytest.skip(f"uv {version} is not here (make setup brings it)")


def test_the_makefile_uses_the_uv_that_it_names_and_no_other() -> None:
    assert re.findall(r"^UV := (.+)$", MAKEFILE, re.MULTILINE) == [".tools/bin/uv"]
    assert not re.findall(r"^\t@?(?:[^#\n]*\s)?uv\s", MAKEFILE, re.MULTILINE), "a command with another uv"
    assert "uv==$(UV_VERSION)" in MAKEFILE


def test_constraints_match_the_lock_file(tmp_path: Path) -> None:
    [options] = re.findall(r"^EXPORT := (.+)$", MAKEFILE, re.MULTILINE)
    out = tmp_path / "constraints.txt"
    command = [uv(), "export", *options.split(), "--offline", "--output-file", str(out)]
    subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True, timeout=120)
    assert CONSTRAINTS.read_text(encoding="utf-8") == out.read_text(encoding="utf-8"), "`make lock` writes it anew"


def test_every_requirement_has_one_version_and_a_hash() -> None:
    entries = re.split(r"\n(?=\S)", CONSTRAINTS.read_text(encoding="utf-8").strip())
    assert len(entries) > 30
    for entry in entries:
        assert re.match(r"[a-z0-9-]+==[0-9][^ ]* ", entry), entry
        assert re.findall(r"--hash=sha256:[0-9a-f]{64}", entry), entry
