"""Finds and revokes tokens for the client that they were issued to (RFC 7009, RFC 7662); reads ID token hints."""

import base64
from collections.abc import Mapping
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
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.oidc.claims import release
from idp.oidc.keys import jose
from idp.oidc.keys.ring import KeyRing
from idp.oidc.models import Token
from idp.sessions import liveness
from idp.sessions.models import Session

_HALF = 16  # bytes of half a SHA-256


class OtherClientError(Exception):
    """The token is valid and was issued to another client."""


def find(value: str, client: Registration) -> tuple[Token, Account] | None:
    """Return a valid token that was issued to `client`, and its account, or None."""
    valid = _find_valid(value)
    return valid if valid and valid[0].client_id == client.key else None


def _find_valid(value: str) -> tuple[Token, Account] | None:
    """Return a valid token of any client, and its account, or None.

    A token is valid while it is neither expired, revoked nor used, its session holds (`liveness.holding`), and its
    client may know the person.
    """
    moment = now()
    row = db.session.execute(
        select(Token, Account)
        .join(Session, Session.id == Token.session_id)
        .join(Account, Account.id == Token.account_id)
        .join(Client, Client.id == Token.client_id)
        .where(
            Token.digest == opaque.digest(value),
            _unspent(moment),
            liveness.holding(moment),
            audience.admits(),
        )
    ).one_or_none()
    return (row[0], row[1]) if row else None


def renewable(moment: datetime) -> ColumnElement[bool]:
    """Return the condition of the sessions in which a client has a refresh token that it can exchange."""
    return exists().where(Token.session_id == Session.id, Token.kind == "r", _unspent(moment))


def _unspent(moment: datetime) -> ColumnElement[bool]:
    return and_(Token.revoked_at.is_(None), Token.used_at.is_(None), Token.expires_at > moment)


def session_of(identity: Mapping[str, Any], client: Registration) -> tuple[Session, Account] | None:
    """Return the unended session of an ID token issued to `client`, and its account; None if it cannot be found.

    The claim `at_hash` is the first half of the digest of the access token that was issued with the ID token. It leads
    to no token if that token was purged, or if the ID token is signed with EdDSA, whose hash differs (Core 3.1.3.6).
    """
    at_hash = str(identity.get("at_hash", ""))
    half = base64.urlsafe_b64decode(at_hash + "=" * (-len(at_hash) % 4))
    if len(half) != _HALF:
        return None
    given, row = aliased(Session), aliased(Session)
    pair = db.session.execute(
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
    if pair is None or release.session_id(client.subject_salt, pair[0].sid) != identity["sid"]:
        return None
    return pair[0], pair[1]


def revoke(value: str, client: Registration) -> None:
    """Revoke a token of `client`: an access token alone, a refresh token with its whole family.

    A used refresh token revokes its family too. An unknown or revoked token changes nothing.

    Raises:
        OtherClientError: The token is valid and was issued to another client.
    """
    row = db.session.execute(
        select(Token.family, Token.kind, Token.client_id).where(
            Token.digest == opaque.digest(value), Token.revoked_at.is_(None)
        )
    ).one_or_none()
    if row is None or row.client_id != client.key:
        if row is not None and _find_valid(value):
            raise OtherClientError
        return
    with unit_of_work():
        revoke_all(Token.family == row.family if row.kind == "r" else Token.digest == opaque.digest(value))


def revoke_all(condition: ColumnElement[bool]) -> int:
    """Revoke all tokens that meet the condition, in the caller's transaction; return how many.

    The UPDATE runs until it finds none: while it waits for a row that a concurrent rotation holds, that rotation adds
    tokens that the UPDATE's snapshot does not have.
    """
    revoking = update(Token).where(condition, Token.revoked_at.is_(None)).values(revoked_at=now())
    revoked = 0
    while digests := db.session.scalars(revoking.returning(Token.digest)).all():
        revoked += len(digests)
    return revoked


def read_id_token(settings: Settings, ring: KeyRing, token: str) -> dict[str, Any] | None:
    """Return the claims of an ID token that this service signed, also of an expired one; None for anything else.

    The algorithm must be one of ours, and the key one that we publish for it under that `kid`. Other header parameters
    are refused (RFC 8725 3.1, 3.2).
    """
    try:
        head, claims = jose.parts(token)
        if head.keys() != {"alg", "kid", "typ"} or head["typ"] != "JWT":  # a logout token is signed alike
            return None
        alg, kid = jose.algorithm(head), head["kid"]
        if not isinstance(kid, str):
            return None
        jose.check_signature(token, alg, ring.published(kid))
    except jose.InvalidTokenError:
        return None
    if claims.get("iss") != settings.issuer:
        return None
    return claims if isinstance(claims.get("sub"), str) and isinstance(claims.get("sid"), str) else None
