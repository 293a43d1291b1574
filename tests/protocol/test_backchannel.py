"""The ENTs are told that a session ended (security row L-06), by real servers over TLS."""

import time
import uuid
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update

from idp.accounts.models import Account
from idp.clock import now
from idp.db import db
from idp.families import closing
from idp.families.closing import Decision
from idp.oidc.keys import rotation
from idp.oidc.models import Token
from idp.outbox import queue
from idp.registration import registrations
from idp.services import services_of
from idp.sessions import manager
from idp.sessions.models import Session
from tests.builders import COLLEGE, LYCEE, PASSWORD, Build
from tests.databases import ISSUER
from tests.pages import sign_in
from tests.protocol.ent_server import EntServer
from tests.protocol.flow import OFFLINE, tokens_for
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


@pytest.mark.row("L-06")
def test_each_ent_of_the_session_gets_one_logout_token(
    app: Flask,
    browser: FlaskClient,
    build: Build,
    notified_ent: RelyingParty,
    session: Account,
    server: EntServer,
    other_server: EntServer,
    work: Work,
) -> None:
    # Back-Channel Logout 1.0, 2.5.
    rotation.rotate(build.settings, "ES256")
    services_of(app).server.ring.forget()
    other = build.ent(
        "Horizon", "horizon.test", id_token_alg="ES256", backchannel_logout_uri=other_server.uri("horizon.test")
    )
    unused = build.ent("Personne", backchannel_logout_uri=server.uri(path="/never"))
    tokens, others = tokens_for(browser, notified_ent), tokens_for(browser, other)
    tokens_for(browser, notified_ent)  # a second sign-on of the same session is the same pair
    log_out(browser, tokens)
    assert outbox() == []
    [message] = outbox("sessions.ended")
    assert set(message.payload) == {"sessions"}
    assert server.asked == []
    assert other_server.asked == [], "the parent's page waits for nobody"
    assert work() == 3
    assert outcomes() == [("sent", "")] * 2
    assert outbox("sessions.ended")[0].outcome == "sent"
    for ent, listening, ent_tokens in ((notified_ent, server, tokens), (other, other_server, others)):
        assert len(listening.asked) == 1, unused.client_id
        claims = read(browser, ent, listening)
        assert claims["iat"] == pytest.approx(time.time(), abs=60)
        assert (claims["sub"], claims["sid"]) == (ent_tokens["claims"]["sub"], ent_tokens["claims"]["sid"])
    assert work(timedelta(days=2)) == 0


@pytest.mark.row("L-06")
def test_the_outbox_holds_ids_and_no_token(
    browser: FlaskClient, notified_ent: RelyingParty, session: Account, work: Work, server: EntServer
) -> None:
    # Back-Channel Logout 1.0, 4.
    log_out(browser, tokens_for(browser, notified_ent))
    server.next = [(503, {}, b"")]
    work()
    [message] = outbox()
    assert {name: uuid.UUID(value) for name, value in message.payload.items()}.keys() == {"client", "session"}
    assert message.last_error == f"{notified_ent.client_id}: answered 503"
    work(timedelta(minutes=2))
    assert outbox()[0].payload == {}


@pytest.mark.row("L-06")
def test_ents_that_are_disabled_or_have_no_logout_uri_are_not_notified(
    browser: FlaskClient, build: Build, notified_ent: RelyingParty, session: Account, work: Work, server: EntServer
) -> None:
    # Back-Channel Logout 1.0, 2.3.
    silent = build.ent("Sans adresse", "silent.test")
    gone = build.ent("Fermé", backchannel_logout_uri=server.uri(path="/gone"))
    tokens_for(browser, gone)
    registrations.disable(gone.client_id)
    log_out(browser, tokens_for(browser, silent))
    assert work() == 1
    assert outbox() == []
    assert outbox("sessions.ended")[0].outcome == "dropped"
    assert server.asked == []


@pytest.mark.row("L-06")
def test_an_ent_disabled_meanwhile_is_not_notified(
    browser: FlaskClient, notified_ent: RelyingParty, session: Account, work: Work, server: EntServer
) -> None:
    # Back-Channel Logout 1.0, 2.5. An ENT that was disabled has no registration any more.
    server.next = [(500, {}, b"")]
    log_out(browser, tokens_for(browser, notified_ent))
    work()
    registrations.disable(notified_ent.client_id)
    work(timedelta(minutes=2))
    assert outbox()[0].outcome == "dropped"
    assert len(server.asked) == 1


@pytest.mark.row("G-07")
def test_each_ended_session_has_its_own_logout_token(
    app: Flask, browser: FlaskClient, notified_ent: RelyingParty, session: Account, work: Work, server: EntServer
) -> None:
    # Back-Channel Logout 1.0, 2.4; Security row G-07.
    phone = app.test_client()
    sign_in(phone, "/connexion", session.username, PASSWORD)
    token_claims = [tokens_for(each, notified_ent)["claims"] for each in (browser, phone)]
    with app.test_request_context(base_url=ISSUER):
        assert manager.end_all(session.id, by="password_reset") == 2
        db.session.commit()
    assert work() == 3
    told_of = [read(browser, notified_ent, server, index) for index in range(2)]
    assert {claims["sid"] for claims in told_of} == {claims["sid"] for claims in token_claims}
    assert {claims["sub"] for claims in told_of} == {claims["sub"] for claims in token_claims}
    assert len({claims["jti"] for claims in told_of}) == 2


def test_a_renewed_session_is_notified_with_the_sid_that_the_ent_knows(
    app: Flask, browser: FlaskClient, notified_ent: RelyingParty, session: Account, work: Work, server: EntServer
) -> None:
    # Back-Channel Logout 1.0, 2.7.
    before = tokens_for(browser, notified_ent)["claims"]
    with app.test_request_context(base_url=ISSUER):
        row = db.session.scalars(select(Session)).one()
        manager.renew(row, db.session.get_one(Account, session.id))
        db.session.commit()
    assert work() == 0, "it goes on: nobody is told"
    with app.test_request_context(base_url=ISSUER):
        manager.end_all(session.id, by="operator")
        db.session.commit()
    assert work() == 2
    assert read(browser, notified_ent, server)["sid"] == before["sid"]


def test_messages_without_a_session_or_an_ent_are_dropped(
    browser: FlaskClient, notified_ent: RelyingParty, session: Account, work: Work, server: EntServer
) -> None:
    # Back-Channel Logout 1.0, 2.4. An ENT without a session to end is not called.
    tokens_for(browser, notified_ent)
    live = db.session.scalars(select(Session.id)).one()
    client = str(registrations.get(notified_ent.client_id).id)
    for of, whose in ((client, str(uuid.uuid4())), (str(uuid.uuid4()), str(live))):
        queue.enqueue("backchannel.logout", {"client": of, "session": whose})
    db.session.commit()
    assert work() == 2
    assert {message.outcome for message in outbox()} == {"dropped"}
    assert server.asked == []


def test_a_notification_waits_for_a_signing_key(
    app: Flask,
    browser: FlaskClient,
    build: Build,
    notified_ent: RelyingParty,
    session: Account,
    work: Work,
    server: EntServer,
) -> None:
    # Back-Channel Logout 1.0, 2.4, 2.6.
    tokens = tokens_for(browser, notified_ent)
    client = registrations.get(notified_ent.client_id)
    client.id_token_alg = "ES256"
    db.session.commit()
    log_out(browser, tokens)
    work()
    assert outcomes() == [("waiting", "no key signs ES256")]
    rotation.rotate(build.settings, "ES256")
    services_of(app).server.ring.forget()
    work(timedelta(minutes=2))
    assert read(browser, notified_ent, server)["aud"] == notified_ent.client_id


@pytest.mark.parametrize("kind", ["pairwise", "public", "aaf"])
def test_a_logout_token_has_the_sub_that_the_ent_knows(
    browser: FlaskClient, build: Build, session: Account, work: Work, server: EntServer, kind: str
) -> None:
    # Back-Channel Logout 1.0, 2.6.
    ent = build.ent(subject=kind, scopes=OFFLINE, backchannel_logout_uri=server.uri())
    tokens = tokens_for(browser, ent, scope=OFFLINE)
    db.session.execute(update(Token).values(expires_at=now() - timedelta(days=1)))  # dead tokens tell all the same
    db.session.commit()
    log_out(browser, tokens)
    work()
    assert read(browser, ent, server)["sub"] == tokens["claims"]["sub"]


@pytest.mark.row("K-25")
@pytest.mark.parametrize("has_another_child", [False, True])
def test_the_ent_gets_the_sign_out_of_a_session_that_continues_here(
    browser: FlaskClient,
    build: Build,
    notified_ent: RelyingParty,
    server: EntServer,
    other_server: EntServer,
    work: Work,
    *,
    has_another_child: bool,
) -> None:
    # Back-Channel Logout 1.0, 2.5.
    other = build.ent("Horizon", "horizon.test", uais=[LYCEE], backchannel_logout_uri=other_server.uri("horizon.test"))
    malo = build.child("Malo")
    siblings = [build.child("Zoé", uai=LYCEE), *([build.child("Léa")] if has_another_child else [])]
    account = build.active(children=[malo, *siblings])
    sign_in(browser, "/connexion", account.username, PASSWORD)
    tokens, _ = tokens_for(browser, notified_ent), tokens_for(browser, other)
    closing.close(account.id, Decision(reason="jugement", child=malo.id, school=build.school(COLLEGE)))
    assert work() == 1
    assert outcomes() == [("sent", "")]
    claims = read(browser, notified_ent, server)
    assert (claims["sub"], claims["sid"]) == (tokens["claims"]["sub"], tokens["claims"]["sid"])
    assert other_server.asked == [], "the ENT of another school keeps its session"
    assert browser.get("/mon-compte").status_code == 200
    assert outbox()[0].payload == {}
