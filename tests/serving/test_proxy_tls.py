"""TLS of deploy/nginx.conf. There is no upstream: only the handshake is tested."""

import socket
import ssl
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.commands.processes import PATIENCE, free_port, read_all
from tests.protocol.ent_server import authority
from tests.serving.proxy import nginx, supplied

pytestmark = pytest.mark.interop


@dataclass(frozen=True)
class Site:
    port: int
    trusted: Path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder, port = tmp_path_factory.mktemp("tls"), free_port()
    certified = authority(folder, "localhost")
    with nginx(folder / "nginx", port, supplied(folder, port, free_port(), certified.chain)):
        yield Site(port, certified.trusted)


TOO_OLD = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)
STRONG = {"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"}


def speaking(trusted: Path, version: ssl.TLSVersion, ciphers: str = "") -> ssl.SSLContext:
    client = ssl.create_default_context(cafile=trusted)
    client.set_ciphers(f"{ciphers or 'ALL'}:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # old versions are tested
        client.minimum_version = client.maximum_version = version
    return client


def agreed(port: int, client: ssl.SSLContext) -> tuple[str, str] | None:
    """Return the version and the cipher of a handshake; None if the server refuses."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as plain:
        try:
            with client.wrap_socket(plain, server_hostname="localhost") as connection:
                cipher = connection.cipher()
        except (ssl.SSLError, ConnectionError):
            return None
    assert cipher
    return cipher[1], cipher[0]


@contextmanager
def lenient(chain: Path) -> Iterator[int]:
    """Run a permissive server: a handshake that fails there is impossible with this machine's library."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(chain)
    server.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        server.minimum_version = ssl.TLSVersion.TLSv1

    def serve(listener: socket.socket) -> None:
        with suppress(OSError):  # closed at the end
            while True:
                with suppress(ssl.SSLError), listener.accept()[0] as plain:
                    server.wrap_socket(plain, server_side=True).close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = threading.Thread(target=serve, args=(listener,), daemon=True)
        serving.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    serving.join(PATIENCE)


@pytest.mark.parametrize("version", TOO_OLD, ids=["TLS 1.0", "TLS 1.1"])
def test_old_versions_of_tls_are_refused(site: Site, version: ssl.TLSVersion) -> None:
    # RFC 8996; the site must not inherit them from Debian's configuration.
    client = speaking(site.trusted, version)
    with lenient(site.trusted.with_name("localhost.pem")) as port:
        assert agreed(port, client), "this client speaks it"
    assert agreed(site.port, client) is None


def test_tls_1_2_takes_forward_secrecy_with_aes_gcm_alone(site: Site) -> None:
    # FAPI 2.0 Security Profile 5.2.2: only ciphers that RFC 9325 recommends.
    every = {cipher["name"] for cipher in speaking(site.trusted, ssl.TLSVersion.TLSv1_2).get_ciphers()}
    usual = {name for name in every if not name.startswith("TLS_")}
    assert len(usual) > len(STRONG)
    taken = {name for name in usual if agreed(site.port, speaking(site.trusted, ssl.TLSVersion.TLSv1_2, name))}
    assert taken == STRONG


def test_tls_1_2_with_an_rsa_certificate_takes_no_other_exchange(tmp_path: Path) -> None:
    port, chain = free_port(), rsa_certificate(tmp_path)
    every = {cipher["name"] for cipher in speaking(chain, ssl.TLSVersion.TLSv1_2).get_ciphers()}
    with nginx(tmp_path / "nginx", port, supplied(tmp_path, port, free_port(), chain)):
        taken = {
            name
            for name in every
            if not name.startswith("TLS_") and agreed(port, speaking(chain, ssl.TLSVersion.TLSv1_2, name))
        }
    assert taken == {name.replace("ECDSA", "RSA") for name in STRONG}


def test_tls_1_3_is_offered_and_preferred(site: Site) -> None:
    agreement = agreed(site.port, ssl.create_default_context(cafile=site.trusted))
    assert agreement
    assert agreement[0] == "TLSv1.3"


def rsa_certificate(folder: Path) -> Path:
    """Write a self-signed certificate for localhost and its RSA key into one file."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name, moment = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]), datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - timedelta(days=1))
        .not_valid_after(moment + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = folder / "rsa.pem"
    path.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    return path


def test_http_leads_to_https_and_logs_nothing(tmp_path: Path) -> None:
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
