"""Sends logout tokens to the ENTs of an ended session (OpenID Connect Back-Channel Logout 1.0), through the outbox.

The code that ends sessions enqueues one message with their rows. The handler of that message enqueues one message for
each ENT that got a token in a session and registered a `backchannel_logout_uri`, so that an ENT that is down delays no
other. The logout token is made when it is sent: it is valid for two minutes and not stored.
"""

import re
import uuid
from datetime import timedelta
from typing import Any

from sqlalchemy import Select, or_, select
from sqlalchemy.orm import aliased

from idp import opaque
from idp.accounts.models import Account, School
from idp.clients import audience, registry
from idp.clients.models import Client
from idp.clock import now
from idp.db import db, unit_of_work
from idp.http_client.outgoing import Answer, Outgoing, OutgoingError
from idp.oidc.claims import release
from idp.oidc.keys import jose
from idp.oidc.keys.material import NoSigningKeyError
from idp.oidc.models import Token
from idp.oidc.server import Server
from idp.outbox import queue
from idp.outbox.queue import OutboxMessage
from idp.outbox.worker import Outcome, PermanentDeliveryError, TemporaryDeliveryError
from idp.services import services
from idp.sessions import liveness
from idp.sessions.ending import SESSIONS_ENDED
from idp.sessions.models import Session

LOGOUT = "backchannel.logout"
"""The kind of outbox message for one ENT and one session; its payload has the keys of both."""
EVENT = "http://schemas.openid.net/event/backchannel-logout"
TOKEN_LIFETIME = timedelta(minutes=2)
GIVE_UP_AFTER = timedelta(hours=24)  # after a day, the ENT has ended its session itself

_SUCCESS = frozenset({200, 204})
_REFUSED = 400
_ERROR_CODE = re.compile(r"[a-z_]{1,40}")


def sessions_ended(message: OutboxMessage) -> Outcome:
    """Enqueue one message for each ENT and session, in one transaction (outbox handler)."""
    ended = aliased(Session)
    of_message = ended.id.in_([uuid.UUID(key) for key in message.payload["sessions"]])
    rows = db.session.execute(_recipients(ended, ended.sid, ended.id).where(of_message))
    pairs = {(client, sid): session for client, sid, session in rows}
    with unit_of_work():
        for (client, _), session in pairs.items():
            queue.enqueue(LOGOUT, {"client": str(client), "session": str(session)})
    return Outcome.DONE if pairs else Outcome.DROPPED


def announce_closed_tie(account_id: uuid.UUID, school: School) -> int:
    """Have the ENTs of a school sign a person out whose tie to one of its pupils closed, in the caller's transaction.

    The sessions here continue. An ENT that may still know the person gets new claims at the next sign-on, without the
    pupil. Return the number of messages.
    """
    current = aliased(Session)
    of_school = current.account_id == account_id, liveness.unended(current), audience.serving(school)
    rows = db.session.execute(_recipients(current, current.id).where(*of_school)).all()
    for client, session in rows:
        queue.enqueue(LOGOUT, {"client": str(client), "session": str(session)})
    return len(rows)


def announce_removal(account_id: uuid.UUID) -> int:
    """Enqueue messages for the sessions of an account that is about to be removed, in the caller's transaction.

    These are the unended sessions, and the ended ones whose messages are waiting. The messages contain `sub` and `sid`,
    because the rows will be gone.

    Returns:
        The number of messages.
    """
    waiting = select(OutboxMessage.payload).where(
        OutboxMessage.finished_at.is_(None), OutboxMessage.kind.in_((SESSIONS_ENDED, LOGOUT))
    )
    unsent = {
        uuid.UUID(key)
        for payload in db.session.scalars(waiting)
        for key in [*payload.get("sessions", ()), *filter(None, [payload.get("session")])]
    }
    removed = aliased(Session)
    recipients = _recipients(removed, removed.sid, Account.join_key).join(Account, Account.id == removed.account_id)
    untold = or_(liveness.unended(removed), removed.id.in_(unsent))
    rows = db.session.execute(recipients.where(Account.id == account_id, untold)).all()
    for key, sid, join_key in rows:
        if client := registry.find_by_key(key):
            subject = release.subject(client, account_id, join_key)
            session = release.session_id(client.subject_salt, sid)
            queue.enqueue(LOGOUT, {"client": str(key), "subject": subject, "sid": session})
    return len(rows)


def _recipients(session: type[Session], *columns: Any) -> Select[Any]:
    """Return the query for the ENTs that are told of the end of `session`, with its `columns`.

    When a password is proved again, the session continues in a new row with the same `sid`. Tokens of the former rows
    count too.
    """
    any_row = aliased(Session)
    return (
        select(Token.client_id, *columns)
        .distinct()
        .join(any_row, any_row.id == Token.session_id)
        .join(session, (session.account_id == any_row.account_id) & (session.sid == any_row.sid))
        .join(Client, Client.id == Token.client_id)
        .where(Client.disabled_at.is_(None), Client.backchannel_logout_uri != "")
    )


def hand_over(message: OutboxMessage, *, outgoing: Outgoing) -> Outcome:
    """Send the logout token of one session to one ENT (outbox handler).

    Raises:
        PermanentDeliveryError: The ENT refused the token (2.8).
        TemporaryDeliveryError: The ENT did not answer, or with another status. The outbox retries for a day.
    """
    client = registry.find_by_key(uuid.UUID(message.payload["client"]))
    subject_and_sid = _subject_and_sid(message, client) if client else None
    uri = client and db.session.scalar(select(Client.backchannel_logout_uri).where(Client.id == client.key))
    if client is None or not uri or subject_and_sid is None:
        return Outcome.DROPPED
    try:
        token = logout_token(services().server, client, *subject_and_sid)
        answer = outgoing.post_form(uri, {"logout_token": token})
    except NoSigningKeyError as missing:
        raise TemporaryDeliveryError(str(missing)) from missing
    except OutgoingError as failed:
        raise TemporaryDeliveryError(f"{client.client_id}: {failed.reason}") from failed
    if answer.status in _SUCCESS:
        return Outcome.DONE
    reason = f"{client.client_id}: answered {answer.status} {_error_code(answer)}".rstrip()
    if answer.status == _REFUSED:
        raise PermanentDeliveryError(reason)
    raise TemporaryDeliveryError(reason, answer.retry_after)


def _subject_and_sid(message: OutboxMessage, client: registry.Registration) -> tuple[str, str] | None:
    """Return `sub` and `sid` of the logout token; None if the message is too old, or the session was removed.

    A session that continues here is ended at the ENT alone (`announce_closed_tie`).
    """
    oldest = now() - GIVE_UP_AFTER
    if message.created_at < oldest:
        return None
    if "subject" in message.payload:  # the account was erased
        return message.payload["subject"], message.payload["sid"]
    session = db.session.execute(
        select(Session.sid, Account.id.label("account_id"), Account.join_key)
        .join(Account, Account.id == Session.account_id)
        .where(
            Session.id == uuid.UUID(message.payload["session"]),
            or_(liveness.unended(), liveness.ended_since(oldest)),
        )
    ).one_or_none()
    if session is None:
        return None
    subject = release.subject(client, session.account_id, session.join_key)
    return subject, release.session_id(client.subject_salt, session.sid)


def logout_token(server: Server, client: registry.Registration, subject: str, sid: str) -> str:
    """Return a logout token (2.4). Its `typ`, the claim `events` and the missing `nonce` tell it from an ID token.

    Raises:
        NoSigningKeyError: There is no key for the client's algorithm.
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
    return signer.sign(body, "logout+jwt")


def _error_code(answer: Answer) -> str:
    """Return the `error` of a refusal (2.8), or an empty text if it is malformed: operators will read it."""
    try:
        code = jose.json_object(answer.body).get("error")
    except ValueError:
        return ""
    return code if isinstance(code, str) and _ERROR_CODE.fullmatch(code) else ""
