"""The ENTs of an erased person get logout tokens, although the rows are deleted."""

from datetime import timedelta

import time_machine
from flask import Flask
from flask.testing import FlaskClient

from idp.accounts.models import Account
from idp.clock import now
from idp.db import db
from idp.operations.personal_data import erasure
from idp.sessions import manager
from tests.builders import Build
from tests.protocol.ent_server import EntServer
from tests.protocol.flow import tokens_for
from tests.protocol.told_ents import (  # noqa: F401 - fixtures too
    Work,
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


def test_ent_is_notified_of_the_session_of_an_erased_person(
    app: Flask,
    browser: FlaskClient,
    build: Build,
    notified_ent: RelyingParty,
    session: Account,
    server: EntServer,
    work: Work,
) -> None:
    """Back-Channel Logout 1.0, 2.4."""
    tokens = tokens_for(browser, notified_ent)
    done = erasure.erase(session.id, "demande")
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
    """Back-Channel Logout 1.0, 2.5."""
    tokens = tokens_for(browser, notified_ent)
    manager.end_all(session.id, by="operator")
    db.session.commit()
    assert erasure.erase(session.id, "demande").sign_outs == 1
    work()
    assert read(browser, notified_ent, server)["sid"] == tokens["claims"]["sid"]


def test_ent_is_not_notified_a_day_after_an_erasure(
    app: Flask,
    browser: FlaskClient,
    build: Build,
    notified_ent: RelyingParty,
    session: Account,
    server: EntServer,
    work: Work,
) -> None:
    """Back-Channel Logout 1.0, 2.5."""
    tokens_for(browser, notified_ent)
    erasure.erase(session.id, "demande")
    with time_machine.travel(now() + timedelta(hours=25)):
        work()
    assert outcomes() == [("dropped", "")]
    assert server.asked == []
