"""mod_auth_openidc with the recipe of clients/recipes, and an application behind Apache."""

import json
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from tests.builders import COLLEGE
from tests.commands.processes import connect, free_port
from tests.interop.installation import ENT, HOST, PROVIDER, RECIPES, Installation, Registered
from tests.interop.visitor import PATIENCE, Visitor
from tests.serving.proxy import adapted, program
from tests.waiting import wait_for

_MODULES = Path("/usr/lib/apache2/modules")
_LOADED = ("mpm_event", "authn_core", "authz_core", "authz_user", "ssl", "socache_shmcb", "cgid", "alias", "dir")
_AROUND = """\
{loaded}
LoadModule auth_openidc_module {openidc}
ServerRoot {folder}
ServerName {netloc}
PidFile {folder}/apache.pid
ErrorLog {folder}/apache.log
LogLevel warn
CustomLog {folder}/requests.log "%m %U%q %>s"
ScriptSock {folder}/cgisock
Mutex file:{folder}
{identity}
Listen 127.0.0.1:{port} https
SSLEngine on
SSLCertificateFile {chain}
SSLSessionCache none
OIDCCABundlePath {folder}/trusted.pem
ScriptAlias /espace {folder}/espace
DocumentRoot {folder}/pages
DirectoryIndex index.html
Include {folder}/recipe.conf
"""
_APPLICATION = """\
#!/bin/sh
printf 'Content-Type: application/octet-stream\\r\\n\\r\\n'
exec env -0
"""


@dataclass(frozen=True)
class Apache:
    origin: str
    client: Registered
    requests: Path

    @property
    def inside(self) -> str:
        return f"{self.origin}/espace"


def read_variables(page: requests.Response) -> dict[str, str]:
    assert page.status_code == 200, f"{page.status_code} {page.url}"
    return dict(line.split("=", 1) for line in page.content.decode().split("\0") if line)


@contextmanager
def apache(
    installation: Installation, client: Registered, port: int, changes: Mapping[str, str] | None = None
) -> Iterator[Apache]:
    """Run Apache with the recipe for `client` and some `changes`.

    If root runs the tests, Apache runs as Debian's `www-data`.
    """
    server, openidc = program("apache2"), _MODULES / "mod_auth_openidc.so"
    if not openidc.exists():
        pytest.skip("mod_auth_openidc is not installed (.ci/install brings it)")
    folder = Path(tempfile.mkdtemp(prefix="idp-apache-"))  # www-data cannot read pytest's folder
    try:
        _write(folder, installation, port, openidc, changes or {})
        environment = {
            "PATH": os.environ["PATH"],
            "ENT_CLIENT_ID": client.client_id,
            "ENT_CLIENT_SECRET": client.secret,
            "ENT_CRYPTO_PASSPHRASE": secrets.token_urlsafe(32),
        }
        command = [server, "-f", str(folder / "apache.conf"), "-DFOREGROUND"]
        with (folder / "apache.out").open("wb") as out:
            process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
        try:
            connect(port, process, folder / "apache.out").close()
            yield Apache(f"https://{HOST}:{port}", client, folder / "requests.log")
        finally:
            process.terminate()
            process.wait(PATIENCE)
            print((folder / "apache.log").read_text()[-3000:])  # noqa: T201 - shown if the test fails
    finally:
        shutil.rmtree(folder)


def _write(folder: Path, installation: Installation, port: int, openidc: Path, more: Mapping[str, str]) -> None:
    folder.chmod(0o755)
    folder.joinpath("pages").mkdir()
    folder.joinpath("pages", "index.html").write_text("<title>Accueil</title>")
    application = folder / "espace"
    application.write_text(_APPLICATION)
    application.chmod(0o755)
    shutil.copyfile(installation.trusted, folder / "trusted.pem")
    netloc = f"{HOST}:{port}"
    changes = {
        f"Define ENT_HOST {ENT}": f"Define ENT_HOST {netloc}",
        f"Define IDP_HOST {PROVIDER}": f"Define IDP_HOST {installation.netloc}",
        **more,
    }
    recipe = (RECIPES / "mod_auth_openidc.conf").read_text(encoding="utf-8")
    folder.joinpath("recipe.conf").write_text(adapted(recipe, changes))
    values = {
        "loaded": "\n".join(f"LoadModule {name}_module {_MODULES}/mod_{name}.so" for name in _LOADED),
        "openidc": openidc,
        "folder": folder,
        "netloc": netloc,
        "port": port,
        "identity": "User www-data\nGroup www-data" if os.geteuid() == 0 else "",
        "chain": installation.chain,
    }
    folder.joinpath("apache.conf").write_text(_AROUND.format(**values))


SECTION = "Apache: mod_auth_openidc"
RENEWAL = "OIDCRefreshAccessTokenBeforeExpiry 60 logout_on_error"
Start = Callable[..., Apache]


@pytest.fixture
def start(installation: Installation) -> Iterator[Start]:
    with ExitStack() as stack:

        def started(*options: str, changes: Mapping[str, str] | None = None) -> Apache:
            port = free_port()
            client = installation.register(SECTION, f"{HOST}:{port}", *options)
            installation.publish_charter(client)
            return stack.enter_context(apache(installation, client, port, changes))

        yield started


def enter(visitor: Visitor, ent: Apache, parent: str) -> dict[str, str]:
    visitor.open(ent.inside)
    visitor.sign_in(parent)
    visitor.accept_the_charter()
    return read_variables(visitor.page)


@pytest.mark.interop
def test_the_application_reads_who_signed_in_from_its_environment(
    installation: Installation, start: Start, visitor: Visitor
) -> None:
    ent, parent = start(), installation.parent()
    variables = enter(visitor, ent, parent)
    assert visitor.page.url == ent.inside
    assert variables["OIDC_CLAIM_iss"] == installation.issuer
    assert variables["REMOTE_USER"] == variables["OIDC_CLAIM_sub"]
    assert "OIDC_CLAIM_preferred_username" not in variables, "the registration does not ask for it"
    assert variables["OIDC_CLAIM_name"] == "Noémie LEROY-VANDEPUTTE"
    assert variables["OIDC_CLAIM_ENTPersonProfils"] == "National_2"
    assert variables["OIDC_CLAIM_FrEduVecteur"].startswith("2|LEROY-VANDEPUTTE|Noémie|")
    assert variables["OIDC_CLAIM_uai"] == COLLEGE
    assert (variables["OIDC_CLAIM_charter_accepted"], variables["OIDC_CLAIM_charter_version"]) == ("1", "1")
    assert [child["uai"] for child in json.loads(variables["OIDC_userinfo_json"])["children"]] == [COLLEGE]


@pytest.mark.interop
def test_a_parent_who_has_not_accepted_the_charter_gets_a_403(
    installation: Installation, start: Start, visitor: Visitor
) -> None:
    ent = start("--charter", "ent")  # the ENT decides about the charter
    visitor.open(ent.inside)
    visitor.sign_in(installation.parent())
    assert (visitor.page.status_code, visitor.page.url) == (403, ent.inside)


@pytest.mark.interop
def test_the_access_token_is_renewed(installation: Installation, start: Start, visitor: Visitor) -> None:
    ent = start()
    variables = enter(visitor, ent, installation.parent())
    again = read_variables(visitor.open(ent.inside))
    later = read_variables(visitor.open(ent.inside))
    assert len({page["OIDC_access_token"] for page in (variables, again, later)}) == 3
    assert later["OIDC_CLAIM_sub"] == variables["OIDC_CLAIM_sub"]


@pytest.mark.interop
def test_a_new_version_of_the_charter_blocks_access_until_it_is_accepted(
    installation: Installation, start: Start, visitor: Visitor
) -> None:
    ent, parent = start(), installation.parent()
    enter(visitor, ent, parent)
    installation.publish_charter(ent.client, "2")
    assert visitor.open(ent.inside).status_code == 403, "seen at the next renewal"
    visitor.open(f"{ent.origin}/oidc/callback?logout={ent.origin}/")
    assert enter(visitor, ent, parent)["OIDC_CLAIM_charter_version"] == "2"


@pytest.mark.interop
def test_a_session_that_ended_at_the_provider_ends_at_the_next_renewal(
    installation: Installation, start: Start, visitor: Visitor
) -> None:
    ent = start("--backchannel-logout-uri", "")
    enter(visitor, ent, installation.parent())
    visitor.sign_out_at(installation.issuer)
    assert visitor.open(ent.inside).url == f"{ent.origin}/", "signed out, and led home"
    visitor.open(ent.inside)
    assert visitor.heading == "Connexion"


@pytest.mark.interop
def test_signing_out_goes_through_the_provider_and_comes_back(
    installation: Installation, start: Start, visitor: Visitor
) -> None:
    ent = start()
    enter(visitor, ent, installation.parent())
    visitor.open(f"{ent.origin}/oidc/callback?logout={ent.origin}/")
    assert (visitor.page.status_code, visitor.page.url) == (200, f"{ent.origin}/")
    visitor.open(ent.inside)
    assert visitor.heading == "Connexion", "the session at the provider is over too"


@pytest.mark.interop
def test_the_end_of_a_session_elsewhere_is_sent_by_back_channel(
    installation: Installation, start: Start, visitor: Visitor
) -> None:
    ent = start(changes={RENEWAL: ""})  # which would notice by itself
    enter(visitor, ent, installation.parent())
    visitor.sign_out_at(installation.issuer)
    log_line = "POST /oidc/callback?logout=backchannel 200"
    wait_for(lambda: log_line in ent.requests.read_text(), tell=installation.log)
    visitor.open(ent.inside)
    assert visitor.heading == "Connexion"
