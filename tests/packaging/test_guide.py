"""docs/exploitation.md, sauvegarde.md and mise-a-jour.md, word for word on a new system, without network and systemd.

`.ci/install` makes the system; each run gets a copy of it (overlayfs) in namespaces of its own. The test plays what
is outside the guide: the machine's names, a mailbox, `systemctl`, a certificate, and what an operator types into the
file of settings.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from idp import __version__
from idp.paths import CHECKOUT
from tests import next_release
from tests.packaging.build import build
from tests.rows import each_row

GUIDE = CHECKOUT / "docs" / "exploitation.md"
BACKUP = CHECKOUT / "docs" / "sauvegarde.md"
UPGRADE = CHECKOUT / "docs" / "mise-a-jour.md"
HERE = Path(__file__).with_name("guide")
CLEAN = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "scolarite-services", "clean-root")
STEPS = 13
_SECTION = re.compile(r"^## (\d+)\. (.*?)$(.*?)(?=^## )", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)

BEFORE = """
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
export PIP_NO_INDEX=1 PIP_FIND_LINKS=/srv/wheels PIP_DISABLE_PIP_VERSION_CHECK=1
ip link set lo up
echo '127.0.0.1 localhost connexion.exemple.fr bureau.exemple.fr mail.exemple.fr' > /etc/hosts
install -m 755 /srv/guide/systemctl.py /usr/bin/systemctl
service postgresql start
setsid python3 /srv/guide/mailbox.py > /var/log/mailbox.log 2>&1 &
"""
"""A Debian as it is after its installation."""
FILLED_IN = """
sed -i 's|^IDP_SMTP_URL=.*|IDP_SMTP_URL=smtp://127.0.0.1:25|; s|…|Un texte|
  s|^IDP_ISSUER=.*|IDP_ISSUER=https://connexion.exemple.fr|; s|\\(_MAIL\\)=.*|\\1=nom@exemple.fr|
  s|^IDP_MAIL_FROM=.*|IDP_MAIL_FROM=ne-pas-repondre@exemple.fr|' /etc/idp/environment
"""
CERTIFIED = """
mkdir -p /etc/idp/tls
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 -subj /CN=connexion.exemple.fr \
  -addext subjectAltName=DNS:connexion.exemple.fr,DNS:bureau.exemple.fr \
  -keyout /etc/idp/tls/key.pem -out /etc/idp/tls/fullchain.pem
cp /etc/idp/tls/fullchain.pem /usr/local/share/ca-certificates/connexion.crt
update-ca-certificates
"""
LOGS_ARE_PRIVATE = 'test "$(stat -c "%U:%G %a" /var/log/nginx/idp*.log | uniq)" = "www-data:adm 640"\n'
AWAIT = "curl --silent --retry 60 --retry-delay 1 --retry-all-errors --fail %s\n"
AROUND = {
    4: ("", FILLED_IN),
    9: (CERTIFIED, LOGS_ARE_PRIVATE),
    12: ("", "python3 /srv/guide/first_sign_in.py /srv/idp/courriers.csv /var/log/mails\n"),
    13: ("", AWAIT % "https://bureau.exemple.fr/healthz" + AWAIT % "https://connexion.exemple.fr/healthz"),
}
"""What happens before and after the blocks of a step."""
AFTER_RESTORE = """
test "$(stat -c %a "$copie")" = 600
owners=$(runuser -u postgres -- psql -Atc "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'" idp)
test "$owners" = idp
idp db current
"""
SECOND_DELIVERY = """
rm -r /srv/livraison
cp -a /srv/livraison-2 /srv/livraison
"""
SWITCHED = f"""
test "$(readlink /opt/idp)" = idp-{next_release.VERSION}
test "$avant" = idp-{__version__}
idp db current | grep '^{next_release.REVISION} (newest: {next_release.REVISION})$'
"""
BACK = f"""
test "$(readlink /opt/idp)" = idp-{__version__}
idp db current | grep '^{next_release.REVISION}, of a newer release'
idp db upgrade
"""
"""The tables stay those of the next release."""
OLD_NODE = AWAIT % "http://127.0.0.1:8000/readyz"
"""After the tables have changed: the former release still runs."""


def blocks() -> dict[int, str]:
    sections = _SECTION.findall(GUIDE.read_text(encoding="utf-8"))
    return {int(number): "".join(_BLOCK.findall(text)) for number, _, text in sections if int(number) <= STEPS}


def script() -> str:
    parts = ["set -euo pipefail\n", BEFORE]
    for number, commands in blocks().items():
        before, after = AROUND.get(number, ("", ""))
        parts += [before, f"echo '::: step {number}'\n", commands, after]
    parts += ["echo '::: backup'\n", *blocks_of(BACKUP), AFTER_RESTORE]
    installation, tables, switch, back = blocks_of(UPGRADE)
    parts += ["echo '::: upgrade'\n", SECOND_DELIVERY, installation, tables, OLD_NODE, switch, SWITCHED, back, BACK]
    return "".join(parts)


def blocks_of(page: Path, chapter: str = "") -> list[str]:
    text = page.read_text(encoding="utf-8")
    return _BLOCK.findall(text.partition(f"\n## {chapter}\n")[2].partition("\n## ")[0] if chapter else text)


def test_the_steps_of_the_guide_are_valid_commands_in_order() -> None:
    assert list(blocks()) == list(range(1, STEPS + 1))
    assert [number for number, commands in blocks().items() if not commands] == [12], "a browser signs in"
    checked = subprocess.run(["bash", "-n"], input=script(), capture_output=True, text=True, check=False)
    assert checked.stderr == ""
    assert len(blocks_of(BACKUP)) == 3, "the copy, its trial, the restore"


def test_a_restore_to_the_minute_ends_with_a_database_that_accepts_writes() -> None:
    section = BACKUP.read_text(encoding="utf-8").partition("\n## 3. ")[2].partition("\n## ")[0]
    commands = "".join(re.findall(r"^    (.*\n)", section, re.MULTILINE))
    checked = subprocess.run(["bash", "-n"], input=commands, capture_output=True, text=True, check=False)
    assert checked.stderr == ""
    assert "recovery_target_action = 'promote'\n" in commands
    assert "rm /etc/postgresql/$v/main/conf.d/restauration.conf\n" in commands


@each_row("page", [GUIDE, UPGRADE])
def test_the_command_that_compiles_argon2_installs_that_package_alone_again(page: Path) -> None:
    guide = page.read_text(encoding="utf-8")
    [selection] = re.findall(r"^    (sed -n '/\^argon2.*) /srv/idp/wheel/idp/constraints.txt >", guide, re.MULTILINE)
    done = subprocess.run(
        ["bash", "-c", f"{selection} constraints.txt"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert re.findall(r"^[a-z].*==", done.stdout, re.MULTILINE) == ["argon2-cffi-bindings=="]
    assert "--hash=sha256:" in done.stdout
    [command] = re.findall(r"^    CFLAGS=.*\\\n.*$", guide, re.MULTILINE)
    for option in ("--force-reinstall", "--no-deps", "--require-hashes", "--no-binary argon2-cffi-bindings"):
        assert option in command, "pip leaves a package of the same version as it is"


def deliver(wheel: Path, folder: Path) -> None:
    folder.mkdir()
    shutil.copy(wheel, folder)
    shutil.copytree(CHECKOUT / "deploy", folder / "deploy")


def needs_clean_system() -> None:
    if os.geteuid() != 0 or not (CLEAN / "complete").exists():
        pytest.skip("needs root and the clean Debian of .ci/install")


def run_in_clean_system(commands: str, top: Path) -> str:
    """Run a script in a copy of the clean Debian, with the folders of `top`/srv in /srv; return its output.

    All processes that it starts end with it.
    """
    (top / "script").write_text(commands, encoding="utf-8")
    done = subprocess.run(
        ["unshare", "--mount", "--net", "--pid", "--uts", "--fork", "--kill-child", "bash", "-euc", _ENTER, top],
        env={"PATH": os.environ["PATH"], "CLEAN": str(CLEAN), "HERE": str(HERE), "TOP": str(top)},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.mark.long
def test_the_guide_leads_from_a_new_system_to_the_first_sign_in(tmp_path: Path) -> None:
    needs_clean_system()
    (tmp_path / "srv").mkdir()
    deliver(build(tmp_path / "release").wheel, tmp_path / "srv" / "livraison")
    deliver(build(tmp_path / "next", next_release.turn_into).wheel, tmp_path / "srv" / "livraison-2")
    output = run_in_clean_system(script(), tmp_path)
    signed_in = re.findall(r"^page: (.*)$", output, re.MULTILINE)
    assert signed_in[:2] == ["Activez votre compte", "Consultez votre messagerie"], output
    assert len(signed_in) == 3, output
    assert "https://bureau.exemple.fr/invitation/" in output, output
    assert not re.search(r"^fault ", output, re.MULTILINE), output


_ENTER = """
mount -t tmpfs none "$TOP"/overlay 2>/dev/null || { mkdir "$TOP"/overlay; mount -t tmpfs none "$TOP"/overlay; }
mkdir "$TOP"/overlay/{upper,work,root}
root="$TOP"/overlay/root
mount -t overlay none -o lowerdir="$CLEAN"/root,upperdir="$TOP"/overlay/upper,workdir="$TOP"/overlay/work "$root"
mount -t proc none "$root"/proc
mount --rbind /dev "$root"/dev
mkdir -p "$root"/srv/{guide,wheels}
mount --bind "$HERE" "$root"/srv/guide
mount --bind "$CLEAN"/wheels "$root"/srv/wheels
cp -a "$TOP"/srv/. "$root"/srv
cp "$TOP"/script "$root"/srv/script
exec chroot "$root" /bin/bash /srv/script
"""
"""Enter a copy of the clean system, whose changes are in memory."""
