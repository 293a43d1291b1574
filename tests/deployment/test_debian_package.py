"""The Debian package: its content, an upgrade and a way back, and what its purge leaves."""

import os
import platform
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from idp import __version__
from idp.paths import CHECKOUT
from tests import next_release
from tests.databases import SECRET
from tests.deployment.clean_root import machine, run
from tests.packaging.build import copy_sources
from tests.packaging.test_guide import (
    AROUND,
    BACKUP,
    BEFORE,
    CLEAN,
    blocks,
    blocks_of,
    needs_clean_system,
    run_in_clean_system,
)
from tests.packaging.test_wheel import uv

NAME = "scolarite-services"
ENVIRONMENT = "/etc/idp/environment"
Root = Callable[..., str]


def build(folder: Path, sources: Path = CHECKOUT) -> Path:
    path = f"{Path(uv()).parent}{os.pathsep}{os.environ['PATH']}"
    run("deploy/debian/build.sh", str(folder), "/usr/bin/python3", cwd=sources, env={**os.environ, "PATH": path})
    [file] = folder.glob("*.deb")
    return file


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="module")
def root(package: Path) -> Iterator[Root]:
    with machine(package.parent) as root:
        yield root


def files(root: Root) -> set[str]:
    places = ("/etc", "/opt", "/usr", "/var/lib/idp", "/var/log")
    listing = root("sh", "-c", f"find {' '.join(places)} -xdev ! -type d 2>/dev/null; true").splitlines()
    return {path for path in listing if not re.match(r"/var/log/|/etc/.*-$|/usr/.*__pycache__", path)}


@pytest.mark.interop
def test_the_package_is_installed_works_and_leaves_nothing_behind(root: Root, package: Path) -> None:
    before, accounts = files(root), root("getent", "passwd")
    output = root("dpkg", "--install", f"/packages/{package.name}")
    assert f"Fill {ENVIRONMENT}" in output
    owners = root("stat", "--format", "%U:%G %a", ENVIRONMENT, "/etc/idp").splitlines()
    assert owners == ["root:idp 640", "root:idp 750"]
    assert "\nidp:x:" in root("getent", "passwd")
    for unit in sorted((CHECKOUT / "deploy").glob("*.service")):
        assert root("cat", f"/usr/lib/systemd/system/{unit.name}") == unit.read_text(encoding="utf-8")
    settings = [
        "IDP_ENV=development",
        "IDP_ISSUER=http://127.0.0.1:8000",
        "IDP_DATABASE_URL=postgresql:///idp?host=/nowhere",
    ]
    as_service = ["setpriv", "--reuid=idp", "--regid=idp", "--clear-groups", "env", *settings, "/opt/idp/bin/idp"]
    assert "password hashes" in (checked := root("env", "IDP_TRACES=1", *as_service, "config", "check"))
    assert "argon2 compiled for this CPU is about twice as fast" not in checked
    assert root("dpkg", "--verify", NAME) == ""
    assert root("find", "/opt/idp", "-perm", "/022", "!", "-type", "l") == "", "nobody but root writes there"
    root("dpkg", "--purge", NAME)
    assert files(root) == before
    assert root("getent", "passwd") == accounts


@pytest.mark.interop
def test_purging_the_package_keeps_a_secret_key(root: Root, package: Path) -> None:
    root("dpkg", "--install", f"/packages/{package.name}")
    root("sed", "-i", f"s|^IDP_SECRET_KEY=.*|IDP_SECRET_KEY={SECRET}|", ENVIRONMENT)
    root("dpkg", "--install", f"/packages/{package.name}")
    assert SECRET in root("cat", ENVIRONMENT), "an upgrade keeps the settings"
    root("dpkg", "--purge", NAME)
    assert SECRET in root("cat", ENVIRONMENT)
    assert root("stat", "--format", "%U:%G %a", ENVIRONMENT).strip() == "root:idp 640"
    root("rm", "--recursive", "/etc/idp")
    root("userdel", "idp")


@pytest.mark.interop
def test_an_upgrade_stops_what_runs_from_the_files_that_it_replaces(root: Root, package: Path) -> None:
    log, command = "/run/systemctl.log", "/usr/local/bin/systemctl"
    recording = f"echo '#!/bin/sh\necho \"$@\" >>{log}' >{command}; chmod 755 {command}; mkdir -p /run/systemd/system"
    root("dpkg", "--install", f"/packages/{package.name}")
    root("sh", "-c", recording)
    output = root("dpkg", "--install", f"/packages/{package.name}")
    assert "The units are stopped. Next: idp db upgrade" in output
    running = "idp-serve.service idp-worker.service idp-desk.service idp-purge.timer idp-purge.service"
    assert root("cat", log).splitlines() == [f"--quiet stop {running}", "daemon-reload"]
    root("rm", "--recursive", command, log, "/run/systemd")
    root("dpkg", "--purge", NAME)


@pytest.mark.interop
def test_the_package_holds_no_secret_and_no_path_of_its_build(root: Root, package: Path) -> None:
    assert re.fullmatch(rf"{NAME}_[0-9.]+~[a-z]+[0-9.]+_[a-z0-9]+\.deb", package.name)
    root("dpkg-deb", "--extract", f"/packages/{package.name}", "/content")
    assert "IDP_SECRET_KEY=…\n" in root("cat", f"/content/usr/share/{NAME}/environment.sample")
    for path in (str(CHECKOUT), "/tmp/tmp."):  # noqa: S108 - where mktemp makes the folder of the build
        search = f"grep --recursive --files-with-matches --fixed-strings {path} /content/opt/idp || true"
        assert root("sh", "-c", search) == ""


@pytest.mark.interop
def test_the_package_has_what_the_guides_have_the_operator_copy(package: Path, tmp_path: Path) -> None:
    run("dpkg-deb", "--extract", str(package), str(tmp_path))
    examples = {file.name for file in (tmp_path / "usr/share/doc" / NAME / "examples").iterdir()}
    assert examples >= {"nginx.conf", "nginx-desk.conf", "nginx-connections.sed", "nftables.conf"}
    assert examples >= {"idp-alerts.yml", "prometheus.yml", "idp.json"}


@pytest.mark.interop
def test_the_links_between_the_packaged_guides_lead_somewhere(package: Path, tmp_path: Path) -> None:
    run("dpkg-deb", "--extract", str(package), str(tmp_path))
    guides = tmp_path / "usr/share/doc" / NAME / "guides"
    links = [
        (page, link)
        for page in guides.rglob("*.md")
        for link in re.findall(r"\]\(([^)#:]+)[^):]*\)", page.read_text(encoding="utf-8"))
        # others are about the sources
        if (page.parent / link).resolve().is_relative_to(guides) or Path(link).name == "CHANGELOG.md"
    ]
    assert len(links) > 50
    assert [link for page, link in links if not (page.parent / link).exists()] == []


GUIDE = CHECKOUT / "docs" / "conteneurs.md"
EXAMPLES = "/usr/share/doc/scolarite-services/examples/"
_DONE_BY_THE_PACKAGE = {
    4: ["useradd ", "install -d -m 0750 -g idp /etc/idp", "install -m 0640 -g idp deploy/environment.sample"],
    5: [
        "version=",
        "python3 -m venv ",
        "python3 -m zipfile ",
        '"/opt/idp-$version/bin/pip" install --require-hashes ',
        '"/opt/idp-$version/bin/pip" install --no-deps ',
        "ln -sfn ",
        "install -m 0755 deploy/idp ",
    ],
    8: ["install -m 0644 deploy/*.service deploy/*.timer ", "systemctl daemon-reload"],
    9: ["install -D -m 0644 deploy/502.html "],
}
"""The beginnings of the lines that the guide has the operator leave out, by step."""
_PAGE_OF_502 = (
    "sed -i 's|root /usr/local/share/idp;|root /usr/share/scolarite-services;|' /etc/nginx/conf.d/idp*.conf\n"
)
_UNDER_SYSTEMD = "mkdir -p /run/systemd/system\n"
"""From here on the scripts of packages call `systemctl`. Before, those of PostgreSQL would do so too."""
_AS_INSTALLED = """
set -x
kept() {
  sha256sum /etc/idp/environment
  stat -c '%U:%G %a' /etc/idp /etc/idp/environment
  idp keys list --json
  runuser -u postgres -- psql -Atc 'SELECT id, username, activated_at FROM account ORDER BY id' idp
}
installed() {
  test "$(idp --version)" = "idp, version $1"
  test -z "$(dpkg --verify scolarite-services)"
  test -z "$(comm -13 <(dpkg --listfiles scolarite-services | sort) <(find /opt/idp | sort))"
}
sign_in() {
  echo "::: $1"
  python3 /srv/guide/first_sign_in.py /srv/idp/courriers.csv
  test "$(curl --silent --output /dev/null --write-out '%{http_code}' https://bureau.exemple.fr/healthz)" = 200
}
cd /
kept > /srv/kept
"""
_SECOND_DELIVERY = """
mv /srv/livraison /srv/livraison-avant
mv /srv/livraison-2 /srv/livraison
"""
_NOTHING_RUNS = """
test -z "$(pgrep --uid idp)" # of the release whose files are gone
curl --silent https://connexion.exemple.fr/connexion | grep 'Le service est arrêté un moment'
"""
_UPGRADED = f"""
installed {next_release.VERSION}
idp db current | grep '^{next_release.REVISION} (newest: {next_release.REVISION})$'
kept | diff /srv/kept -
sign_in upgraded
idp client add "Rivage" --uai 0599001N --redirect-uri https://rivage.exemple.fr/callback
"""
_BACK = f"""
installed {__version__}
idp db current | grep '^{next_release.REVISION}, of a newer release'
idp db upgrade
kept | diff /srv/kept -
sign_in back
idp client list | grep Rivage
idp audit verify
"""


def steps() -> str:
    """Return the steps of docs/exploitation.md without what the package has done, and with its files."""
    parts = []
    for number, commands in blocks().items():
        before, after = AROUND.get(number, ("", ""))
        lines = commands.splitlines(keepends=True)
        for beginning in _DONE_BY_THE_PACKAGE.get(number, []):
            [line] = [line for line in lines if line.startswith(beginning)]
            lines.remove(line)
        left = re.sub(r"\bdeploy/", EXAMPLES, "".join(lines))
        left = left.replace("nginx -t\n", f"{_PAGE_OF_502}nginx -t\n")
        parts += [before, f"echo '::: step {number}'\n", left, after]
    return "".join(parts)


def script() -> str:
    """Return the commands of the guide, and what the test does in between, as a script that stops at an error."""
    install, upgrade, back = blocks_of(GUIDE, "Le paquet Debian")
    stopped, upgraded = _around_the_installation(upgrade)
    gone, put_back = _around_the_installation(back)
    parts = ["set -euo pipefail\n", BEFORE, install, steps(), _AS_INSTALLED, blocks_of(BACKUP)[0], _UNDER_SYSTEMD]
    parts += [_SECOND_DELIVERY, stopped, _NOTHING_RUNS, upgraded, _UPGRADED, gone, _NOTHING_RUNS, put_back, _BACK]
    return "".join(parts)


def _around_the_installation(block: str) -> tuple[str, str]:
    first, *others = block.splitlines(keepends=True)
    assert first.startswith("apt-get install -y ")
    return first, "".join(others)


def test_the_commands_of_the_chapter_are_valid() -> None:
    checked = subprocess.run(["bash", "-n"], input=script(), capture_output=True, text=True, check=False)
    assert checked.stderr == ""
    assert not re.search(r"\bdeploy/", script()), "the package has no folder of this name"


@pytest.mark.long
def test_a_server_goes_to_the_next_package_and_back_and_families_sign_in_each_time(tmp_path: Path) -> None:
    needs_clean_system()
    release = platform.freedesktop_os_release()["PRETTY_NAME"]
    if release not in (CLEAN / "root/etc/os-release").read_text(encoding="utf-8"):
        pytest.skip(f"a package is for the release that built it, here {release}, which the clean Debian is not")
    build(tmp_path / "srv" / "livraison")
    sources = copy_sources(tmp_path)
    next_release.turn_into(sources)
    build(tmp_path / "srv" / "livraison-2", sources)
    output = run_in_clean_system(script(), tmp_path)
    assert output.count("The units are stopped. Next: idp db upgrade") == 2, output
    visits = re.findall(r"^::: (\w+)\npage: (.*)$", output, re.MULTILINE)
    assert visits == [("upgraded", "Gérer mon compte"), ("back", "Gérer mon compte")], output


SAMPLE = (CHECKOUT / "deploy" / "environment.sample").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Machine:
    """The folders that a purge touches, and a `userdel` that notes whom it was asked to delete."""

    folder: Path

    @property
    def environment(self) -> Path:
        return self.folder / "etc/idp/environment"

    @property
    def state(self) -> Path:
        return self.folder / "var/lib/idp"

    def deleted_user(self) -> bool:
        return (self.folder / "deleted").exists()

    def purge(self) -> str:
        script = (CHECKOUT / "deploy" / "debian" / "postrm").read_text(encoding="utf-8")
        for path in ("/etc/idp", "/var/lib/idp", "/run/systemd/system"):
            assert path in script
            script = script.replace(path, f"{self.folder}{path}")
        environment = {**os.environ, "PATH": f"{self.folder}/bin{os.pathsep}{os.environ['PATH']}", "LC_ALL": "C"}
        done = subprocess.run(
            ["sh", "-c", script, "postrm", "purge"], env=environment, capture_output=True, text=True, check=True
        )
        return done.stderr


@pytest.fixture
def host(tmp_path: Path) -> Machine:
    for folder in ("bin", "etc/idp", "var/lib/idp"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "bin/userdel").write_text(f"#!/bin/sh\necho $1 >{tmp_path}/deleted\n", encoding="utf-8")
    (tmp_path / "bin/userdel").chmod(0o755)
    made = Machine(tmp_path)
    made.environment.write_text(SAMPLE, encoding="utf-8")
    return made


@pytest.mark.parametrize(
    "line",
    [
        f"IDP_SECRET_KEY={SECRET}",
        f"  IDP_SECRET_KEY={SECRET}",
        f"\tIDP_SECRET_KEY = '{SECRET}'",
        f'IDP_SECRET_KEY="{SECRET}"',
        f"IDP_SECRET_KEY=\\\n{SECRET}",
        f"IDP_SECRET_KEY=…\nIDP_SECRET_KEY_FALLBACKS=['{SECRET}']",
        f"IDP_SECRET_KEY=…\r\nIDP_SECRET_KEY={SECRET}\r\n",
        f"IDP_SECRET_KEY=…\n#IDP_SECRET_KEY={SECRET}",
        f"export IDP_SECRET_KEY={SECRET}",
    ],
    ids=[
        "as in the sample",
        "indented",
        "quoted",
        "in double quotes",
        "on two lines",
        "a former one",
        "twice",
        "a comment",
        "of a shell",
    ],
)
def test_a_purge_keeps_a_secret_key_however_it_is_written(host: Machine, line: str) -> None:
    text = SAMPLE.replace("IDP_SECRET_KEY=…", line)
    assert SECRET in text
    host.environment.write_text(text, encoding="utf-8")
    assert "stays, since it has the secret key" in host.purge()
    assert host.environment.read_text(encoding="utf-8") == text.replace("\r\n", "\n")
    assert not host.deleted_user(), "the group of the file is the user's"


def test_a_purge_deletes_settings_without_a_key(host: Machine) -> None:
    assert host.purge() == ""
    assert not host.environment.parent.exists()
    assert not host.state.exists()
    assert host.deleted_user()


def test_a_purge_keeps_the_user_whose_database_stays(host: Machine) -> None:
    """The settings may be elsewhere; the next system user would get the number, and read the database."""
    (host.state / "idp.db").touch()
    assert f"{host.state} stays" in host.purge()
    assert not host.environment.parent.exists()
    assert not host.deleted_user()
