"""The service as an operator installs it, for tests with third-party software: with TLS, behind deploy/nginx.conf.

`idp serve`, `idp worker` and nginx are processes. ENTs use them by HTTP alone and are registered with the command of
clients/README.md.
"""

import json
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from idp.app import create_app
from idp.charter import service as charters
from idp.clients import registry
from idp.config import Settings
from idp.db import db
from idp.oidc.logout import back_channel
from idp.paths import CHECKOUT
from idp.services import services, services_of
from tests import forked
from tests.builders import Build
from tests.commands.processes import PATIENCE, connect, environment, free_port, running
from tests.databases import postgresql_copy, settings_for
from tests.protocol.ent_server import authority
from tests.serving.proxy import nginx, supplied

HOST = "localhost"
RECIPES = CHECKOUT / "clients" / "recipes"
ENT, PROVIDER = "ent.exemple.fr", "connexion.exemple.fr"
"""The host names in the recipes."""
ACCESS_TOKEN_LIFETIME = 60
"""Seconds, the minimum: recipes that renew tokens a minute before they expire do it at every request."""


@dataclass(frozen=True)
class Registered:
    client_id: str
    secret: str


@dataclass(frozen=True)
class Installation:
    """A running service; `chain` is a certificate for localhost, `trusted` its authority."""

    settings: Settings
    folder: Path
    trusted: Path
    chain: Path

    @property
    def issuer(self) -> str:
        return self.settings.issuer

    @property
    def netloc(self) -> str:
        return self.issuer.removeprefix("https://")

    def register(self, section: str, ent: str, *options: str) -> Registered:
        """Register the ENT at `ent` (host and port) with the command of a section of clients/README.md.

        Args:
            section: the section's title.
            ent: replaces the recipe's host name.
            options: more options; the last of two contradicting options applies.
        """
        parts = shlex.split(registration(section).replace(ENT, ent).replace("\\\n", " "))
        assert parts[:3] == ["idp", "client", "add"]
        registered_client = json.loads(self.idp(*parts[1:], *options, "--json"))
        return Registered(registered_client["client_id"], registered_client.get("client_secret", ""))

    def idp(self, *arguments: str) -> str:
        return forked.succeed(forked.IDP, *arguments, env=environment(self.settings))

    def parent(self) -> str:
        with self._inside():
            return Build(self.settings).active().username

    def publish_charter(self, client: Registered, version: str = "1") -> None:
        with self._inside():
            charters.publish(client.client_id, version, "# Charte\n\nSoyons polis.")

    def count_requests(self, endpoint: str) -> int:
        """Return how many requests the provider has answered at an endpoint (`oidc.token`)."""
        return (self.folder / "serve.log").read_text().count(f'"endpoint": "{endpoint}", "status": ')

    def logout_token(self, client: Registered, subject: str, sid: str) -> str:
        with self._inside():
            registered_client = registry.find(client.client_id, fresh=True)
            assert registered_client
            return back_channel.logout_token(services().server, registered_client, subject, sid)

    def log(self) -> str:
        return "\n".join(path.read_text(errors="replace")[-3000:] for path in sorted(self.folder.glob("*.log")))

    @contextmanager
    def _inside(self) -> Iterator[None]:
        app = create_app(self.settings)
        with app.app_context():
            try:
                yield
            finally:
                db.session.remove()
                db.engine.dispose()
                services_of(app).close()


def localised(text: str, ent: str, installation: Installation) -> str:
    """Return a recipe's file with the host and port of the ENT and of the provider."""
    return text.replace(ENT, ent).replace(PROVIDER, installation.netloc)


def registration(section: str) -> str:
    text = CHECKOUT.joinpath("clients", "README.md").read_text(encoding="utf-8")
    [body] = re.findall(rf"^## {re.escape(section)}$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    [command] = re.findall(r"^```sh\n(idp client add .*?)^```$", body, re.MULTILINE | re.DOTALL)
    return str(command)


@contextmanager
def installed(shared: Path, folder: Path) -> Iterator[Installation]:
    """Run the service on its own database; skip the test without nginx."""
    port, upstream = free_port(), free_port()
    certified = authority(folder, HOST)
    with ExitStack() as stack:
        settings = settings_for(
            stack.enter_context(postgresql_copy(shared)),
            issuer=f"https://{HOST}:{port}",
            trusted_proxies=1,
            outgoing_allow=(HOST,),
            access_token_lifetime=ACCESS_TOKEN_LIFETIME,
            new_device_mail=False,
        )
        site = supplied(folder, port, upstream, certified.chain)
        stack.enter_context(nginx(folder / "nginx", port, site))
        bind = ("--bind", f"127.0.0.1:{upstream}", "--workers", "1")
        serving = stack.enter_context(running(settings, folder / "serve.log", "serve", *bind))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SSL_CERT_FILE", str(certified.trusted))  # the worker sends logout tokens to the ENTs
            stack.enter_context(running(settings, folder / "worker.log", "worker"))
        connect(upstream, serving, folder / "serve.log").close()
        yield Installation(settings, folder, certified.trusted, certified.chain)


_SITE = """\
server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {chain};
    ssl_certificate_key {chain};
    location / {{
        proxy_pass http://127.0.0.1:{upstream};
        proxy_set_header Host $host:$server_port;
        proxy_set_header X-Forwarded-Proto https;
    }}
}}
"""


@dataclass(frozen=True)
class Ent:
    origin: str
    client: Registered
    log: Path

    @property
    def inside(self) -> str:
        return f"{self.origin}/espace"


@dataclass(frozen=True)
class Server:
    """The command of an ENT's server; its folder, environment and port."""

    command: Sequence[str]
    folder: Path
    environment: Mapping[str, str]


@contextmanager
def behind_tls(
    installation: Installation, client: Registered, port: int, server: Server, folder: Path
) -> Iterator[Ent]:
    upstream, log = free_port(), folder / "ent.log"
    command = [part.replace("{port}", str(upstream)) for part in server.command]
    environment = {name: value.replace("{port}", str(upstream)) for name, value in server.environment.items()}
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=server.folder, env=environment, stdout=out, stderr=out)
    try:
        connect(upstream, process, log).close()
        with nginx(folder / "nginx", port, _SITE.format(port=port, upstream=upstream, chain=installation.chain)):
            yield Ent(f"https://{HOST}:{port}", client, log)
    finally:
        process.terminate()
        process.wait(PATIENCE)
