"""The supplied proxy sends plain HTTP to HTTPS (`deploy/nginx.conf`)."""

import socket
from pathlib import Path

import pytest

from tests.commands.processes import PATIENCE, free_port, read_all
from tests.serving.proxy import nginx, supplied
from tests.serving.test_proxy_tls import rsa_certificate

pytestmark = pytest.mark.interop


def test_http_leads_to_https_and_logs_nothing(tmp_path: Path) -> None:
    """There is no upstream: nginx redirects without one."""
    port, plain, chain = free_port(), free_port(), rsa_certificate(tmp_path)
    with (
        nginx(tmp_path / "nginx", port, supplied(tmp_path, port, free_port(), chain, plain)) as log,
        socket.create_connection(("127.0.0.1", plain), timeout=PATIENCE) as connection,
    ):
        connection.sendall(b"GET /connexion?q=secret HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 301 ")
    assert b"\r\nLocation: https://localhost/connexion?q=secret\r\n" in answer
    assert "secret" not in log.read_text() + (tmp_path / "idp.log").read_text()
