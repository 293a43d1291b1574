"""Servers of ENTs on loopback with TLS and names that a test's resolver resolves, and fixtures for requests to them."""

import datetime as dt
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from idp.config import load
from idp.http_client import connections, outgoing
from idp.http_client.outgoing import Outgoing
from tests.databases import ISSUER, SECRET

Answer = tuple[int, dict[str, str], bytes]
Behaviour = Callable[[BaseHTTPRequestHandler], Answer | None]
FINE: Answer = (200, {}, b"")


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: str


@dataclass
class EntServer:
    """The requests of one ENT, and its responses: those of `next` in order, then 200, or `served` for a GET."""

    port: int = 0
    asked: list[Asked] = field(default_factory=list)
    next: list[Answer | Behaviour] = field(default_factory=list)
    served: dict[str, Answer | Behaviour] = field(default_factory=dict)

    def uri(self, host: str = "ent.test", path: str = "/backchannel-logout") -> str:
        return f"https://{host}:{self.port}{path}"


class Resolver:
    """Replaces the system's resolver for names under `.test`, and counts the queries."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hosts: dict[str, list[str]] = {}
        self.questions: list[str] = []
        self._real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._answer)

    def _answer(self, host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if not str(host).endswith(".test"):
            return self._real(host, port, *args, **kwargs)
        self.questions.append(host)
        if host not in self.hosts:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [endpoint for ip in self.hosts[host] for endpoint in self._real(ip, port, type=socket.SOCK_STREAM)]


@dataclass(frozen=True)
class Authority:
    """A certificate authority of a test, and a certificate that it issued."""

    trusted: Path
    chain: Path


def trust_only(monkeypatch: pytest.MonkeyPatch, authorities: Path) -> None:
    """Trust only the authorities of a PEM file.

    The cache is cleared, because the service reads the system's authorities once per process.
    """
    monkeypatch.setenv("SSL_CERT_FILE", str(authorities))
    monkeypatch.setattr(outgoing, "tls_context", connections.tls_context.__wrapped__)


_SIGNS_CERTIFICATES = x509.KeyUsage(
    key_cert_sign=True,
    crl_sign=True,
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)


def authority(folder: Path, *names: str) -> Authority:
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"root of {names[0]}")])
    root_identifier = x509.SubjectKeyIdentifier.from_public_key(root_key.public_key())
    root = (
        _certificate(root_name, root_name, root_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_SIGNS_CERTIFICATES, critical=True)
        .add_extension(root_identifier, critical=False)
    )
    leaf_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    issued_by = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(root_identifier)
    leaf = (
        _certificate(leaf_name, root_name, key.public_key())
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(issued_by, critical=False)  # Python 3.13 and later ask for it
    )
    trusted, chain = folder / f"{names[0]}.root.pem", folder / f"{names[0]}.pem"
    trusted.write_bytes(root.sign(root_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    signed = leaf.sign(root_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    chain.write_bytes(private + signed)
    return Authority(trusted, chain)


def _certificate(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    moment = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - dt.timedelta(days=1))
        .not_valid_after(moment + dt.timedelta(days=30))
    )


class _Handler(BaseHTTPRequestHandler):
    timeout = 10

    @property
    def ent(self) -> EntServer:
        assert isinstance(self.server, _Server)
        return self.server.ent

    def handle_one_request(self) -> None:
        self.close_connection = True
        super().handle_one_request()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.ent.asked.append(Asked("POST", self.path, dict(self.headers), body))
        self._give(self.ent.next.pop(0) if self.ent.next else FINE)

    def do_GET(self) -> None:
        self.ent.asked.append(Asked("GET", self.path, dict(self.headers), ""))
        served, path = self.ent.served, self.path.partition("?")[0]
        answer = self.ent.next.pop(0) if self.ent.next else served.get(self.path, served.get(path))
        self._give(answer if answer is not None else (404, {}, b""))

    def _give(self, answer: Answer | Behaviour) -> None:
        response = answer(self) if callable(answer) else answer
        if response is None:
            return
        status, headers, content = response
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Do not log."""


@contextmanager
def listening_ent(chain: Path | None) -> Iterator[EntServer]:
    """Run the server of one ENT on a free port of loopback, with TLS if there is a certificate."""
    ent = EntServer()
    server = _Server(("127.0.0.1", 0), _Handler)
    server.ent = ent
    if chain is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    ent.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield ent
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    """A server whose threads end with the test. It ignores clients that disconnect, as some tests do."""

    daemon_threads = True
    block_on_close = False
    ent: EntServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore the error."""


FORM = {"logout_token": "a.b.c"}


def production(*allowed: str) -> Outgoing:
    return Outgoing(load(issuer=ISSUER, secret_key=SECRET, outgoing_allow=allowed))


@pytest.fixture(name="resolver")
def called_resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    return Resolver(monkeypatch)


@pytest.fixture(name="known")
def called_authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    certificate_authority = authority(tmp_path, "ent.test")
    trust_only(monkeypatch, certificate_authority.trusted)
    return certificate_authority


@pytest.fixture(name="ent")
def called_ent(known: Authority, resolver: Resolver) -> Iterator[EntServer]:
    resolver.hosts["ent.test"] = ["127.0.0.1"]
    with listening_ent(known.chain) as listening:
        yield listening
