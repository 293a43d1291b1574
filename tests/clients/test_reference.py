"""`python -m clients.reference` on the real provider: it gets in, and says by which check it does not."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from idp.app import create_app
from idp.db import db
from idp.services import services_of
from tests import forked
from tests.builders import PASSWORD as PARENT_PASSWORD, PROVISIONAL, Build
from tests.clients.fake_provider import CLIENT_ID, CLIENT_SECRET, FakeProvider, running_provider
from tests.commands.processes import connect, free_port, running
from tests.databases import postgresql_copy, settings_for
from tests.protocol.ent_server import authority, listening_ent
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
    password: str = PARENT_PASSWORD
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


if TYPE_CHECKING:
    import subprocess

SECRET, PASSWORD = "REFERENCE_CLIENT_SECRET", "REFERENCE_PASSWORD"


def run(*arguments: str, **secrets: str) -> "subprocess.CompletedProcess[str]":
    """Run the command with these secrets in its environment, and nothing else of ours."""
    environment = {"PATH": os.environ["PATH"], "PYTHONWARNINGS": "error", **secrets}
    return forked.run("clients.reference", *arguments, env=environment, timeout=300)


def signing_in(service: Service, *more: str, **changes: str) -> "subprocess.CompletedProcess[str]":
    """Sign in once; a change replaces an argument or a secret, and the last of two arguments counts."""
    options = {"issuer": service.issuer, "client_id": service.client_id, "redirect_uri": REDIRECT_URI}
    options |= {"username": service.username} | {k: v for k, v in changes.items() if k not in {"secret", "password"}}
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    secret, password = changes.get("secret", service.secret), changes.get("password", service.password)
    done = run(*arguments, "--once", *more, **{SECRET: secret, PASSWORD: password})
    output = done.stdout + done.stderr
    assert "Traceback" not in output, output
    for hidden in (secret, password, service.secret, service.password):
        assert not hidden or hidden not in output
    assert not re.search(r"eyJ|code=|[\w-]{40}", output), "neither a token nor a code nor a verifier is printed"
    return done


def read_failed_check(done: "subprocess.CompletedProcess[str]") -> str:
    assert done.returncode == 1, done.stdout + done.stderr
    [line] = done.stderr.splitlines()
    match = re.fullmatch(r"refused {2}(\w+: \w+): .+", line)
    assert match, line
    return match[1]


@pytest.fixture(scope="module")
def service(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    with postgresql_copy(shared) as url, running_service(url, folder) as running:
        yield running


@pytest.fixture
def liar() -> Iterator[FakeProvider]:
    """The provider that can be told to lie, which asks nobody for a password."""
    with running_provider() as provider:
        yield provider


def shown(liar: FakeProvider) -> Service:
    return Service(liar.issuer, CLIENT_ID, CLIENT_SECRET, "", "")


CHECKS = {
    "discovery": "metadata_issuer metadata",
    "pages": "profile sign_in charter response_iss state",
    "tokens": "code alg crit kid key signature typ iss aud azp exp iat nonce sub at_hash userinfo_sub FrEduVecteur",
    "refresh": "refresh_token alg crit kid key signature typ iss aud azp exp iat sub auth_time at_hash userinfo_sub",
    "logout": "end_session_endpoint post_logout_redirect_uri response_iss state signed_out",
}


def test_a_parent_gets_in_renews_and_gets_out(database_url: str, tmp_path: Path) -> None:
    with running_service(database_url, tmp_path) as service:
        done = signing_in(service, "--refresh", "--logout", f"--post-logout-redirect-uri={BACK}")
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stderr == ""
        lines = done.stdout.splitlines()
        for step, checks in CHECKS.items():
            for check in checks.split():
                assert f"ok       {step}: {check}" in lines
        again = signing_in(service)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "ok       pages: charter" not in again.stdout, "it was accepted"
    assert "refresh:" not in again.stdout
    assert "logout:" not in again.stdout


def test_secrets_come_in_files_too(service: Service, tmp_path: Path) -> None:
    secret, password = tmp_path / "secret", tmp_path / "password"
    secret.write_text(f"{service.secret}\n")
    password.write_text(f"{service.password}\n", encoding="utf-8")
    files = (f"--client-secret-file={secret}", f"--password-file={password}")
    assert signing_in(service, *files, secret="", password="").returncode == 0


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"secret": "un-autre-secret"}, "tokens: token"),
        ({"secret": ""}, "tokens: token"),
        ({"client_id": "inconnu"}, "pages: page"),
        ({"redirect_uri": "http://127.0.0.1:9/ailleurs"}, "pages: page"),
        ({"redirect_uri": f"{REDIRECT_URI}/"}, "pages: page"),
        ({"password": "un-autre-mot-de-passe"}, "pages: sign_in"),
        ({"username": "personne"}, "pages: sign_in"),
        ({"username": "", "password": ""}, "pages: sign_in"),
        ({"scope": "openid address"}, "tokens: authorization"),
        ({"id_token_alg": "ES256"}, "tokens: alg"),
        ({"userinfo_alg": "RS256"}, "tokens: userinfo_signed"),
        ({"issuer": "http://127.0.0.1:9"}, "discovery: discovery"),
    ],
)
def test_failed_check_is_named(service: Service, changes: dict[str, str], check: str) -> None:
    assert read_failed_check(signing_in(service, **changes)) == check


def test_the_provider_s_own_words_are_printed_and_no_secret(service: Service, liar: FakeProvider) -> None:
    # RFC 6749, 5.2: "error_description … used to assist the client developer in understanding the error".
    [line] = signing_in(service, scope="openid address").stderr.splitlines()
    assert line == "refused  tokens: authorization: invalid_scope: a scope is not assigned to this client"
    [line] = signing_in(service, secret="un-autre-secret").stderr.splitlines()
    assert re.fullmatch(r"refused  tokens: token: invalid_client: \w.+", line), line
    echoed = {"error": "invalid_grant", "error_description": f"{CLIENT_SECRET} \x1b[2J {'c' * 43} is not good"}
    liar.bodies["/token"] = (400, json.dumps(echoed).encode())
    [line] = signing_in(shown(liar)).stderr.splitlines()
    assert line == "refused  tokens: token: invalid_grant: … [2J … is not good"


def test_an_account_that_is_not_active_is_reported_with_an_instruction(service: Service) -> None:
    done = signing_in(service, username=service.newcomer, password=PROVISIONAL)
    assert read_failed_check(done) == "pages: page"
    assert '"Activez votre compte"' in done.stderr
    assert "in a browser first" in done.stderr


def test_a_sign_out_that_leads_elsewhere_is_refused(service: Service) -> None:
    unknown = "--post-logout-redirect-uri=https://ent.test/ailleurs"
    assert read_failed_check(signing_in(service, "--logout", unknown)) == "logout: post_logout_redirect_uri"
    assert signing_in(service, "--logout").returncode == 0


def test_missing_refresh_token_is_reported(liar: FakeProvider) -> None:
    liar.token_lie = {"refresh_token": None}
    assert read_failed_check(signing_in(shown(liar), "--refresh")) == "refresh: refresh_token"


def test_the_code_of_an_error_cannot_write_on_the_terminal(liar: FakeProvider) -> None:
    liar.answer_lie = {"code": None, "error": "access_denied\n\x1b[2Jok"}
    done = signing_in(shown(liar))
    assert read_failed_check(done) == "tokens: authorization"
    assert "\x1b" not in done.stderr


def test_a_named_authority_wins_over_the_environment(tmp_path: Path) -> None:
    # The pages too: `requests` lets REQUESTS_CA_BUNDLE replace what a session is told to verify by.
    known, other = authority(tmp_path, "localhost"), authority(tmp_path, "ailleurs.test")
    with listening_ent(known.chain) as server:
        issuer = server.uri("localhost", "")
        names = ("token_endpoint", "userinfo_endpoint", "jwks_uri")
        metadata = {"issuer": issuer, "authorization_endpoint": f"{issuer}/go", **dict.fromkeys(names, f"{issuer}/x")}
        server.served["/.well-known/openid-configuration"] = (200, {}, json.dumps(metadata).encode())
        server.served["/go"] = (200, {"Content-Type": "text/html"}, b"<h1>Une page</h1>")
        arguments = (f"--issuer={issuer}", "--client-id=c", f"--redirect-uri={REDIRECT_URI}", "--once")
        for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            done = run(*arguments, f"--ca-bundle={known.trusted}", **{variable: str(other.trusted)})
            assert '"Une page"' in done.stderr, done.stderr
            done = run(*arguments, **{variable: str(known.trusted)})
            assert '"Une page"' in done.stderr, "what the environment says counts where nothing else is said"


def test_credentials_are_not_typed_into_a_form_of_another_site(service: Service) -> None:
    # The password goes to the provider that was named, whatever its pages say.
    with running_provider() as provider:
        provider.away = f"{service.issuer}/connexion"
        lured = Service(provider.issuer, CLIENT_ID, CLIENT_SECRET, service.username)
        assert read_failed_check(signing_in(lured)) == "pages: form"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("--issuer=http://ailleurs.example", "--issuer must be"),
        ("--redirect-uri=callback", "--redirect-uri must be"),
        ("--ca-bundle=/nulle/part.pem", "--ca-bundle must name"),
        ("--username=", "--username needs"),
        ("--password-file=/nulle/part", "cannot be read"),
        ("--id-token-alg=none", "--id-token-alg"),
        ("--password=tasse-de-test", "unknown"),
        ("--client-secret", "unknown: --client-secret"),
    ],
)
def test_wrong_usage_is_a_sentence_and_2(change: str, complaint: str) -> None:
    base = ("--issuer=https://connexion.exemple.fr", "--client-id=ent", "--redirect-uri=https://ent.test/callback")
    done = run(*base, "--username=n.leroy", change, **{PASSWORD: "tasse vélo"})
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert complaint in line
    assert "tasse" not in line
