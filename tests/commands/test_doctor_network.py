"""`idp doctor` asks the mail server, the public URL and the servers of ENTs; `idp mail test` sends a mail."""

import errno
import http.client
import json
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from pydantic import SecretStr
from sqlalchemy.exc import OperationalError

from idp import __version__
from idp.config import Settings
from idp.http_client.outgoing import Outgoing
from idp.mail.smtp import Transport
from idp.operations.checks import commands, database, delivery, proxy
from idp.operations.checks.finding import Finding, Site
from idp.operations.checks.proxy import Arrived
from idp.operations.health import ECHO_HEADER, sign_echo
from tests.builders import Build
from tests.commands.conftest import Run, check_refusal
from tests.databases import ISSUER, settings_for
from tests.dpop_party import Key
from tests.mail.servers import Mailbox, certificate, smtp_server
from tests.protocol.ent_server import Resolver, authority, listening_ent, trust_only
from tests.rows import each_row
from tests.services import changed_services

USER = "smtp+starttls://secretariat:p%40ss%2Fword@127.0.0.1"


def greeted(app: Flask, settings: Settings, smtp_url: str) -> tuple[str, str]:
    transport = Transport(settings_for(settings.database_url, smtp_url=smtp_url))
    with changed_services(app, transport=transport):
        [finding] = delivery.check_mail_server(Site(settings))
    assert finding.advice or finding.state == "ok"
    assert "p@ss" not in str(finding)
    return finding.state, finding.result


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
def test_a_mail_server_is_greeted_with_tls_and_a_user_and_gets_no_mail(
    app: Flask, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mailbox, certified = Mailbox(), certificate(tmp_path, "127.0.0.1")
    with smtp_server(mailbox, starttls=certified.context, auth=True) as port:
        monkeypatch.setenv("SSL_CERT_FILE", str(certified.file))
        state, result = greeted(app, settings, f"{USER}:{port}")
        assert (state, result) == ("ok", f"smtp+starttls://127.0.0.1:{port}: TLSv1.3, authenticated")
        assert greeted(app, settings, f"{USER.replace('word', 'wrong')}:{port}")[0] == "fault", "wrong password"
        monkeypatch.delenv("SSL_CERT_FILE")
        state, result = greeted(app, settings, f"{USER}:{port}")
        assert (state, result[:11]) == ("fault", "TLS failed:")
    assert greeted(app, settings, "smtp://127.0.0.1:1")[0] == "fault", "nobody listens"
    assert mailbox.envelopes == []


def test_a_test_mail_is_sent_at_once(idp: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    mailbox = Mailbox()
    with smtp_server(mailbox) as port:
        monkeypatch.setenv("IDP_SMTP_URL", f"smtp://127.0.0.1:{port}")
        idp("mail", "test", "ingenieur@exemple.fr")
        [sent] = mailbox.mails()
        assert (sent["To"], sent["Subject"]) == ("ingenieur@exemple.fr", "Mail d’essai")
        mailbox.at_rcpt = "550 unknown user"
        check_refusal(idp("mail", "test", "ingenieur@exemple.fr"), "Error: the mail was not sent: 550 unknown user\n")
    assert idp("mail", "test", "ingenieur@exemple.fr").code == 1, "nobody listens"
    assert idp("mail", "test", "a@exemple.fr, b@exemple.fr").code == 2


def test_healthz_says_what_arrived_to_holders_of_the_secret_key_only(browser: FlaskClient, settings: Settings) -> None:
    other = settings_for(settings.database_url, secret_key="another secret key, of 32 bytes or more: 9876543210")
    for value in ("", "x", sign_echo(other), "é"):
        assert browser.get("/healthz", headers={ECHO_HEADER: value}).get_json() == {"status": "ok"}
    answer = browser.get("/healthz", headers={ECHO_HEADER: sign_echo(settings), "X-Forwarded-For": "198.51.100.7"})
    arrived = Arrived(**answer.get_json()["seen"])
    assert (arrived.scheme, arrived.has_forwarded, arrived.is_desk) == ("https", True, False)
    assert answer.get_json()["readiness"] == {"status": "ok", "cause": ""}


def test_healthz_says_to_the_doctor_why_the_database_is_away(
    browser: FlaskClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = 'could not read root certificate file "/etc/idp/base.crt": Permission denied'

    def fail(*_arguments: object) -> None:
        raise OperationalError("", {}, Exception(written))

    monkeypatch.setattr("idp.operations.health.db.engine.connect", fail)
    answer = browser.get("/healthz", headers={ECHO_HEADER: sign_echo(settings)})
    assert (answer.status_code, answer.get_json()["status"]) == (200, "ok"), "the process lives"
    cause = "the file that sslrootcert names cannot be read."
    assert answer.get_json()["readiness"] == {"status": "database", "cause": cause}
    assert browser.get("/readyz").get_json() == {"status": "database"}
    assert browser.get("/healthz").get_json() == {"status": "ok"}


HOST = ISSUER.removeprefix("https://")
GOOD = {"ip": "198.51.100.7", "scheme": "https", "host": HOST, "has_forwarded": True}


@each_row(
    ("proxies", "changed", "state", "advice"),
    [
        (1, {}, "ok", ""),
        (1, {"ip": "203.0.113.99"}, "fault", "lower IDP_TRUSTED_PROXIES"),
        (1, {"has_forwarded": False}, "fault", "does not set X-Forwarded-For"),
        (1, {"scheme": "http"}, "fault", "let the proxy set X-Forwarded-Proto"),
        (2, {"scheme": "http"}, "fault", "fewer proxies set X-Forwarded-Proto than IDP_TRUSTED_PROXIES says"),
        (1, {"host": "127.0.0.1:8000"}, "warning", f"Host: {HOST}"),
        (0, {"scheme": "http"}, "fault", "set IDP_TRUSTED_PROXIES"),
        (0, {}, "ok", ""),
    ],
)
def test_headers_that_arrive_are_judged(
    app: Flask, settings: Settings, proxies: int, changed: dict[str, object], state: str, advice: str
) -> None:
    declared = settings.model_copy(update={"trusted_proxies": proxies})
    [finding] = proxy.judge(declared, Arrived(**{**GOOD, **changed}))  # type: ignore[arg-type]
    assert finding.state == state
    assert advice in finding.advice


def test_the_public_url_is_asked(
    app: Flask, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    certified = authority(tmp_path, "connexion.test")
    Resolver(monkeypatch).hosts["connexion.test"] = ["127.0.0.1"]
    with listening_ent(certified.chain) as served:
        host = f"connexion.test:{served.port}"
        more = {"issuer": f"https://{host}", "ca_bundle": certified.trusted, "trusted_proxies": 1}
        site = Site(settings_for(settings.database_url, **more))
        ready = {"status": "ok", "cause": ""}
        seen = {"ip": "198.51.100.7", "scheme": "https", "host": host, "has_forwarded": True}

        def check_answer(answer: object, status: int = 200) -> list[Finding]:
            served.served["/healthz"] = (status, {}, json.dumps(answer).encode())
            return list(proxy.check(site))

        strange: list[object] = [{"status": 7}, {"cause": "x"}, [1], "x", None]
        later_release = {"readiness": {**ready, "since": 7}, "seen": {**seen, "tls": 1}}
        for answer, states in (
            ({"readiness": ready, "seen": seen}, ["ok", "ok", "ok"]),
            (later_release, ["ok", "ok", "ok"]),
            ({"seen": seen}, ["ok", "unknown", "ok"]),
            (
                {"readiness": ready, "seen": seen, "failures": {"number": 3, "minutes": 7}},
                ["ok", "ok", "warning", "ok"],
            ),
            ({"readiness": ready, "seen": seen, "failures": {"number": 3, "minutes": 1440}}, ["ok", "ok", "ok"]),
            *(({"readiness": each, "seen": seen}, ["ok", "unknown", "ok"]) for each in strange),
            *(({"seen": each}, ["fault"]) for each in ({"ip": 7}, {"ip": "198.51.100.7"}, {}, *strange)),
            ({"status": "ok"}, ["fault"]),
            ([], ["fault"]),
        ):
            assert [finding.state for finding in check_answer(answer)] == states, answer
        assert served.asked[0].headers["X-Forwarded-For"] == "203.0.113.99", "the proxy must not pass it on"
        assert [finding.state for finding in check_answer({"readiness": ready, "seen": seen}, 502)] == ["fault"]
        away = {"status": "database", "cause": "the file cannot be read."}
        [_, readiness, _] = check_answer({"readiness": away, "seen": seen})
        assert (readiness.check, readiness.state, readiness.advice) == ("readiness", "fault", "the file cannot be read")
        assert readiness.result == "the running service is not ready: database"
        with monkeypatch.context() as later:
            later.setattr(proxy, "_SOON", timedelta(days=40))
            assert next(iter(proxy.check(site))).state == "warning", "the certificate ends soon"
        [finding] = proxy.check(Site(site.settings.model_copy(update={"ca_bundle": None})))
        assert (finding.state, "certificate" in finding.result) == ("fault", True)
    [finding] = proxy.check(site)
    assert (finding.state, "the connection is refused" in finding.result) == ("fault", True)


@each_row(
    ("error",), [(TimeoutError(),), (OSError(errno.ENETUNREACH, "Network is unreachable"),), (socket.gaierror(),)]
)
def test_what_cannot_be_seen_from_this_machine_is_no_fault(
    app: Flask, settings: Settings, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    def fail(*_arguments: object) -> None:
        raise error

    monkeypatch.setattr(proxy, "connect", fail)
    monkeypatch.setattr(proxy, "resolve", lambda *_: [])
    [finding] = proxy.check(Site(settings))
    assert (finding.state, "cannot be asked from here" in finding.result) == ("unknown", True)


def test_the_url_of_the_desk_is_asked(
    app: Flask, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As the public URL is, but the desk must answer, at a host of its own."""
    certified = authority(tmp_path, "bureau.test")
    Resolver(monkeypatch).hosts["bureau.test"] = ["127.0.0.1"]
    with listening_ent(certified.chain) as served:
        host = f"bureau.test:{served.port}"
        seen = {"ip": "198.51.100.7", "scheme": "https", "host": host, "has_forwarded": True}

        def states(*, is_desk: bool = True, failures: int = 0, **more: object) -> list[str]:
            answer = {"readiness": {"status": "ok", "cause": ""}, "seen": {**seen, "is_desk": is_desk}}
            answer["failures"] = {"number": failures, "minutes": 0}
            served.served["/healthz"] = (200, {}, json.dumps(answer).encode())
            values = {"ca_bundle": certified.trusted, "trusted_proxies": 1, "desk_url": f"https://{host}", **more}
            return [finding.state for finding in proxy.check_desk(Site(settings.model_copy(update=values)))]

        assert states(desk_url="") == ["ok"], "there is no desk"
        assert states() == ["ok", "ok", "ok"]
        assert states(issuer=f"https://{host}") == ["fault", "ok", "ok", "ok"], "the host is that of the parents"
        assert states(failures=3) == ["ok", "ok", "warning", "ok"]
        assert states(is_desk=False) == ["fault"], "the service of parents answers"


def test_each_node_says_its_version_and_whether_its_settings_are_those_of_the_command(
    app: Flask, browser: FlaskClient, settings: Settings
) -> None:
    healthy = browser.get("/healthz", headers={ECHO_HEADER: sign_echo(settings)}).get_json()
    with listening_ent(None) as served:
        url = f"http://127.0.0.1:{served.port}"

        def judged(answer: dict[str, object], of: Settings = settings) -> tuple[str, str]:
            served.served["/healthz"] = (200, {}, json.dumps(answer).encode())
            [finding] = proxy.check_nodes(Site(of, nodes=(url,)))
            assert finding.check == f"node {url}"
            return finding.state, finding.result

        ready = f"version {__version__}, ok"
        assert judged(healthy) == ("ok", f"{ready}, runs with the settings of this command")
        assert served.asked[0].headers["Host"] == HOST, "the node refuses other hosts"
        other = settings.model_copy(update={"smtp_url": SecretStr("smtp://10.0.0.9"), "code_lifetime": 30})
        assert judged(healthy, other) == ("fault", f"{ready}, runs with another IDP_CODE_LIFETIME, IDP_SMTP_URL")
        failures = "of its worker processes 3 failed since the start of the node, the last one 7 minutes ago"
        assert judged({**healthy, "failures": {"number": 3, "minutes": 7}}) == ("warning", f"{ready}; {failures}")
        assert judged({**healthy, "process": {"version": "0.0.1"}}) == ("warning", "version 0.0.1, ok")
        away = {"status": "database", "cause": "it is away."}
        assert judged({**healthy, "readiness": away}) == ("fault", f"version {__version__}, database")
        assert judged({"status": "ok"})[0] == "fault", "another secret key"
    [finding] = proxy.check_nodes(Site(settings, nodes=(url,)))
    assert (finding.state, "cannot be asked" in finding.result) == ("fault", True)


def test_a_check_that_breaks_hides_no_other(idp: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_site: Site) -> Iterator[Finding]:
        raise ZeroDivisionError("by chance")

    monkeypatch.setattr(
        commands, "_CHECKS", {"disk": broken, "permissions": lambda _site: [Finding("permissions", "fine")]}
    )
    assert idp("doctor").out.splitlines() == [
        "unknown  disk: the check broke: ZeroDivisionError: by chance",
        "         → report it to the authors",
        "ok       permissions: fine",
    ]


def test_certificates_of_ents_are_checked(
    app: Flask, settings: Settings, build: Build, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    certified = authority(tmp_path, "ent.test")
    Resolver(monkeypatch).hosts["ent.test"] = ["127.0.0.1"]

    def states(allowed: list[str]) -> list[str]:
        outgoing = Outgoing(settings_for(settings.database_url, outgoing_allow=allowed))
        with changed_services(app, outgoing=outgoing):
            findings = list(database.check_ents(Site(settings)))
        assert all(finding.advice or finding.state == "ok" for finding in findings)
        return [finding.state for finding in findings]

    assert states([]) == ["ok"], "there is no ENT"
    with listening_ent(certified.chain) as served:
        for name in ("Un", "Deux"):
            build.ent(name, backchannel_logout_uri=served.uri())
        assert states([]) == ["fault"], "the host is not public, and asked once"
        assert states(["ent.test"]) == ["fault"], "nobody trusts its certificate"
        trust_only(monkeypatch, certified.trusted)
        assert states(["ent.test"]) == ["ok"]
        monkeypatch.setattr(database, "_SOON", timedelta(days=40))
        assert states(["ent.test"]) == ["warning"]
        assert served.asked == [], "nothing was requested"
    assert states(["ent.test"]) == ["fault"], "nobody listens"


def test_an_ent_that_may_name_an_endpoint_as_audience_is_named(app: Flask, settings: Settings, build: Build) -> None:
    ent = build.ent(auth_method="private_key_jwt", jwks={"keys": [Key.new().jwk]}, assertion_audience="legacy")
    [_, finding] = database.check_ents(Site(settings))
    assert (finding.check, finding.state) == (f"assertions of ENT {ent.client_id}", "warning")
    assert f"idp client set {ent.client_id} --assertion-audience issuer" in finding.advice


def test_an_error_of_http_is_no_trace(app: Flask, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_settings: Settings, _url: str) -> None:
        raise http.client.BadStatusLine("")

    monkeypatch.setattr(proxy, "ask", fail)
    assert [finding.state for finding in proxy.check(Site(settings))] == ["unknown"]
    assert [finding.state for finding in proxy.check_desk(Site(settings))] == ["unknown"]
