"""The health checks of deploy/compose.yaml: 0 beside a service that works, not 0 beside one that is broken."""

import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from tests.commands.processes import PATIENCE, free_port, running
from tests.database.standby import Server, embedded
from tests.databases import settings_for
from tests.deployment.test_compose import SERVICES
from tests.protocol.ent_server import authority
from tests.serving.proxy import nginx, program, supplied
from tests.waiting import wait_for

PORTS = {"provider": 8000, "desk": 8003, "worker": 9465, "proxy": 443}
"""Where the services listen, in the network of compose.yaml."""


def health(service: str, port: int) -> int:
    """Run the health check of a service of compose.yaml, which listens on `port` here; return its exit code."""
    kind, name, *arguments = SERVICES[service]["healthcheck"]["test"]
    assert kind == "CMD", "without a shell"
    if service == "database":
        name, environment = str(embedded._commands.POSTGRES_BIN_PATH / name), {"PGPORT": str(port)}
    else:
        host = "127.0.0.1" if service == "proxy" else f"127.0.0.1:{PORTS[service]}"
        assert " ".join(arguments).count(host) == 1
        arguments = [argument.replace(host, f"127.0.0.1:{port}") for argument in arguments]
        name, environment = {"/opt/idp/bin/python": sys.executable}.get(name) or program(name), {}
    command = [name, *arguments]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, timeout=60, check=False
    ).returncode


def lose_a_table(database_url: str) -> None:
    """Let the service live, and not be ready."""
    with psycopg.connect(database_url) as connection:
        connection.execute("ALTER TABLE signing_key RENAME TO lost")


@pytest.mark.parametrize("service", ["provider", "desk"])
def test_a_server_is_healthy_until_it_ends(database_url: str, tmp_path: Path, service: str) -> None:
    """The provider is asked whether it can serve; the desk whether it lives."""
    port, log = free_port(), tmp_path / "log"
    *command, bind = SERVICES[service]["command"]
    assert bind == f"127.0.0.1:{PORTS[service]}"
    with running(settings_for(database_url), log, *command, f"127.0.0.1:{port}") as process:
        wait_for(lambda: health(service, port) == 0, tell=log.read_text)
        lose_a_table(database_url)
        assert (health(service, port) == 0) is (service == "desk")
        process.terminate()
        process.wait(PATIENCE)
    assert health(service, port) != 0


def test_the_worker_is_healthy_until_it_stands_still_or_ends(database_url: str, tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log"
    settings = settings_for(database_url, metrics_bind=f"127.0.0.1:{port - 1}")
    with running(settings, log, *SERVICES["worker"]["command"]) as process:
        wait_for(lambda: health("worker", port) == 0, tell=log.read_text)
        os.kill(process.pid, signal.SIGSTOP)
        assert health("worker", port) != 0
        os.kill(process.pid, signal.SIGCONT)
        wait_for(lambda: health("worker", port) == 0, tell=log.read_text)
        process.terminate()
        process.wait(PATIENCE)
    assert health("worker", port) != 0


@pytest.mark.interop
def test_the_proxy_is_healthy_until_it_ends_even_if_no_service_is_behind_it(tmp_path: Path) -> None:
    """A proxy without a service has a page for the families, and no restart of the proxy would help them."""
    port = free_port()
    site = supplied(tmp_path, port, free_port(), authority(tmp_path, "localhost").chain)
    with nginx(tmp_path / "nginx", port, site):
        assert health("proxy", port) == 0
    assert health("proxy", port) != 0


@pytest.mark.interop
def test_a_service_that_accepts_connections_and_does_not_answer_is_not_healthy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor(len(PORTS)) as threads:
        codes = list(threads.map(lambda service: health(service, silent.getsockname()[1]), PORTS))
    assert 0 not in codes


def test_the_database_is_healthy_when_it_listens_to_the_network_and_not_before(tmp_path: Path) -> None:
    """At its first start the image runs a server on the socket alone, and ends it: the migrations must not begin."""
    port, server = free_port(), Server(tmp_path / "server")
    data, by_network = str(server.folder), f"-h 127.0.0.1 -p {port} -k {server.host}"
    try:
        assert server.sql("SELECT 1") == [(1,)]
        assert health("database", port) != 0
        server.run("pg_ctl", "restart", "-w", "-D", data, "-l", f"{data}/log", "-o", by_network)
        assert health("database", port) == 0
        server.run("pg_ctl", "restart", "-w", "-D", data, "-l", f"{data}/log", "-o", f"-h '' -p 5432 -k {server.host}")
        assert health("database", port) != 0
    finally:
        server.end()
