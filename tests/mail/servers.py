"""Real SMTP servers on loopback: a correct one, and one for each fault."""

import asyncio
import ipaddress
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import partial
from pathlib import Path

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


@dataclass
class Mailbox:
    """The behaviour of the server at each command, and the received mails.

    `at_data` is the reply to the mail, sent after `delay` seconds; "drop" closes the connection without a reply.
    """

    at_rcpt: str = "250 OK"
    at_data: str = "250 OK"
    delay: float = 0
    envelopes: list[Envelope] = field(default_factory=list)
    greeted_as: list[str] = field(default_factory=list)
    logins: list[tuple[bytes, bytes]] = field(default_factory=list)
    tls: list[bool] = field(default_factory=list)
    on_mail: Callable[[], None] = lambda: None
    on_quit: Callable[[], None] = lambda: None

    def mails(self) -> list[EmailMessage]:
        """Return the parsed mails. This is no property, because aiosmtpd reads all attributes of its handler."""
        return [parsed(envelope) for envelope in self.envelopes]

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, email: str, _options: list[str]
    ) -> str:
        if self.at_rcpt.startswith("250"):
            envelope.rcpt_tos.append(email)
        return self.at_rcpt

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - same
        self.envelopes.append(envelope)
        transport = server.transport
        assert transport is not None
        self.greeted_as.append(session.host_name or "")
        self.tls.append(transport.get_extra_info("ssl_object") is not None)
        self.on_mail()
        if self.delay:
            await asyncio.sleep(self.delay)
        if self.at_data == "drop":
            transport.close()
        return self.at_data

    async def handle_QUIT(self, _server: SMTP, _session: Session, _envelope: Envelope) -> str:  # noqa: N802 - same
        self.on_quit()
        return "221 Bye"

    def authenticate(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: LoginPassword
    ) -> AuthResult:
        self.logins.append((data.login, data.password))
        return AuthResult(success=data.password == b"p@ss/word", handled=False)


def parsed(envelope: Envelope) -> EmailMessage:
    content = envelope.content
    assert isinstance(content, bytes)
    return message_from_bytes(content, policy=policy.default)


@contextmanager
def smtp_server(
    mailbox: Mailbox,
    *,
    starttls: ssl.SSLContext | None = None,
    tls: ssl.SSLContext | None = None,
    auth: bool = False,
) -> Iterator[int]:
    loop = asyncio.new_event_loop()
    protocol = partial(
        SMTP,
        mailbox,
        hostname="smtp.test",
        loop=loop,
        tls_context=starttls,
        authenticator=mailbox.authenticate if auth else None,
        auth_required=auth,
        auth_require_tls=False,
    )
    server = loop.run_until_complete(loop.create_server(protocol, "127.0.0.1", 0, ssl=tls))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(_close(server), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)
        loop.close()


async def _close(server: asyncio.Server) -> None:
    server.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate, its file for clients, and the server's TLS context."""

    file: Path
    context: ssl.SSLContext


def certificate(folder: Path, ip: str) -> Certificate:
    """Create a certificate for the IP `address`, valid for an hour."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "smtp.test")])
    moment = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - timedelta(hours=1))
        .not_valid_after(moment + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(ip))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file, key_file = folder / f"{ip}.pem", folder / f"{ip}.key"
    file.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file, key_file)
    return Certificate(file, context)
