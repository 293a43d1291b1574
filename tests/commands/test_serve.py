import resource
import signal
import socket
import time
from pathlib import Path

import pytest

from idp.config import Settings
from idp.serving import commands
from tests.commands.conftest import Run
from tests.commands.processes import PATIENCE, connect, free_port, read_all, running
from tests.waiting import wait_for

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_answers_and_stops_on_a_signal(settings: Settings, tmp_path: Path, number: signal.Signals) -> None:
    port, log = free_port(), tmp_path / "log"
    with running(settings, log, "serve", "--bind", f"127.0.0.1:{port}", "--workers", "2") as process:
        with connect(port, process, log) as connection:
            connection.sendall(HEALTH)
            assert read_all(connection).startswith(b"HTTP/1.1 200 ")
        process.send_signal(number)
        assert process.wait(PATIENCE) == 0
    assert f'"url": "http://127.0.0.1:{port}", "workers": 2, "threads": 32' in log.read_text()
    assert "Traceback" not in log.read_text()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def test_serve_completes_the_current_request_before_it_stops(settings: Settings, tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log"
    body = b"grant_type=authorization_code&code=x"
    head = (
        "POST /token HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        f"Expect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with running(settings, log, "serve", "--bind", f"127.0.0.1:{port}", "--workers", "1") as process:
        with connect(port, process, log) as warm:  # the worker has loaded the application
            warm.sendall(HEALTH)
            read_all(warm)
        with connect(port, process, log) as connection:
            connection.sendall(head.encode())
            assert connection.recv(100).startswith(b"HTTP/1.1 100 "), "it has the request in hand"
            connection.sendall(body[:10])
            process.terminate()
            time.sleep(1)
            assert process.poll() is None, "it waits for the request in hand"
            connection.sendall(body[10:])
            answer = read_all(connection)
        assert b"HTTP/1.1 401 " in answer, answer[:200]
        assert b"invalid_client" in answer
        assert process.wait(PATIENCE) == 0


def test_serve_listens_on_a_socket_file(settings: Settings, tmp_path: Path) -> None:
    path, log = Path(tmp_path, "s"), tmp_path / "log"
    with running(settings, log, "serve", "--bind", f"unix:{path}", "--workers", "1") as process:
        wait_for(path.is_socket, process, log.read_text)
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            wait_for(lambda: connection.connect_ex(str(path)) == 0)  # the file is there before the worker listens
            connection.sendall(HEALTH)
            assert read_all(connection).startswith(b"HTTP/1.1 200 ")
        process.terminate()
        assert process.wait(PATIENCE) == 0


def test_an_occupied_port_is_a_one_line_error(idp: Run) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        bind = f"127.0.0.1:{other.getsockname()[1]}"
        answer = idp("serve", "--bind", bind)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == f"Error: cannot listen on {bind} (Address already in use)\n"


def test_a_foreign_ip_is_a_one_line_error(idp: Run) -> None:
    answer = idp("serve", "--bind", "192.0.2.1:8000")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("Error: cannot listen on 192.0.2.1:8000 (")
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_worker_starts_and_stops_on_a_signal(settings: Settings, tmp_path: Path, number: signal.Signals) -> None:
    log = tmp_path / "log"
    with running(settings, log, "worker") as process:
        wait_for(lambda: "outbox.worker_started" in log.read_text(), process, log.read_text)
        process.send_signal(number)
        assert process.wait(PATIENCE) == 0
    assert "outbox.worker_stopped" in log.read_text()
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize(
    ("soft", "hard", "most"), [(1024, 1024, 768), (1024, 4096, 3840), (20_000, 20_000, 8192), (64, 64, 1)]
)
def test_connections_stay_below_the_descriptors(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, most: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _kind, _limits: None)
    assert commands._most_connections() == most
