"""Tells the ENTs that a session ended (OpenID Connect Back-Channel Logout 1.0), through the outbox.

Whoever ends sessions leaves one message that names their rows. From it, each ENT that got a token in one of them and
registered an address gets a message of its own, so that one that is down keeps no other waiting. The logout token is
made when it is handed over: it lives two minutes and is stored nowhere.
"""

import json
import re
import uuid
from datetime import timedelta

from joserfc import jwt
from sqlalchemy import or_, select
from sqlalchemy.orm import aliased

from idp import opaque
from idp.accounts.models import Account
from idp.clients import registry
from idp.clients.models import Client
from idp.clients.registry import Registration
from idp.clock import now
from idp.db import db, unit_of_work
from idp.http_client.outgoing import Answer, Outgoing, OutgoingError
from idp.oidc.claims import release
from idp.oidc.keys.ring import NoSigningKey
from idp.oidc.models import Token
from idp.oidc.server import Server
from idp.outbox import queue
from idp.outbox.models import OutboxMessage
from idp.outbox.worker import Outcome, PermanentFailure, TemporaryFailure
from idp.services import services
from idp.sessions import liveness
from idp.sessions.manager import SESSIONS_ENDED
from idp.sessions.models import Session

LOGOUT = "backchannel.logout"
"""The kind of outbox message that tells one ENT of one session; its payload names the rows of both."""
EVENT = "http://schemas.openid.net/event/backchannel-logout"
TOKEN_LIFETIME = timedelta(minutes=2)
POINTLESS_AFTER = timedelta(hours=24)
"""An ENT that could not be told in a day has ended its session itself."""

_TOLD = frozenset({200, 204})
_REFUSED = 400
_ERROR_CODE = re.compile(r"[a-z_]{1,40}")


def sessions_ended(message: OutboxMessage) -> Outcome:
    """Put one message for each ENT and session into the outbox, all in one transaction (outbox handler).

    A session that goes on under another row (a password proved again) keeps its `sid`: what was given under its former
    rows counts too.
    """
    ended, any_row = aliased(Session), aliased(Session)
    rows = db.session.execute(
        select(Token.client_id, ended.sid, ended.id)
        .distinct()
        .join(any_row, any_row.id == Token.session_id)
        .join(ended, (ended.account_id == any_row.account_id) & (ended.sid == any_row.sid))
        .join(Client, Client.id == Token.client_id)
        .where(
            ended.id.in_([uuid.UUID(key) for key in message.payload["sessions"]]),
            Client.disabled_at.is_(None),
            Client.backchannel_logout_uri != "",
        )
    )
    pairs = {(client, sid): session for client, sid, session in rows}
    with unit_of_work():
        for (client, _), session in pairs.items():
            queue.enqueue(LOGOUT, {"client": str(client), "session": str(session)})
    return Outcome.DONE if pairs else Outcome.DROPPED


def announce_removal(account_id: uuid.UUID) -> int:
    """Have the ENTs told of sessions whose rows are about to be removed, in the caller's transaction.

    These are the sessions that nobody has ended, and those that ENTs wait to be told of. The messages hold what an ENT
    knows of the person and of the session, since they outlive both rows.

    Returns:
        How many messages there are.
    """
    waiting = select(OutboxMessage.payload).where(
        OutboxMessage.finished_at.is_(None), OutboxMessage.kind.in_((SESSIONS_ENDED, LOGOUT))
    )
    untold = {
        uuid.UUID(key)
        for payload in db.session.scalars(waiting)
        for key in [*payload.get("sessions", ()), *filter(None, [payload.get("session")])]
    }
    any_row, wanted = aliased(Session), aliased(Session)
    rows = db.session.execute(
        select(Token.client_id, wanted.sid, Account.join_key)
        .distinct()
        .join(any_row, any_row.id == Token.session_id)
        .join(wanted, (wanted.account_id == any_row.account_id) & (wanted.sid == any_row.sid))
        .join(Account, Account.id == wanted.account_id)
        .join(Client, Client.id == Token.client_id)
        .where(
            Account.id == account_id,
            or_(liveness.unended(wanted), wanted.id.in_(untold)),
            Client.disabled_at.is_(None),
            Client.backchannel_logout_uri != "",
        )
    ).all()
    for key, sid, join_key in rows:
        client = registry.find_by_key(key)
        if client is not None:
            subject, session = (
                release.subject(client, account_id, join_key),
                release.session_id(client.subject_salt, sid),
            )
            queue.enqueue(LOGOUT, {"client": str(key), "subject": subject, "sid": session})
    return len(rows)


def hand_over(message: OutboxMessage, *, outgoing: Outgoing) -> Outcome:
    """Tell one ENT that one session ended (outbox handler).

    Raises:
        PermanentFailure: the ENT refuses the token (2.8).
        TemporaryFailure: it does not answer, or not as agreed; asked again until a day has passed.
    """
    client = registry.find_by_key(uuid.UUID(message.payload["client"]))
    told = _told(message, client) if client else None
    uri = client and db.session.scalar(select(Client.backchannel_logout_uri).where(Client.id == client.key))
    if client is None or not uri or told is None:
        return Outcome.DROPPED
    try:
        token = logout_token(services().server, client, *told)
        answer = outgoing.post_form(uri, {"logout_token": token})
    except NoSigningKey as missing:
        raise TemporaryFailure(str(missing)) from missing
    except OutgoingError as failed:
        raise TemporaryFailure(f"{client.client_id}: {failed.reason}") from failed
    if answer.status in _TOLD:
        return Outcome.DONE
    reason = f"{client.client_id}: answered {answer.status} {_error_code(answer)}".rstrip()
    if answer.status == _REFUSED:
        raise PermanentFailure(reason)
    raise TemporaryFailure(reason, answer.retry_after)


def _told(message: OutboxMessage, client: Registration) -> tuple[str, str] | None:
    """Return the `sub` and the `sid` of a logout token; None when there is nothing to tell any more."""
    if "subject" in message.payload:  # the account was erased
        late = message.created_at < now() - POINTLESS_AFTER
        return None if late else (message.payload["subject"], message.payload["sid"])
    session = db.session.execute(
        select(Session.sid, Account.id.label("account_id"), Account.join_key)
        .join(Account, Account.id == Session.account_id)
        .where(
            Session.id == uuid.UUID(message.payload["session"]),
            liveness.ended_since(now() - POINTLESS_AFTER),
        )
    ).one_or_none()
    if session is None:
        return None
    subject = release.subject(client, session.account_id, session.join_key)
    return subject, release.session_id(client.subject_salt, session.sid)


def logout_token(server: Server, client: Registration, subject: str, sid: str) -> str:
    """Return a logout token (2.4). It is no ID token: its type says so, it has `events` and never a `nonce`.

    Raises:
        NoSigningKey: nothing signs the client's algorithm.
    """
    signer = server.ring.signer(client.id_token_alg)
    issued_at = int(now().timestamp())
    body = {
        "iss": server.settings.issuer,
        "sub": subject,
        "aud": client.client_id,
        "iat": issued_at,
        "exp": issued_at + int(TOKEN_LIFETIME.total_seconds()),
        "jti": opaque.new_value(),
        "events": {EVENT: {}},
        "sid": sid,
    }
    header = {"alg": signer.alg, "kid": signer.kid, "typ": "logout+jwt"}
    return jwt.encode(header, body, signer.key, algorithms=[signer.alg])


def _error_code(answer: Answer) -> str:
    """Return the `error` of a refusal (2.8) if it has the form of one: it will be shown to an operator."""
    try:
        content = json.loads(answer.body)
    except (ValueError, RecursionError):
        return ""
    code = content.get("error") if isinstance(content, dict) else None
    return code if isinstance(code, str) and _ERROR_CODE.fullmatch(code) else ""
