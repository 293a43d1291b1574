"""A session of a parent, and a client that serves the school of the parent's child."""

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from idp.clients.models import Client
from idp.clock import now
from idp.config import Settings
from idp.db import db
from idp.services import services_of
from idp.sessions.models import Session
from tests.builders import Build
from tests.protocol.store.world import COOKIE, Unlocked, World


@pytest.fixture
def world(app: Flask, build: Build, settings: Settings) -> World:
    """A parent who is signed in, and the ENT of the child's school."""
    account = build.active()
    client_id = build.ent(scopes="openid profile email ent charter offline_access").client_id
    client = db.session.scalars(select(Client).where(Client.client_id == client_id)).one()
    moment = now()
    session = Session(
        digest=COOKIE,
        sid="sid",
        account_id=account.id,
        generation=account.generation,
        auth_time=moment - timedelta(minutes=3),
        amr=["pwd"],
        last_seen_at=moment - timedelta(minutes=2),
        expires_at=moment + timedelta(hours=8),
    )
    db.session.add(session)
    db.session.commit()
    return World(settings, Unlocked(services_of(app).server.store), account, session, client, moment)
