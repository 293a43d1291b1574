"""canaille under its own command `canaille run`, with one worker and PostgreSQL."""

import json
import os
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from joserfc.jwk import RSAKey
from sqlalchemy import make_url

from bench import databases, machine
from bench.counting.cost import count_over_http
from bench.counting.proxy import CountingProxy
from bench.driver.provider import Provider
from bench.driver.relying_party import DISCOVERY
from bench.driver.scenarios import Scenario
from bench.driver.transport import HOST
from bench.driver.window import Processes, signed_in
from bench.peers import people
from bench.peers.install import Installation, InstallError
from bench.servers import process
from bench.servers.contender import Contender

NAME = "canaille"
_SCOPE = "openid profile email"
_LEFT_OUT = frozenset({"refresh"})
"""A refresh brings no ID token, and two for one person in one second fail: their access tokens are equal."""
_TAIL = 3000
_CONFIGURATION = """\
SECRET_KEY = "invented, for a temporary database"
SERVER_NAME = "{host}:{port}"
PREFERRED_URL_SCHEME = "http"

[CANAILLE]
LOGIN_ATTRIBUTES = ["user_name"]
CAPTCHA_ENABLED = false

[CANAILLE_SQL]
DATABASE_URI = {database}
PASSWORD_SCHEMES = "argon2"
POOL_SIZE = 8

[CANAILLE_SQL.PASSWORD_HASH_PARAMS]
argon2__memory_cost = 19456
argon2__time_cost = 2
argon2__parallelism = 1

[CANAILLE_OIDC]
ACTIVE_JWKS = [{key}]
TRUSTED_DOMAINS = ["{host}"]
"""
_HASH_RATE = """
import time
from argon2 import PasswordHasher
hasher = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
stored = hasher.hash("tasse")
began = time.process_time()
for _ in range(60):
    hasher.verify(stored, "tasse")
print(60 / (time.process_time() - began))
"""
_VERSION = """
import platform
from importlib.metadata import version
print(f"canaille {version('canaille')}, Python {platform.python_version()}")
"""


def configuration(port: int, database_url: str) -> str:
    """Return the configuration file; the signing key is new."""
    key = RSAKey.generate_key(2048, {"kid": "bench", "use": "sig", "alg": "RS256"}).as_dict(private=True)
    inline = ", ".join(f"{name} = {json.dumps(value)}" for name, value in key.items() if isinstance(value, str))
    return _CONFIGURATION.format(
        host=HOST, port=port, database=json.dumps(_sqlalchemy_url(database_url)), key=f"{{ {inline} }}"
    )


@contextmanager
def contender(
    installation: Installation, database_url: str, scenarios: Sequence[type[Scenario]], core: int | None, folder: Path
) -> Iterator[Contender]:
    """Fill the database, count the statements of the scenarios, then run canaille during the block."""
    provider = replace(people.provider(NAME, process.free_port(), "login", _SCOPE), left_out=_LEFT_OUT)
    environment = _configured(provider.port, database_url, folder / "canaille.toml")
    _populate(installation, provider, environment)
    with CountingProxy(database_url) as proxy:
        proxied = _configured(provider.port, proxy.url, folder / "canaille-counted.toml")
        with _running(installation, provider, proxied, None, folder):
            provider = replace(provider, people=signed_in(provider))  # its sessions outlive a restart
            costs = count_over_http(provider, proxy, scenarios)
    with machine.pinned(core):
        hashes = float(_python(installation, _HASH_RATE))
    with _running(installation, provider, environment, core, folder) as server:
        processes = Processes(server.pid, databases.server_pid(database_url))
        version = _python(installation, _VERSION)
        yield Contender(provider, processes, server.cold_start, hashes, version, costs)


@contextmanager
def _running(
    installation: Installation, provider: Provider, environment: Mapping[str, str], core: int | None, folder: Path
) -> Iterator[process.Server]:
    arguments = [
        str(installation.python.with_name("canaille")),
        "run",
        "--bind",
        f"{HOST}:{provider.port}",
        "--workers",
        "1",
    ]
    command = process.Command(arguments, environment, DISCOVERY)
    with process.running(command, provider.port, core, folder / "canaille.log") as server:
        yield server


def _configured(port: int, database_url: str, file: Path) -> dict[str, str]:
    """Write the configuration; return the environment that names it."""
    file.write_text(configuration(port, database_url), encoding="utf-8")
    return os.environ | {"CANAILLE_CONFIG": str(file)}


def _populate(installation: Installation, provider: Provider, environment: Mapping[str, str]) -> None:
    """Make the tables, and restore the people and the client as from a dump."""
    users = [
        {
            "id": str(uuid.uuid4()),
            "user_name": name,
            "password": people.PASSWORD,
            "given_name": "Ann",
            "family_name": name,
            "formatted_name": f"Ann {name}",
            "emails": [f"{name}@example.org"],
        }
        for name in (person.username for person in provider.people)
    ]
    key = str(uuid.uuid4())
    client = {
        "id": key,
        "audience": [key],
        "client_id": provider.client.client_id,
        "client_secret": provider.client.secret,
        "client_name": "bench",
        "client_uri": f"http://{HOST}/",
        "redirect_uris": [provider.client.redirect_uri],
        "token_endpoint_auth_method": "client_secret_basic",
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "scope": provider.client.scope.split(),
        "id_token_signed_response_alg": "RS256",
    }
    canaille = str(installation.python.with_name("canaille"))
    _run([canaille, "db", "upgrade"], environment)
    _run([canaille, "restore"], environment, json.dumps({"user": users, "client": [client]}))


def _sqlalchemy_url(database_url: str) -> str:
    return make_url(database_url).set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)


def _python(installation: Installation, program: str) -> str:
    return _run([str(installation.python), "-c", program], os.environ)


def _run(command: list[str], environment: Mapping[str, str], given: str | None = None) -> str:
    done = subprocess.run(command, env=environment, input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InstallError(f"{' '.join(command[:3])} failed:\n{done.stderr[-_TAIL:].strip()}")
    return done.stdout.strip()
