"""docs/conteneurs.md, « Une machine : compose », word for word with podman-compose, from the first start on.

The test plays what is outside the guide: names, a certificate, what an operator types into the files, the images that
a registry has, a browser.
"""

import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from idp import __version__
from idp.paths import CHECKOUT
from tests import next_release
from tests.deployment import clean_root
from tests.packaging.test_guide import HERE, blocks_of

GUIDE = CHECKOUT / "docs" / "conteneurs.md"
NEIGHBOURS = Path(__file__).with_name("neighbours")
LOOPBACK = "127.61.98.2"
"""Where the ports of compose.yaml are opened: no other program of this machine has them there."""
NEXT = "localhost/scolarite-services:VERSION"
ACTIVATED = ["Activez votre compte", "Consultez votre messagerie", "Confirmation de votre adresse mail"]
SIGNED_IN = ["Gérer mon compte"]

_BEFORE = """
set -euo pipefail
make() { podman tag "$BUILT" "${2#IMAGE=}"; }
curl() { command curl --resolve "*:443:$LOOPBACK" --cacert tls/fullchain.pem "$@"; }
browse() {
  printf '\\n::: %s\\n' "$1"
  podman run --rm --network host --add-host "connexion.exemple.fr:$LOOPBACK" \\
    --env SSL_CERT_FILE=/deploy/tls/fullchain.pem --volume "$PWD:/deploy:ro" --volume "$HERE:/guide:ro" \\
    "$BASE" python3 /guide/first_sign_in.py /deploy/courriers.csv "${@:2}"
}
refused() { ! "$@" || exit 1; }
await() {
  until podman-compose exec -T upkeep test -e /tmp/ready; do sleep 1; done
  until curl --fail --silent --output /dev/null https://connexion.exemple.fr/healthz; do sleep 1; done
}
running() {
  podman inspect --format '{{.Id}} {{.State.StartedAt}}' "${COMPOSE_PROJECT_NAME}"_{network,proxy,database}_1
}
sql() { podman-compose exec -T database psql --username postgres --no-align --tuples-only --command "$1" "${2-idp}"; }
"""
_FILLED_IN = """
echo COMPOSE_PROFILES=mail >> .env
sed -i 's|^IDP_SMTP_URL=.*|IDP_SMTP_URL=smtp://127.0.0.1:1025|; s|…|Un texte|
  s|^IDP_ISSUER=.*|IDP_ISSUER=https://connexion.exemple.fr|; s|\\(_MAIL\\)=.*|\\1=nom@exemple.fr|
  s|^IDP_MAIL_FROM=.*|IDP_MAIL_FROM=ne-pas-repondre@exemple.fr|
  s|^#IDP_DESK_URL=.*|IDP_DESK_URL=https://bureau.exemple.fr|' environment
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 -subj /CN=connexion.exemple.fr \\
  -addext subjectAltName=DNS:connexion.exemple.fr,DNS:bureau.exemple.fr -keyout tls/key.pem -out tls/fullchain.pem
"""
_INSTALLED = """
curl --fail --silent --output /dev/null https://bureau.exemple.fr/healthz
for port in 9464 9465 9466; do command curl --fail --silent "http://$LOOPBACK:$port/metrics" | grep -c '^idp_'; done
test "$(sql "SELECT rolsuper OR rolcreaterole OR rolcreatedb FROM pg_roles WHERE rolname = 'idp'")" = f
test "$(sql "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'")" = idp
refused podman-compose exec -T --env "PGPASSWORD=$(cat database-password)" database \\
  psql --host 127.0.0.1 --username postgres --command 'SELECT 1'
"""
_CHANGED = "sed -i 's|^IDP_ACADEMY=.*|IDP_ACADEMY=Académie de l’essai|' environment"
_NOTICED = """
before=$(running)
await
podman-compose exec -T provider idp config check | grep 'Académie de l’essai'
"""
_DOWN_AND_UP = """
podman-compose down
podman-compose up --detach
await
browse 'down and up'
"""
_UPGRADED = f"""
test "$(running)" = "$before"
await
podman-compose exec -T provider idp --version | grep {re.escape(next_release.VERSION)}
idp db current | grep '^{next_release.REVISION} (newest: {next_release.REVISION})$'
browse upgraded
"""
_BACK = f"""
test "$(running)" = "$before"
await
podman-compose exec -T provider idp --version | grep {re.escape(__version__)}
idp db current | grep '^{next_release.REVISION}, of a newer release'
browse back
"""
_LOST = """
test "$(stat -c %a idp-*.dump)" = 600
podman-compose down --volumes
refused podman volume exists "${COMPOSE_PROJECT_NAME}_database"
podman-compose up --detach
await
test "$(sql 'SELECT count(*) FROM account')" = 0
"""
_RESTORED = """
await
test "$(sql "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'")" = idp
browse restored
"""


def script() -> str:
    image, up, first, settings, upgrade, back, backup, restore = blocks_of(GUIDE, "Une machine : compose")
    played = ["browse 'first sign-in' http://$LOOPBACK:8025\n", _DOWN_AND_UP]
    parts = [_BEFORE, image, _FILLED_IN, up, first, _INSTALLED, *played, _CHANGED, settings, _NOTICED]
    parts += [upgrade.replace(NEXT, "$NEXT"), _UPGRADED, back, _BACK, backup, _LOST, restore, _RESTORED]
    return "\n".join(parts)


def test_the_commands_of_the_guide_are_valid() -> None:
    checked = subprocess.run(["bash", "-n"], input=script(), capture_output=True, text=True, check=False)
    assert checked.stderr == ""
    assert script().count("$NEXT") == 1


@pytest.fixture
def images(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Make all images; yield the names for the script, whose own are removed with what it started."""
    project = f"guide{uuid.uuid4().hex[:8]}"
    first = clean_root.built("localhost/scolarite-services:test")
    context = tmp_path / "neighbours"
    shutil.copytree(NEIGHBOURS, context)
    shutil.copy(clean_root.tool("MAILPIT"), context / "mailpit")
    for name in ("nginx", "postgresql", "mail"):
        clean_root.built(f"localhost/scolarite-services-{name}:test", context, "Containerfile", "--target", name)
    names = {"BUILT": first, "NEXT": f"localhost/scolarite-services:{project}-next", "COMPOSE_PROJECT_NAME": project}
    clean_root.built(names["NEXT"], next_image(first, tmp_path / "next"), "Containerfile")
    yield names
    clean_root.podman("pod", "rm", "--force", "--ignore", "--time", "0", f"pod_{project}")
    clean_root.podman("network", "rm", "--force", f"{project}_default")
    clean_root.podman("volume", "rm", "--force", f"{project}_database")
    clean_root.podman("rmi", "--ignore", names["NEXT"], f"localhost/scolarite-services:{project}")


def next_image(first: str, folder: Path) -> Path:
    """Write the files of an image of the next release, which are a few over those of this one."""
    (folder / "idp").mkdir(parents=True)
    shutil.copytree(CHECKOUT / "migrations", folder / "migrations", ignore=shutil.ignore_patterns("__pycache__"))
    next_release.turn_into(folder)
    site = clean_root.in_image(first, {}, "-c", "echo /opt/idp/lib/python3*/site-packages", entrypoint=("sh",)).strip()
    copied = f"COPY idp/__init__.py {site}/idp/\nCOPY migrations {site}/idp/migrations\n"
    (folder / "Containerfile").write_text(f"FROM {first}\n{copied}", encoding="utf-8")
    return folder


def deliver(folder: Path, project: str) -> None:
    """Make the sources as far as the guide uses them, with the names of what the test provides."""
    ignored = shutil.ignore_patterns("environment", "database-password", "tls", "files", ".env")
    shutil.copytree(CHECKOUT / "deploy", folder / "deploy", ignore=ignored)
    (folder / "idp").mkdir()
    (folder / "idp" / "__init__.py").write_text(f'__version__ = "{project}"\n', encoding="utf-8")
    compose = folder / "deploy" / "compose.yaml"
    text = compose.read_text(encoding="utf-8")
    for theirs, ours in {
        "docker.io/library/nginx:stable": "localhost/scolarite-services-nginx:test",
        "docker.io/library/postgres:17": "localhost/scolarite-services-postgresql:test",
        "docker.io/axllent/mailpit:latest": "localhost/scolarite-services-mail:test",
        '"80:80", "443:443"': f'"{LOOPBACK}:80:80", "{LOOPBACK}:443:443"',
        "127.0.0.1:8025": f"{LOOPBACK}:8025",
        "127.0.0.1:9464": f"{LOOPBACK}:9464",
    }.items():
        assert theirs in text
        text = text.replace(theirs, ours)
    compose.write_text(text, encoding="utf-8")


@pytest.mark.long
def test_the_guide_of_compose_leads_from_nothing_to_a_restored_database(images: dict[str, str], tmp_path: Path) -> None:
    project = images["COMPOSE_PROJECT_NAME"]
    deliver(tmp_path / "sources", project)
    done = subprocess.run(
        ["bash", "-c", script()],
        cwd=tmp_path / "sources",
        env={
            # without the variables of a proxy, which podman would give to the containers
            "HOME": os.environ["HOME"],
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "CONTAINERS_CONF": str(clean_root.configuration(tmp_path)),
            "BASE": clean_root.base(),
            "HERE": str(HERE),
            "LOOPBACK": LOOPBACK,
            **images,
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    output = f"{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
    assert done.returncode == 0, output
    visits = {
        name: re.findall(r"^page: (.*)$", pages, re.MULTILINE)
        for name, pages in re.findall(r"^::: (.*)\n((?:page: .*\n)*)", done.stdout, re.MULTILINE)
    }
    assert visits.pop("first sign-in") == ACTIVATED, output
    assert visits == dict.fromkeys(("down and up", "upgraded", "back", "restored"), SIGNED_IN), output
