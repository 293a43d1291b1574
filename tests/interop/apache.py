"""Apache with mod_auth_openidc and the recipe, as a separate instance on loopback."""

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from tests.commands.processes import PATIENCE, connect
from tests.interop.installation import ENT, HOST, PROVIDER, RECIPES, Installation, Registered
from tests.serving.proxy import adapted, program

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
