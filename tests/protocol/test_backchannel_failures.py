"""Back-channel logout of ENTs that fail, refuse, hang or ask for a pause, and after an erasure (L-06, L-07)."""

import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler

import pytest
from flask import Flask
from flask.testing import FlaskClient

from idp.accounts.models import Account
from idp.clock import now
from idp.db import db
from idp.http_client import outgoing
from idp.operations.personal_data import rights
from idp.sessions import manager
from tests.builders import Build
from tests.protocol.ent_server import EntServer
from tests.protocol.flow import tokens_for
from tests.protocol.told_ents import (  # noqa: F401 - fixtures too
    Work,
    log_out,
    other_told_server,
    outbox,
    outcomes,
    read,
    told_ent,
    told_names,
    told_server,
    told_settings,
    told_work,
)
from tests.relying_party import RelyingParty


@pytest.mark.row("L-07")
def test_a_failed_notification_is_retried_with_a_new_token(
    browser: FlaskClient, notified_ent: RelyingParty, session: Account, work: Work, server: EntServer
) -> None:
    # Back-Channel Logout 1.0, 2.6; Security row L-07.
    log_out(browser, tokens_for(browser, notified_ent))
    server.next = [(500, {}, b""), (302, {"Location": server.uri(path="/elsewhere")}, b""), (404, {}, b"")]
    work()
    assert outcomes() == [("waiting", f"{notified_ent.client_id}: answered 500")]
    assert work() == 0, "not at once"
    for after, status in ((2, 302), (5, 404)):
        assert work(timedelta(minutes=after)) == 1
        assert outcomes() == [("waiting", f"{notified_ent.client_id}: answered {status}")]
    server.next = [(204, {}, b"")]
    assert work(timedelta(minutes=15)) == 1
    assert outcomes() == [("sent", "")]
    assert {request.path for request in server.asked} == {"/backchannel-logout"}, "no redirect is followed"
    claims = [read(browser, notified_ent, server, index) for index in range(4)]
    assert len({each["jti"] for each in claims}) == 4
    assert [each["iat"] for each in claims] == sorted({each["iat"] for each in claims})


@pytest.mark.row("L-07")
def test_a_retry_waits_for_the_retry_after_of_the_ent(
    browser: FlaskClient, notified_ent: RelyingParty, session: Account, work: Work, server: EntServer
) -> None:
    # RFC 9110, 10.2.3.
    server.next = [(503, {"Retry-After": "7200"}, b"")]
    log_out(browser, tokens_for(browser, notified_ent))
    work()
    assert outbox()[0].available_at - now() == pytest.approx(timedelta(hours=2), abs=timedelta(minutes=1))
    assert work(timedelta(minutes=110)) == 0
    assert work(timedelta(minutes=125)) == 1
    assert outcomes() == [("sent", "")]


@pytest.mark.row("L-07")
@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b'{"error": "invalid_request", "error_description": "jti"}', " invalid_request"),
        (b'{"error": "noemie.leroy@exemple.fr"}', ""),
        (b'["x"]', ""),
        (b"[" * 60_000, ""),
        (b"\xff", ""),
    ],
    ids=["as specified", "not a code", "not an object", "deep", "not text"],
)
def test_a_refused_notification_is_not_retried(
    browser: FlaskClient,
    notified_ent: RelyingParty,
    session: Account,
    work: Work,
    server: EntServer,
    body: bytes,
    shown: str,
) -> None:
    # Back-Channel Logout 1.0, 2.8.
    server.next = [(400, {}, body)]
    log_out(browser, tokens_for(browser, notified_ent))
    work()
    assert outcomes() == [("dead", f"{notified_ent.client_id}: answered 400{shown}")]
    assert work(timedelta(hours=3)) == 0
    assert len(server.asked) == 1


@pytest.mark.row("L-07")
def test_an_ent_that_hangs_does_not_delay_other_ents(
    browser: FlaskClient,
    build: Build,
    session: Account,
    server: EntServer,
    other_server: EntServer,
    work: Work,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Back-Channel Logout 1.0, 2.3; Security row L-07.
    monkeypatch.setattr(outgoing, "TIMEOUT", 2)
    left, ended = threading.Event(), threading.Event()

    def hang(handler: BaseHTTPRequestHandler) -> None:
        left.wait(60)
        ended.set()

    server.next = [hang, hang, hang]
    slow = [build.ent(f"Lent {n}", backchannel_logout_uri=server.uri("slow.test")) for n in range(3)]
    quick = build.ent("Horizon", backchannel_logout_uri=other_server.uri("horizon.test"))
    for ent in slow:
        tokens_for(browser, ent)
    log_out(browser, tokens_for(browser, quick))
    assert server.asked == [], "the parent's page waits for nobody"
    assert work() == 5
    assert not ended.is_set(), "the others are told while it hangs"
    left.set()
    assert len(server.asked) == 1, "once it let the time run out, it rests"
    assert sorted(outcome for outcome, _ in outcomes()) == ["sent", "waiting", "waiting", "waiting"]
    errors = sorted(error.partition(": ")[2] for _, error in outcomes())
    assert errors == [
        "",
        "no response within 2 seconds",
        *["not requested: the last request timed out less than a minute ago"] * 2,
    ]
    assert len(other_server.asked) == 1


@pytest.mark.row("L-07")
def test_no_connection_is_held_while_an_ent_answers(
    browser: FlaskClient, notified_ent: RelyingParty, session: Account, work: Work, server: EntServer
) -> None:
    # OWASP ASVS 5, V 13.2.6. A worker that waits for an ENT holds no database connection.
    engine = db.engine
    open_then: list[int] = []

    def look(handler: BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes]:
        open_then.append(engine.pool.checkedout())  # type: ignore[attr-defined]  # every pool that we use counts
        return 200, {}, b""

    server.next = [look]
    log_out(browser, tokens_for(browser, notified_ent))
    work()
    assert open_then == [0]


@pytest.mark.row("L-07")
def test_a_logout_is_not_notified_after_a_day(
    browser: FlaskClient, notified_ent: RelyingParty, session: Account, work: Work, server: EntServer
) -> None:
    server.next = [(500, {}, b"")] * 100
    log_out(browser, tokens_for(browser, notified_ent))
    work()
    assert work(timedelta(hours=23)) == 1
    assert outbox()[0].outcome == "waiting"
    request_count = len(server.asked)
    assert work(timedelta(hours=25)) == 1
    assert outbox()[0].outcome == "dropped"
    assert len(server.asked) == request_count


def test_ent_is_notified_of_the_session_of_an_erased_person(
    app: Flask,
    browser: FlaskClient,
    build: Build,
    notified_ent: RelyingParty,
    session: Account,
    server: EntServer,
    work: Work,
) -> None:
    # Back-Channel Logout 1.0, 2.4.
    tokens = tokens_for(browser, notified_ent)
    done = rights.erase(session.id, "demande")
    assert (done.accounts, done.sign_outs) == (1, 1)
    assert db.session.get(Account, session.id) is None
    [message] = outbox("backchannel.logout")
    assert set(message.payload) == {"client", "subject", "sid"}
    assert work() == 1
    assert outcomes() == [("sent", "")]
    claims = read(browser, notified_ent, server)
    assert (claims["sub"], claims["sid"]) == (tokens["claims"]["sub"], tokens["claims"]["sid"])
    assert outbox("backchannel.logout")[0].payload == {}


def test_pending_notification_is_sent_after_an_erasure(
    app: Flask,
    browser: FlaskClient,
    build: Build,
    notified_ent: RelyingParty,
    session: Account,
    server: EntServer,
    work: Work,
) -> None:
    # Back-Channel Logout 1.0, 2.5.
    tokens = tokens_for(browser, notified_ent)
    manager.end_all(session.id, by="operator")
    db.session.commit()
    assert rights.erase(session.id, "demande").sign_outs == 1
    work()
    assert read(browser, notified_ent, server)["sid"] == tokens["claims"]["sid"]
