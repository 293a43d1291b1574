"""The processes of a demonstration: their commands, their environments, and how to check that they answer."""

import http.client
import json
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import SecretStr

from demo.ents import HOST, DemoEnt
from demo.supervisor import Child
from idp.config import PREFIX, Settings

SERVICE_HOST = "localhost"
"""The host of the service: browsers make no passkey for an IP. The ENTs have another one, as a real ENT has."""
DESK_OFFSET, SMTP_OFFSET, WEB_OFFSET = 3, 25, 26
_PROBE_SECONDS = 2.0


def ports_of(port: int) -> dict[int, str]:
    """Return every port of the demonstration at `port`, with the name of what listens there."""
    return {
        port: "the service",
        port + 1: "the first ENT",
        port + 2: "the second ENT",
        port + DESK_OFFSET: "the school desk",
        port + SMTP_OFFSET: "receiving mails",
        port + WEB_OFFSET: "the page of the mails",
    }


def exported(settings: Settings) -> dict[str, str]:
    """Return the environment with which another `idp` process reads the same settings."""
    return {f"{PREFIX}{name.upper()}": _written(getattr(settings, name)) for name in sorted(settings.model_fields_set)}


def _written(value: object) -> str:
    match value:
        case SecretStr():
            return value.get_secret_value()
        case Path():
            return str(value.resolve())
        case bool():
            return str(value).lower()
        case tuple():
            return json.dumps([_written(part) for part in value])
        case _:
            return str(value)


def service(settings: Settings, port: int) -> list[Child]:
    """Return the processes of the service: the web server, the school desk and the outbox worker."""
    idp = str(Path(sys.executable).with_name("idp"))
    environment = exported(settings)
    return [
        Child(
            "provider",
            "the service",
            [idp, "serve", "--bind", f"{HOST}:{port}"],
            environment,
            lambda: answers_http(port, "/readyz"),
        ),
        Child(
            "desk",
            "the school desk",
            [idp, "desk", "serve", "--bind", f"{HOST}:{port + DESK_OFFSET}"],
            environment,
            lambda: answers_http(port + DESK_OFFSET, "/readyz"),
        ),
        Child("worker", "the outbox worker", [idp, "worker"], environment),
    ]


def neighbours(settings: Settings, port: int, ents: Sequence[DemoEnt], folder: Path) -> list[Child]:
    """Return the processes around the service, which use only its HTTP and SMTP: the ENTs and the mail catcher."""
    smtp_port, web_port = port + SMTP_OFFSET, port + WEB_OFFSET
    ports = ["--smtp-port", str(smtp_port), "--web-port", str(web_port)]
    return [
        *(_ent(settings, ent, folder) for ent in ents),
        Child(
            "catcher",
            "the mail catcher",
            [sys.executable, "-m", "demo.catcher", *ports, "--store", str(folder / "mails")],
            answers=lambda: answers_http(web_port, "/mails.json") and answers_smtp(smtp_port),
        ),
    ]


def _ent(settings: Settings, ent: DemoEnt, folder: Path) -> Child:
    return Child(
        ent.client_id,
        f"the ENT {ent.name}",
        [sys.executable, "-m", "clients.ent"],
        {
            "ENT_ISSUER": settings.issuer,
            "ENT_CLIENT_ID": ent.client_id,
            "ENT_CLIENT_SECRET": ent.client_secret,
            "ENT_NAME": ent.name,
            "ENT_TAGLINE": ent.tagline,
            "ENT_ACCENT": ent.accent,
            "ENT_SCHOOLS": "; ".join(f"{school.uai}={school.name}" for school in ent.schools),
            "ENT_BIND": f"{HOST}:{ent.port}",
            "ENT_PUBLIC_URL": ent.url,
            "ENT_DATABASE": str(folder / f"{ent.client_id}.db"),
            "ENT_SECRET_KEY": ent.secret_key,
        },
        _answers_home(ent.port),
    )


def _answers_home(port: int) -> Callable[[], bool]:
    return lambda: answers_http(port, "/")


def answers_http(port: int, path: str) -> bool:
    """Return whether `path` at 127.0.0.1:`port` answers with 200."""
    connection = http.client.HTTPConnection(HOST, port, timeout=_PROBE_SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def answers_smtp(port: int) -> bool:
    """Return whether an SMTP server greets with 220 at 127.0.0.1:`port`."""
    try:
        with socket.create_connection((HOST, port), timeout=_PROBE_SECONDS) as connection:
            greeting = connection.recv(3)
            connection.sendall(b"QUIT\r\n")
            return greeting == b"220"
    except OSError:
        return False
