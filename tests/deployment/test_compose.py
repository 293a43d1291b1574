"""deploy/compose.yaml is valid, hardens each of its services, and its health checks see a broken one."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from click.testing import CliRunner

from idp import cli
from idp.paths import CHECKOUT
from tests.commands.processes import PATIENCE, free_port, running
from tests.database.standby import Server, embedded
from tests.databases import settings_for
from tests.deployment.clean_root import tool
from tests.protocol.ent_server import authority
from tests.serving.proxy import DEBIAN, adapted, nginx, program, raised, supplied
from tests.waiting import wait_for

DEPLOY = CHECKOUT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


@pytest.mark.interop
def test_compose_follows_its_specification() -> None:
    import jsonschema  # noqa: PLC0415 - it builds 38 grammars, for two seconds in each process of the tests

    specification = json.loads(tool("COMPOSE_SPECIFICATION").read_text(encoding="utf-8"))
    jsonschema.validate(COMPOSE, specification)


def test_no_service_of_compose_may_write_to_its_image_or_gain_rights() -> None:
    assert set(SERVICES) == {
        "network",
        "upkeep",
        "provider",
        "desk",
        "worker",
        "proxy",
        "database",
        "mail",
    }
    for name, service in SERVICES.items():
        assert service["read_only"], name
        if "env_file" in service:
            assert (service["cap_drop"], service["security_opt"]) == (["ALL"], ["no-new-privileges:true"]), name


def test_commands_of_compose_are_commands_of_idp() -> None:
    commands = [service["command"] for service in SERVICES.values() if "env_file" in service and "command" in service]
    assert len(commands) == 3
    for command in commands:
        done = CliRunner().invoke(cli.cli, [*command, "--help"])
        assert done.exit_code == 0, done.output


def test_compose_mounts_the_configurations_of_nginx_as_they_are() -> None:
    sources = {volume.split(":")[0] for volume in SERVICES["proxy"]["volumes"]} - {"./tls"}
    assert len(sources) == len(SERVICES["proxy"]["volumes"]) - 1, "the operator brings the certificate"
    assert [source for source in sources if not (DEPLOY / source).is_file()] == []
    for name, conf in (("provider", "nginx.conf"), ("desk", "nginx-desk.conf")):
        bind = SERVICES[name]["command"][-1]
        assert re.search(rf"server {re.escape(bind)}[; ]", (DEPLOY / conf).read_text(encoding="utf-8"))


def test_the_proxy_of_compose_starts_with_the_connections_of_the_guide(tmp_path: Path) -> None:
    [*_, script] = SERVICES["proxy"]["command"]
    *_, change, start = script.splitlines()
    assert start.startswith("exec nginx -c /run/nginx.conf ")
    mounted = {target: source for source, target, _ in (volume.split(":") for volume in SERVICES["proxy"]["volumes"])}
    (tmp_path / "nginx.conf").write_text(DEBIAN, encoding="utf-8")
    places = {
        "/etc/idp/nginx-connections.sed": DEPLOY / mounted["/etc/idp/nginx-connections.sed"],
        "/etc/nginx/nginx.conf": tmp_path / "nginx.conf",
        "/run/nginx.conf": tmp_path / "raised.conf",
    }
    subprocess.run(["sh", "-euc", adapted(change, {name: str(path) for name, path in places.items()})], check=True)
    assert (tmp_path / "raised.conf").read_text(encoding="utf-8") == raised(DEBIAN)


def test_wrong_settings_stop_compose_before_the_tables_change() -> None:
    *_, script = SERVICES["upkeep"]["entrypoint"]
    assert script.splitlines() == [
        "idp config check",
        "until idp db upgrade; do sleep 2; done",
        "idp keys rotate --if-none",
        "touch /tmp/ready",
        "while idp purge; do sleep 86400; done",
    ]


def test_no_service_waits_for_one_that_ends() -> None:
    conditions = [
        dependency["condition"]
        for service in SERVICES.values()
        if isinstance(service.get("depends_on"), dict)
        for dependency in service["depends_on"].values()
    ]
    assert len(conditions) == 4
    assert set(conditions) == {"service_healthy"}


def test_health_checks_of_compose_have_no_blanks_within_their_words() -> None:
    words = [word for service in SERVICES.values() for word in service.get("healthcheck", {}).get("test", [])]
    assert words
    assert [word for word in words if " " in word] == []


def test_an_upgrade_of_the_service_starts_neither_the_network_nor_the_proxy_nor_the_database_again() -> None:
    stable = {"network", "proxy", "database", "mail"}
    assert {name for name, service in SERVICES.items() if "IDP_IMAGE" in service["image"]} == set(SERVICES) - stable


def test_all_services_share_one_network_whose_ports_alone_are_open() -> None:
    assert {service.get("network_mode") for name, service in SERVICES.items() if name != "network"} == {
        "service:network"
    }
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["network"]
    assert SERVICES["network"]["ports"][:2] == ["80:80", "443:443"]
    assert all(port.startswith("127.0.0.1:") for port in SERVICES["network"]["ports"][2:])


def test_the_database_of_compose_asks_every_service_for_the_password_of_a_role_without_rights() -> None:
    """`initdb` trusts connections from 127.0.0.1, which here are those of the proxy and of the mailbox too."""
    environment = SERVICES["database"]["environment"]
    assert environment == {
        "POSTGRES_INITDB_ARGS": "--auth-host=scram-sha-256",
        "POSTGRES_PASSWORD_FILE": "/run/secrets/database-password",
    }, "the image would make a superuser of another user"
    assert "./database.sql:/docker-entrypoint-initdb.d/idp.sql:ro" in SERVICES["database"]["volumes"]


def test_secrets_of_compose_are_files_that_git_ignores() -> None:
    ignored = (CHECKOUT / ".gitignore").read_text(encoding="utf-8").splitlines()
    brought = {"environment", "database-password", "tls/", "files/", ".env"}
    assert {f"deploy/{name}" for name in brought} <= set(ignored)


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
