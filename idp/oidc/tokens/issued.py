"""Tokens that were issued, as their own client may ask about them or end them (RFC 7009, RFC 7662)."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, select, update
from sqlalchemy.orm import aliased

from idp import opaque
from idp.accounts.models import Account
from idp.clients import audience
from idp.clients.models import Client
from idp.clients.registry import Registration
from idp.clock import now
from idp.db import db, unit_of_work
from idp.oidc.claims import release
from idp.oidc.models import Token
from idp.sessions import liveness
from idp.sessions.models import Session

_HALF = 16
"""Bytes of half a SHA-256."""


@dataclass(frozen=True)
class Issued:
    """A live token, and whom it stands for."""

    token: Token
    account: Account

    @property
    def is_refresh(self) -> bool:
        """Whether it is a refresh token."""
        return self.token.kind == "r"


class OfAnotherClient(Exception):  # noqa: N818 - whose it is
    """The token is alive, and was issued to another client."""


def find(value: str, client: Registration) -> Issued | None:
    """Return a token that still opens something, if it was issued to `client`."""
    found = _alive(value)
    return found if found and found.token.client_id == client.key else None


def _alive(value: str) -> Issued | None:
    """Return a token that still opens something, whoever's it is.

    Dead are: what expired, was revoked or used up; what came from a session that ended, or before a credential of the
    account changed; what is of a disabled account, or of a person whom its client may no longer know.
    """
    moment = now()
    row = db.session.execute(
        select(Token, Account)
        .join(Session, Session.id == Token.session_id)
        .join(Account, Account.id == Token.account_id)
        .join(Client, Client.id == Token.client_id)
        .where(
            Token.digest == opaque.digest(value),
            Token.revoked_at.is_(None),
            Token.used_at.is_(None),
            Token.expires_at > moment,
            liveness.holding(),
            audience.admits(),
        )
    ).one_or_none()
    return Issued(*row) if row else None


def renewable(moment: datetime) -> ColumnElement[bool]:
    """Return the condition for the sessions in which a client has a refresh token that it can still exchange."""
    return exists().where(
        Token.session_id == Session.id,
        Token.kind == "r",
        Token.revoked_at.is_(None),
        Token.used_at.is_(None),
        Token.expires_at > moment,
    )


def session_of(identity: Mapping[str, Any], client: Registration) -> tuple[Session, Account] | None:
    """Return the session that an ID token was issued to `client` in, if nobody has ended it, and its account.

    `at_hash` is the first half of the digest by which the access token that came along is kept; not where the token is
    signed with EdDSA, whose hash is another (Core 3.1.3.6): then, or when that token is purged, nothing is found.
    """
    at_hash = str(identity.get("at_hash", ""))
    half = base64.urlsafe_b64decode(at_hash + "=" * (-len(at_hash) % 4))
    if len(half) != _HALF:
        return None
    given, row = aliased(Session), aliased(Session)
    found = db.session.execute(
        select(row, Account)
        .select_from(Token)
        .join(given, given.id == Token.session_id)
        .join(row, and_(row.account_id == given.account_id, row.sid == given.sid))
        .join(Account, Account.id == row.account_id)
        .where(
            Token.digest.between(half + bytes(_HALF), half + b"\xff" * _HALF),
            Token.client_id == client.key,
            liveness.unended(row),
        )
    ).one_or_none()
    if found is None or release.session_id(client.subject_salt, found[0].sid) != identity["sid"]:
        return None
    return found[0], found[1]


def revoke(value: str, client: Registration) -> None:
    """Revoke a token of `client`: a refresh token with all that came from the same sign-in, an access token alone.

    A refresh token that was used up names its family still: whoever holds it may end what followed. Nothing happens for
    anything else.

    Raises:
        OfAnotherClient: it is alive, and was issued to another client.
    """
    row = db.session.execute(
        select(Token.family, Token.kind, Token.client_id).where(
            Token.digest == opaque.digest(value), Token.revoked_at.is_(None)
        )
    ).one_or_none()
    if row is None or row.client_id != client.key:
        if row is not None and _alive(value):
            raise OfAnotherClient
        return
    with unit_of_work():
        end_all(Token.family == row.family if row.kind == "r" else Token.digest == opaque.digest(value))


def end_all(meant: ColumnElement[bool]) -> None:
    """Revoke until none is left: a rotation that holds its row just now adds a pair that the first look misses."""
    alive = update(Token).where(meant, Token.revoked_at.is_(None))
    while db.session.scalars(alive.values(revoked_at=now()).returning(Token.digest)).all():
        pass
