"""docs/conteneurs.md, « Le paquet Debian », word for word: installation, upgrade to the next release, way back.

As in tests/packaging/test_guide.py, on a clean Debian without network and systemd, in which a small `systemctl` starts
the commands of the units as their user. The steps of docs/exploitation.md run in between, with the differences that
the chapter names.
"""

import platform
import re
import subprocess
from pathlib import Path

import pytest

from idp import __version__
from idp.paths import CHECKOUT
from tests import next_release
from tests.deployment.test_debian_package import build
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
    """Split the commands after the first, which installs a package."""
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
