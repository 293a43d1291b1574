"""node-oidc-provider, in memory or with Redis."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from argon2 import PasswordHasher

from bench import machine
from bench.driver.transport import HOST
from bench.driver.window import Processes
from bench.peers import people
from bench.peers.install import Installation
from bench.servers import process
from bench.servers.contender import Contender

MEMORY, REDIS = "node-memory", "node-redis"
REDIS_SERVER = shutil.which("redis-server")
_PATIENCE = 10.0
_HASHER = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
"""argon2id with 19 MiB and two passes, as the product."""


@contextmanager
def in_memory(installation: Installation, core: int | None, folder: Path) -> Iterator[Contender]:
    """Run node-oidc-provider with the adapter that it brings."""
    with _running(MEMORY, installation, core, folder, redis=None) as contender:
        yield contender


@contextmanager
def with_redis(installation: Installation, core: int | None, folder: Path) -> Iterator[Contender]:
    """Run node-oidc-provider with a Redis server that writes nothing to the disk, on the driver's core."""
    port = process.free_port()
    log = folder / "redis.log"
    arguments = [str(REDIS_SERVER), "--bind", HOST, "--port", str(port), "--save", "", "--appendonly", "no"]
    with log.open("wb") as output:
        server = subprocess.Popen(arguments, stdout=output, stderr=output, cwd=folder)
    try:
        _wait_for_redis(port, server, log)
        with _running(REDIS, installation, core, folder, redis=(port, server.pid)) as contender:
            yield contender
    finally:
        server.terminate()
        server.wait()


def _wait_for_redis(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _PATIENCE
    while not process.is_listening(port):
        if server.poll() is not None or time.monotonic() > until:
            raise process.StartError(f"redis-server does not listen:\n{log.read_text(errors='replace')}")
        time.sleep(0.05)


@contextmanager
def _running(
    name: str, installation: Installation, core: int | None, folder: Path, redis: tuple[int, int] | None
) -> Iterator[Contender]:
    provider = people.provider(name, process.free_port(), "username")
    settings = {
        "issuer": provider.issuer,
        "port": provider.port,
        "client_id": provider.client.client_id,
        "client_secret": provider.client.secret,
        "redirect_uri": provider.client.redirect_uri,
        "scope": provider.client.scope,
        "people": [person.username for person in provider.people],
        "password": people.PASSWORD,
        "password_hash": _HASHER.hash(people.PASSWORD),
        "redis": f"redis://{HOST}:{redis[0]}" if redis else None,
    }
    file = folder / f"{name}.json"
    file.write_text(json.dumps(settings), encoding="utf-8")
    environment = os.environ | {"NODE_ENV": "production"}
    node, scripts = str(installation.node), installation.node_folder
    with machine.pinned(core):
        hashes = float(_output([node, str(scripts / "hash_rate.mjs"), str(file)]))
    arguments = [node, str(scripts / "server.mjs"), str(file)]
    command = process.Command(arguments, environment, "/.well-known/openid-configuration")
    with process.running(command, provider.port, core, folder / f"{name}.log") as server:
        processes = Processes(server.pid, redis[1] if redis else None)
        yield Contender(provider, processes, server.cold_start, hashes, _version(installation))


def _version(installation: Installation) -> str:
    packages = installation.node_folder / "node_modules"
    provider, argon2 = (
        json.loads((packages / name / "package.json").read_text())["version"] for name in ("oidc-provider", "argon2")
    )
    node = _output([str(installation.node), "--version"])
    return f"node-oidc-provider {provider}, argon2 {argon2}, Node.js {node}"


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
