"""The service as in production: `idp serve`, workers with eight threads. Only this module starts it."""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from platform import python_version

from pydantic import SecretStr

from bench import databases, machine
from bench.counting.cost import Request, count_over_http
from bench.counting.proxy import CountingProxy
from bench.driver.provider import Provider
from bench.driver.scenarios import Scenario
from bench.driver.transport import HOST
from bench.driver.window import Processes
from bench.results import goals
from bench.servers import process
from bench.servers.contender import Contender
from idp import __version__
from idp.accounts.passwords.hasher import Hasher
from idp.config import PREFIX, Settings

IDP = str(Path(sys.executable).with_name("idp"))
THREADS = 8
_HASHES = 60
_PASSWORD = "tasse vélo nuage citron"  # noqa: S105 - of nobody


def settings_for(database_url: str, port: int, **more: str) -> Settings:
    """Return the settings of the service at `port`; development only allows plain http on loopback."""
    values = {
        "env": "development",
        "issuer": f"http://{HOST}:{port}",
        "database_url": database_url,
        "database_pool": THREADS,
        "academy": "Académie des Deux-Rives",
        "trusted_proxies": 1,  # the driver acts as the proxy: each person has an IP of their own
        "drain_seconds": 0,
        **more,
    }
    return Settings(**values)  # type: ignore[arg-type]


def environment(settings: Settings) -> dict[str, str]:
    """Return the environment for a process with `settings`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    shown = {name: value.get_secret_value() if isinstance(value, SecretStr) else value for name, value in given.items()}
    return inherited | {f"{PREFIX}{name.upper()}": str(value) for name, value in shown.items()}


@contextmanager
def running(
    settings: Settings,
    core: int | None,
    log: Path,
    workers: int = 1,
    threads: int = THREADS,
    idp: Sequence[str] = (IDP,),
) -> Iterator[process.Server]:
    """Run `idp serve` during the block, pinned to `core` unless that is None, with its output in `log`.

    `idp` is the command `idp`, or what stands for it.

    Raises:
        process.StartError: it does not answer within a minute.
    """
    port = int(settings.issuer.rpartition(":")[2])
    arguments = [*idp, "serve", "--bind", f"{HOST}:{port}", "--workers", str(workers), "--threads", str(threads)]
    command = process.Command(arguments, environment(settings), "/readyz")
    with process.running(command, port, core, log) as server:
        yield server


@contextmanager
def contender(
    settings: Settings, provider: Provider, scenarios: Sequence[type[Scenario]], core: int | None, folder: Path
) -> Iterator[Contender]:
    """Count the statements of the scenarios, then run the service during the block.

    Raises:
        process.StartError: it does not answer within a minute.
    """
    costs = _count(settings, provider, scenarios, folder)
    hashes = hash_rate(settings, core)
    with running(settings, core, folder / "serve.log") as server:
        processes = Processes(server.pid, databases.server_pid(settings.database_url))
        version = f"idp {__version__}, Python {python_version()}"
        yield Contender(provider, processes, server.cold_start, hashes, version, costs, goals.LIMITS)


def _count(
    settings: Settings, provider: Provider, scenarios: Sequence[type[Scenario]], folder: Path
) -> dict[str, list[Request]]:
    """Count the statements of each request, by a proxy before the database."""
    with CountingProxy(settings.database_url) as proxy:
        proxied = settings_for(proxy.url, provider.port)
        with running(proxied, None, folder / "counted.log"):
            return count_over_http(provider, proxy, scenarios)


def hash_rate(settings: Settings, core: int | None) -> float:
    """Return how many passwords a second of the core's time verifies, without anything else."""
    hasher = Hasher(settings)
    stored = hasher.hash(_PASSWORD, "sign_in")
    with machine.pinned(core):
        began = time.process_time()
        for _ in range(_HASHES):
            hasher.verify(stored, _PASSWORD, "sign_in")
        return _HASHES / (time.process_time() - began)
