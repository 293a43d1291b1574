"""Tokens that were issued, as their own client may ask about them or end them (RFC 7009, RFC 7662)."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, select, update

from idp import opaque
from idp.accounts.models import Account
from idp.clients.registry import Registration
from idp.clock import now
from idp.db import db, end_read
from idp.oidc.models import Token
from idp.sessions.models import Session


@dataclass(frozen=True)
class Issued:
    """A live token, and whom it stands for."""

    token: Token
    account: Account

    @property
    def is_refresh(self) -> bool:
        """Whether it is a refresh token."""
        return self.token.kind == "r"


def find(value: str, client: Registration) -> Issued | None:
    """Return a token that still opens something, if it was issued to `client`.

    Dead are: what expired, was revoked or used up; what came from a session that ended, or before a credential of the
    account changed; what is of a disabled account.
    """
    moment = now()
    row = db.session.execute(
        select(Token, Account)
        .join(Session, Session.id == Token.session_id)
        .join(Account, Account.id == Token.account_id)
        .where(
            Token.digest == opaque.digest(value),
            Token.client_id == client.key,
            Token.revoked_at.is_(None),
            Token.used_at.is_(None),
            Token.expires_at > moment,
            Session.ended_at.is_(None),
            Account.disabled_at.is_(None),
            Account.generation == Session.generation,
        )
    ).one_or_none()
    end_read()
    return Issued(*row) if row else None


def revoke(value: str, client: Registration) -> None:
    """Revoke a token of `client`: a refresh token with all that came from the same sign-in, an access token alone.

    A refresh token that was used up names its family still: whoever holds it may end what followed. Nothing happens for
    anything else.
    """
    row = db.session.execute(
        select(Token.family, Token.kind).where(
            Token.digest == opaque.digest(value), Token.client_id == client.key, Token.revoked_at.is_(None)
        )
    ).one_or_none()
    if row is None:
        end_read()
        return
    end_all(Token.family == row.family if row.kind == "r" else Token.digest == opaque.digest(value))
    db.session.commit()


def end_all(meant: ColumnElement[bool]) -> None:
    """Revoke until none is left: a rotation that holds its row just now adds a pair that the first look misses."""
    alive = update(Token).where(meant, Token.revoked_at.is_(None))
    while db.session.scalars(alive.values(revoked_at=now()).returning(Token.digest)).all():
        pass
