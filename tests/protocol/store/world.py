"""The rows that the tests of the store are about, and requests to the store about them."""

import itertools
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update

from idp.accounts.models import Account, Child, Guardianship
from idp.audit import chain
from idp.clients.models import Client
from idp.config import Settings
from idp.db import db
from idp.oidc.models import Token
from idp.oidc.store.contract import CodeRequest, Redemption, Rotation
from idp.oidc.store.store import Store
from idp.sessions import liveness
from idp.sessions.models import Session
from tests.builders import LYCEE, Build, commit
from tests.closed import dispute

COOKIE = b"cookie"
SCOPE = "openid offline_access"
_numbers = itertools.count()


class Unlocked:
    """A store that is called while the test has no transaction open, which might wait for its locks."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*values: Any) -> Any:
            db.session.rollback()
            return getattr(self.store, name)(*values)

        return call


@dataclass
class World:
    """The rows that requests are about, and requests that all conditions hold for."""

    settings: Settings
    store: Unlocked
    account: Account
    session: Session
    client: Client
    now: datetime

    def code_request(self, **changes: Any) -> CodeRequest:
        salt = chain.new_salt()
        key = chain.issued_key(self.settings.secrets, salt, self.now, self.client.id, "192.0.2.1", "request")
        request = CodeRequest(
            cookie_digest=COOKIE,
            code_digest=digest(),
            family=uuid.uuid4(),
            client=self.client.id,
            client_version=self.client.version,
            redirect_uri="https://ent.test/cb",
            scope=SCOPE,
            nonce="nonce",
            challenge="challenge",
            claims='{"userinfo":{}}',
            jkt=None,
            pushed_digest=None,
            charter=False,
            mail_required=True,
            now=self.now,
            idle_since=liveness.idle_since(self.settings, self.now),
            touch_before=liveness.touch_before(self.now),
            expires_at=self.now + timedelta(minutes=1),
            ip="192.0.2.1",
            request_id="request",
            journal_salt=salt,
            journal_key=key,
        )
        return replace(request, **changes)

    def code(self, **changes: Any) -> bytes:
        request = self.code_request(**changes)
        assert self.store.issue_code(request) == self.session.sid
        return request.code_digest

    def redemption(self, code_digest: bytes, /, **changes: Any) -> Redemption:
        request = Redemption(
            code_digest=code_digest,
            client=self.client.id,
            client_version=self.client.version,
            redirect_uri="https://ent.test/cb",
            challenge="challenge",
            jkt=None,
            access_digest=digest(),
            access_expires_at=self.now + timedelta(minutes=10),
            refresh_digest=digest(),
            refresh_expires_at=self.now + timedelta(days=14),
            family_expires_at=self.now + timedelta(days=30),
            now=self.now,
        )
        return replace(request, **changes)

    def tokens(self, **changes: Any) -> tuple[bytes, bytes]:
        """Redeem a new code; return the digests of the access token and of the refresh token."""
        request = self.redemption(self.code(), **changes)
        assert self.store.redeem_code(request) is not None
        return request.access_digest, request.refresh_digest or b""

    def rotation(self, old_digest: bytes, /, **changes: Any) -> Rotation:
        """Return a request that exchanges the refresh token; its successor is the same each time."""
        request = Rotation(
            old_digest=old_digest,
            client=self.client.id,
            client_version=self.client.version,
            access_digest=digest(),
            access_expires_at=self.now + timedelta(minutes=10),
            access_scope=None,
            jkt=None,
            same_key=False,
            refresh_digest=b"after " + old_digest,
            refresh_expires_at=self.now + timedelta(days=14),
            grace_since=self.now - timedelta(seconds=10),
            now=self.now,
        )
        return replace(request, **changes)

    def change(self, **values: Any) -> None:
        for name, value in values.items():
            row, _, attribute = name.partition("__")
            setattr(getattr(self, row), attribute, value)
        db.session.commit()

    def change_ties(self, **values: Any) -> None:
        commit(update(Guardianship).where(Guardianship.account_id == self.account.id).values(**values))

    def change_children(self, **values: Any) -> None:
        children = select(Guardianship.child_id).where(Guardianship.account_id == self.account.id)
        commit(update(Child).where(Child.id.in_(children)).values(**values))


def digest() -> bytes:
    return b"digest %d" % next(_numbers)


def token(token_digest: bytes) -> Token | None:
    db.session.rollback()
    return db.session.get(Token, token_digest)


LOST: dict[str, Callable[[World], None]] = {
    "session ended": lambda world: world.change(session__ended_at=world.now),
    "account disabled": lambda world: world.change(account__disabled_at=world.now),
    "credentials changed": lambda world: world.change(account__generation=world.account.generation + 1),
    "client disabled": lambda world: world.change(client__disabled_at=world.now),
    "tie ended": lambda world: world.change_ties(ended_at=world.now),
    "tie disputed": lambda world: dispute(world.account.id, since=world.now),
    "pupil left": lambda world: world.change_children(left_at=world.now),
    "pupil in another school": lambda world: world.change_children(school_id=Build(world.settings).school(LYCEE).id),
}
"""What ends all that was issued, and lets nothing more be issued."""

CLIENT_CHANGED: dict[str, Callable[[World], None]] = {
    "client changed": lambda world: world.change(client__version=world.client.version + 1),
}
"""What a request must notice that names the version of the client that was read before."""


def lose(world: World, reason: str) -> None:
    """Do what LOST or CLIENT_CHANGED says of that reason, if they say something."""
    if happen := (LOST | CLIENT_CHANGED).get(reason):
        happen(world)
