"""The metrics of `idp serve`, `idp desk serve` and `idp worker` on ports of their own, whatever a client sends."""

import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Thread, active_count

import pytest
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from idp import __version__
from idp.config import Settings
from idp.metrics import listener
from idp.metrics.listener import place_of
from idp.paths import CHECKOUT
from tests.commands.processes import PATIENCE, connect, free_port, read_all, running
from tests.databases import postgresql_copy, settings_for
from tests.forked import Program
from tests.metrics.scraping import ask, numbers_of, scraped
from tests.rows import each_row
from tests.serving.test_processes import workers
from tests.waiting import wait_for

ALIVE = ("idp_http_requests_total", "endpoint=ops.alive", "status=2xx")

NOWHERE = "http://127.0.0.1:8000"


@pytest.fixture
def measured(shared: Path, tmp_path: Path) -> Iterator[Settings]:
    with postgresql_copy(shared) as url:
        yield settings_for(url, metrics_bind=f"127.0.0.1:{_three_ports()}", desk_url="https://bureau.example.test")


def _three_ports() -> int:
    while True:
        first = free_port()
        with ExitStack() as stack:
            try:
                for port in (first + 1, first + 2):
                    stack.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError:
                continue
            return first


def _port(settings: Settings) -> int:
    return int(settings.metrics_bind.rpartition(":")[2])


def test_all_workers_are_counted_together_and_a_killed_one_takes_nothing_away(
    measured: Settings, tmp_path: Path
) -> None:
    port, metrics, log = free_port(), _port(measured), tmp_path / "log"
    arguments = ("serve", "--bind", f"127.0.0.1:{port}", "--workers", "2", "--threads", "2")
    with running(measured, log, *arguments) as process:
        connect(port, process, log).close()
        for _ in range(20):
            assert ask(port, "/healthz")[0] == 200
        assert scraped(metrics)[ALIVE] == 20
        assert ask(port, "/metrics")[0] == 404, "not on the port of families"
        assert ask(metrics, "/connexion")[0] == 404
        assert ask(metrics, "/metrics", "POST")[0] == 501
        killed = _children_that_serve(process)[0]
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda: scraped(metrics)[("idp_server_workers_failed_total",)] == 1)
        assert scraped(metrics)[ALIVE] == 20
        process.terminate()
        assert process.wait(PATIENCE) == 0
    assert "Traceback" not in log.read_text()
    with pytest.raises(ConnectionRefusedError):
        ask(metrics, "/metrics")


def _children_that_serve(process: Program) -> list[int]:
    return workers(process.pid)[1:]


def test_the_supplied_proxies_lead_to_the_ports_of_pages_alone() -> None:
    configurations = [path.read_text() for path in (CHECKOUT / "deploy").glob("*.conf")]
    upstreams = [port for text in configurations for port in re.findall(r"^\s*server [\d.]+:(\d+)", text, re.MULTILINE)]
    assert sorted(upstreams) == ["8000", "8003"]
    assert all("proxy_pass http://idp" in line for text in configurations for line in re.findall("proxy_pass.*", text))


def test_the_metrics_end_with_a_killed_parent(measured: Settings, tmp_path: Path) -> None:
    log, metrics = tmp_path / "log", _port(measured) + 2
    with running(measured, log, "desk", "serve", "--bind", f"127.0.0.1:{free_port()}", "--threads", "2") as process:
        wait_for(lambda: _answers(metrics))
        assert scraped(metrics)["idp_build_info", "part=desk", f"version={__version__}"] == 1
        process.kill()
        process.wait(PATIENCE)
        wait_for(lambda: not _answers(metrics))


def _answers(port: int) -> bool:
    try:
        return ask(port, "/metrics")[0] == 200
    except OSError:
        return False


def test_the_worker_serves_what_the_database_knows_and_says_that_it_works(measured: Settings, tmp_path: Path) -> None:
    log, metrics = tmp_path / "log", _port(measured) + 1
    with running(measured, log, "worker") as process:
        wait_for(lambda: _answers(metrics))
        wait_for(lambda: scraped(metrics).get(("idp_worker_last_run_timestamp_seconds",), 0) > 0)
        seen = numbers_of(ask(metrics, "/metrics")[1])
        assert seen["idp_signing_key_age_seconds", "alg=RS256"] >= 0
        dead = ("idp_outbox_deliveries_total", "kind=backchannel.logout", "outcome=dead")
        assert seen[dead] == 0, "so that the first one is an increase"
        failed = {name[1]: value for name, value in seen.items() if name[0] == "idp_database_readings_failed"}
        assert failed == {
            f"subject={name}": 0 for name in ("outbox", "imports", "keys", "letters", "notices", "purge", "jobs")
        }
        assert ask(metrics, "/healthz") == (200, '{"status": "ok"}')
        assert _checked(measured, tmp_path / "works") == (0, "the worker works\n")
        process.terminate()
        assert process.wait(PATIENCE) == 0
    assert "Traceback" not in log.read_text()
    code, output = _checked(measured, tmp_path / "gone")
    assert (code, output) == (1, f"Error: no worker answers on 127.0.0.1:{metrics} (ConnectionRefusedError)\n")
    code, output = _checked(measured.model_copy(update={"metrics_bind": ""}), tmp_path / "unset")
    assert (code, output) == (1, "Error: the worker cannot be asked: set IDP_METRICS_BIND\n")


def _checked(settings: Settings, log: Path) -> tuple[int, str]:
    """Run `idp worker --check`; return its exit code and its output without lines of the log."""
    with running(settings, log, "worker", "--check") as process:
        code = process.wait(PATIENCE)
    return code, "".join(line for line in log.read_text().splitlines(keepends=True) if not line.startswith("{"))


def test_an_occupied_port_of_the_metrics_is_a_one_line_error(measured: Settings, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with socket.create_server(("127.0.0.1", _port(measured))), running(measured, log, "serve") as process:
        assert process.wait(PATIENCE) == 1
    place = f"127.0.0.1:{_port(measured)}"
    assert log.read_text() == f"Error: cannot listen on {place} for the metrics (Address already in use)\n"


def test_a_folder_that_is_not_there_is_a_one_line_error(
    measured: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "gone"))
    with running(measured, log, "serve") as process:
        assert process.wait(PATIENCE) == 1
    error = f"Error: cannot make the folder {tmp_path}/gone/idp-metrics-\\w+ \\(No such file or directory\\)\n"
    assert re.fullmatch(error, log.read_text())


def test_the_files_of_the_metrics_go_with_the_service(
    measured: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, log, folder = free_port(), tmp_path / "log", tmp_path / "files"
    folder.mkdir()
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(folder))
    with running(measured, log, "serve", "--bind", f"127.0.0.1:{port}", "--workers", "1") as process:
        connect(port, process, log).close()
        assert ask(port, "/healthz")[0] == 200
        assert list(folder.glob("*/counter_*.db"))
        process.terminate()
        assert process.wait(PATIENCE) == 0
    assert list(folder.iterdir()) == []


@pytest.fixture
def port() -> Iterator[int]:
    server = listener._server(socket.create_server(("127.0.0.1", 0)), CollectorRegistry(), "serve", str)
    Thread(target=server.serve_forever, daemon=True).start()
    yield int(server.server_address[1])
    server.shutdown()
    server.server_close()


@each_row(
    ("target", "accept", "status"),
    [
        ("/metrics", "text/plain", 200),
        ("/metrics", "application/openmetrics-text; version=1.0.0", 200),
        ("/metrics", "application/openmetrics-text; version=abc; escaping=zzz", 200),
        ("/metrics", "text/plain; version=1.x", 200),
        ("http://[", "text/plain", 400),
        ("/healthz", "application/openmetrics-text; version=abc", 200),
        ("/jamais", "", 404),
    ],
)
def test_a_request_is_answered_whatever_it_says(port: int, target: str, accept: str, status: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(f"GET {target} HTTP/1.0\r\nAccept: {accept}\r\n\r\n".encode())
        assert read_all(connection).split(b"\r\n")[0].split()[1:2] == [b"%d" % status]


ASK = b"GET /healthz HTTP/1.0\r\n\r\n"


def reach(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def probe(port: int) -> bytes:
    with reach(port) as connection, suppress(ConnectionError):
        connection.sendall(ASK)
        return read_all(connection)
    return b""


@pytest.mark.parametrize("begun", [b"GET /metr", b"GET /metrics HTTP/1.0\r\nX: "], ids=["in its line", "in a header"])
def test_a_request_has_a_deadline_for_the_whole(port: int, begun: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "_SECONDS", 0.5)
    with reach(port) as slow:
        slow.sendall(begun)
        slow.settimeout(0.1)
        start = time.monotonic()
        with suppress(ConnectionError):
            while time.monotonic() < start + 10:
                slow.sendall(b"s")
                with suppress(TimeoutError):
                    slow.recv(1000)
                    break
        assert 0.4 <= time.monotonic() - start < 10


def test_few_connections_are_open_at_once(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = active_count()
    with ExitStack() as stack:
        idle = [stack.enter_context(reach(port)) for _ in range(3 * listener._CONNECTIONS)]
        for refused in idle[listener._CONNECTIONS :]:
            assert refused.recv(1) == b""
        assert active_count() - threads == listener._CONNECTIONS
    wait_for(lambda: probe(port).startswith(b"HTTP/1.0 200 "))  # the server has noticed that the others are gone


@each_row(
    ("bind", "worker"),
    [("127.0.0.1:9464", ("127.0.0.1", 9465)), ("[::1]:9464", ("::1", 9465)), ("192.0.2.1:65533", ("192.0.2.1", 65534))],
)
def test_each_command_has_a_port_of_its_own(bind: str, worker: tuple[str, int]) -> None:
    assert place_of(Settings(issuer=NOWHERE, env="development", metrics_bind=bind).metrics_bind, "worker") == worker


@each_row("bind", ["127.0.0.1", "9464", ":9464", "127.0.0.1:65534", "127.0.0.1:0", "127.0.0.1:x", "metrics.fr:9464"])
def test_a_bind_that_cannot_be_used_is_refused(bind: str) -> None:
    with pytest.raises(ValidationError, match="metrics_bind"):
        Settings(issuer=NOWHERE, env="development", metrics_bind=bind)
