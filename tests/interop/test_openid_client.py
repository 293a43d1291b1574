"""A relying party that others wrote and had certified: openid-client, on Node.js, against the running service."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import select

from idp.accounts.models import Child, School
from idp.app import create_app
from idp.db import db
from idp.oidc.registration import Wanted, register
from tests.builders import COLLEGE, PASSWORD, Build
from tests.databases import sqlite_copy
from tests.stories.site import Site

HERE = Path(__file__).parent
FILES = ("package.json", "package-lock.json", "flow.mjs")
OLDEST_NODE = 18
UNREACHABLE = ("ENOTFOUND", "ECONNREFUSED", "EAI_AGAIN", "ETIMEDOUT", "ENOTCACHED", "ENETUNREACH")
ENT = "http://127.0.0.1:9"  # where nobody listens: the script takes the redirect that leads there, and stops
pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with openid-client in it; skipped with the reason where that cannot be."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not (node and npm):
        pytest.skip("Node.js and npm are not installed")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.lstrip("v").split(".")[0]) < OLDEST_NODE:
        pytest.skip(f"Node.js {OLDEST_NODE} is needed, {version.strip()} is installed")
    folder = tmp_path_factory.mktemp("node")
    for name in FILES:
        shutil.copy(HERE / name, folder)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode and any(word in done.stderr for word in UNREACHABLE):
        pytest.skip("npm cannot fetch openid-client: no registry can be reached and it is not in npm's cache")
    assert done.returncode == 0, done.stderr
    return folder


@dataclass(frozen=True)
class Running:
    """The service, and what the script must know of it."""

    site: Site
    environment: dict[str, str]


@pytest.fixture
def running(shared: Path, tmp_path: Path, worker_id: str) -> Iterator[Running]:
    """The web server alone, with a client and a parent who is at home there."""
    with sqlite_copy(shared, tmp_path) as database_url:
        site = Site.on(database_url, tmp_path, worker_id)
        app = create_app(site.settings)
        with app.app_context():
            wanted = Wanted(
                name="ENT certifié",
                redirect_uris=[f"{ENT}/cb"],
                post_logout_redirect_uris=[f"{ENT}/bye"],
                uais=[COLLEGE],
                scopes="openid profile email ent charter offline_access",
                charter="none",
            )
            client, secret = register(site.settings, wanted)
            pupil = db.session.scalars(select(Child).join(School).where(School.uai == COLLEGE)).first()
            assert pupil is not None
            account = Build(site.settings).active(children=[pupil])
            environment = {
                "ISSUER": site.settings.issuer,
                "CLIENT_ID": client.client_id,
                "CLIENT_SECRET": str(secret),
                "REDIRECT_URI": f"{ENT}/cb",
                "POST_LOGOUT_URI": f"{ENT}/bye",
                "LOGIN": account.username,
                "PASSWORD": PASSWORD,
            }
            db.session.remove()
            db.engine.dispose()
            app.extensions["idp.server"].store.close()
        site.start("provider")
        try:
            yield Running(site, environment)
        finally:
            site.stop()


def flow(folder: Path, running: Running) -> dict[str, Any]:
    """Run the script; return what it saw."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **running.environment}
    done = subprocess.run(
        ["node", "flow.mjs"], cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"{done.stderr}\n{running.site.log('provider')}"
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def test_openid_client_goes_from_discovery_to_logout(node: Path, running: Running) -> None:
    seen = flow(node, running)
    issuer = running.site.settings.issuer
    assert seen["metadata"]["issuer"] == issuer
    assert seen["answer"]["iss"] == issuer, "RFC 9207; the library refuses an answer without it once it is announced"
    assert seen["metadata"]["authorization_response_iss_parameter_supported"] is True
    claims = seen["claims"]
    assert claims["aud"] == running.environment["CLIENT_ID"]
    assert {"iss", "sub", "exp", "iat", "auth_time", "nonce", "sid", "at_hash"} <= claims.keys()
    userinfo = seen["userinfo"]
    assert userinfo["sub"] == claims["sub"]
    assert userinfo["preferred_username"] == running.environment["LOGIN"]
    assert (userinfo["given_name"], userinfo["family_name"]) == ("Noémie", "LEROY-VANDEPUTTE")
    assert (userinfo["email"], userinfo["email_verified"]) == ("noemie.leroy@exemple.fr", True)
    assert userinfo["uai"] == [COLLEGE]
    assert set(seen["scope"].split()) == {"openid", "profile", "email", "ent", "charter", "offline_access"}
    assert seen["renewed"] == {"access_token": True, "refresh_token": True}
    assert (seen["same_person"], seen["same_sign_in"]) == (True, True)
    assert seen["replay"] == "invalid_grant"
    assert seen["refused"] == "login_required"
    assert seen["end_session"] == f"{issuer}/logout"
    left = urlsplit(seen["left"])
    assert f"{left.scheme}://{left.netloc}{left.path}" == f"{ENT}/bye"
    assert parse_qs(left.query) == {"state": ["au-revoir"]}
    assert seen["after"] == "login_required", "the session is over"
