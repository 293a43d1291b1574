"""The Debian package is built, installed on a minimal Debian without network, and purged."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from idp.paths import CHECKOUT
from tests.databases import SECRET
from tests.deployment.clean_root import machine, run
from tests.packaging.test_constraints import uv

pytestmark = pytest.mark.interop

NAME = "scolarite-services"
ENVIRONMENT = "/etc/idp/environment"
Root = Callable[..., str]


def build(folder: Path, sources: Path = CHECKOUT) -> Path:
    """Build the package of the sources in `folder`, as `make deb` does; return its file."""
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
    """Return the files that are not dpkg's own."""
    places = ("/etc", "/opt", "/usr", "/var/lib/idp", "/var/log")
    listing = root("sh", "-c", f"find {' '.join(places)} -xdev ! -type d 2>/dev/null; true").splitlines()
    return {path for path in listing if not re.match(r"/var/log/|/etc/.*-$|/usr/.*__pycache__", path)}


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


def test_the_package_holds_no_secret_and_no_path_of_its_build(root: Root, package: Path) -> None:
    assert re.fullmatch(rf"{NAME}_[0-9.]+~[a-z]+[0-9.]+_[a-z0-9]+\.deb", package.name)
    root("dpkg-deb", "--extract", f"/packages/{package.name}", "/content")
    assert "IDP_SECRET_KEY=…\n" in root("cat", f"/content/usr/share/{NAME}/environment.sample")
    for path in (str(CHECKOUT), "/tmp/tmp."):  # noqa: S108 - where mktemp makes the folder of the build
        search = f"grep --recursive --files-with-matches --fixed-strings {path} /content/opt/idp || true"
        assert root("sh", "-c", search) == ""


def test_the_package_has_what_the_guides_have_the_operator_copy(package: Path, tmp_path: Path) -> None:
    run("dpkg-deb", "--extract", str(package), str(tmp_path))
    examples = {file.name for file in (tmp_path / "usr/share/doc" / NAME / "examples").iterdir()}
    assert examples >= {"nginx.conf", "nginx-desk.conf", "nginx-connections.sed", "nftables.conf"}
    assert examples >= {"idp-alerts.yml", "prometheus.yml", "idp.json"}


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
