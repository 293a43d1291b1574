"""The real provider as a process on loopback, with a registered ENT and a parent with an account."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from idp.app import create_app
from idp.db import db
from idp.services import services_of
from tests.builders import PASSWORD, Build
from tests.commands.processes import connect, free_port, running
from tests.databases import settings_for
from tests.protocol.flow import OFFLINE

REDIRECT_URI = "http://127.0.0.1:9/callback"
"""No server listens there: the headless client does not open the redirect URI."""
BACK = "https://ent.test/bye"


@dataclass(frozen=True)
class Service:
    issuer: str
    client_id: str
    secret: str
    username: str
    password: str = PASSWORD
    newcomer: str = ""  # a parent with a letter, not activated


@contextmanager
def running_service(database_url: str, folder: Path, **client: object) -> Iterator[Service]:
    """Run the provider with an ENT with `--charter provider`; `client` changes its registration."""
    port = free_port()
    issuer = f"http://127.0.0.1:{port}"
    settings = settings_for(database_url, issuer=issuer, env="development", new_device_mail=False)
    app = create_app(settings)
    with app.app_context():
        build = Build(settings)
        agreed: dict[str, object] = {
            "redirect_uris": [REDIRECT_URI],
            "charter": "provider",
            "scopes": OFFLINE,
            **client,
        }
        ent = build.ent(**agreed)  # type: ignore[arg-type]
        build.publish(ent, "1")
        username, newcomer = build.active().username, build.never_activated().username
        db.session.remove()
        db.engine.dispose()
        services_of(app).close()
    log = folder / "serve.log"
    with running(settings, log, "serve", "--bind", f"127.0.0.1:{port}", "--workers", "1") as process:
        connect(port, process, log).close()
        yield Service(issuer, ent.client_id, ent.secret or "", username, newcomer=newcomer)
