"""Invitations: a link of 24 hours by which a person enrols a credential, once.

The token is not stored: it is computed from the row's id under a key derived from `IDP_SECRET_KEY`, so that the worker
can send the same link again, and a copy of the database has no token.
"""

import uuid
from datetime import timedelta

from sqlalchemy import ColumnElement, and_, or_, select, update

from idp import opaque
from idp.audit import log
from idp.audit.desk_events import StaffDisabled, StaffInvited
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work, upsert
from idp.desk import access
from idp.desk.staff import authenticators, posts, sessions
from idp.desk.staff.models import CredentialKind, Role, StaffAccount, StaffInvitation, StaffRole, StaffSession
from idp.desk.staff.posts import Grant, GrantError
from idp.desk.team import mails
from idp.mail.emails import InvalidEmailError, fold_email, parse_email
from idp.outbox import queue
from idp.outbox.worker import Outcome

LIFETIME = timedelta(hours=24)
INVITED = "staff.invitation"  # the kind of outbox message that carries an invitation; its payload names the row
LONGEST_NAME = 120


class AlreadyGrantedError(Exception):
    """The person has the role already, for as long: nothing would change."""


@unit_of_work()
def invite(settings: Settings, email: str, name: str, grant: Grant) -> tuple[StaffAccount, StaffInvitation | None]:
    """Invite a person in a transaction of its own; see `grant_and_invite`."""
    return grant_and_invite(settings, email, name, grant)


def grant_and_invite(
    settings: Settings, email: str, name: str, grant: Grant, *, may_repeat: bool = True
) -> tuple[StaffAccount, StaffInvitation | None]:
    """Grant a role to a person, and send a link to enrol, in the caller's transaction; return both.

    A person who has enrolled keeps the name and the credentials and gets no link, since the link would open the account
    to a reader of the mailbox. `may_repeat`: whether a person who has the role already gets a mail again.

    Raises:
        AlreadyGrantedError: the person has the role, and `may_repeat` is false.
        GrantError: the mail address or the name cannot be used, or the role needs another scope.
    """
    try:
        email = parse_email(email)
    except InvalidEmailError as error:
        raise GrantError(f"{email} is not a mail address") from error
    mailbox, chosen_name = fold_email(email), " ".join(name.split())
    if not chosen_name or len(chosen_name) > LONGEST_NAME or not chosen_name.isprintable():
        raise GrantError(f"a name must have 1 to {LONGEST_NAME} characters of text")
    staff = _locked(mailbox)
    if staff is None:
        staff = _created(email, chosen_name, mailbox)
    elif staff.disabled_at is not None:  # the person comes back without the roles and credentials of before
        staff.disabled_at = staff.enrolled_at = None
        staff.name = chosen_name
        forget_credentials(staff)
    elif not may_repeat and posts.is_granted(staff.id, grant):
        raise AlreadyGrantedError(f"{email} has the role already")
    close_without_role(staff.id)
    grant_role(staff, grant)
    if staff.enrolled_at is not None:
        _tell_again(staff)
        return staff, None
    return staff, _issue(settings, staff, is_reset=False)


def grant_role(staff: StaffAccount, grant: Grant) -> None:
    """Grant a role, in the caller's transaction, which locked the person; end a link that would open too much by it.

    A link that gives a lost access back opens all roles of the person. Who sent it may not give access to a role in
    another scope, which is granted after it.

    Raises:
        GrantError: the role needs another scope.
    """
    scope, role = access.spec(grant.role).scope, grant.role.value
    if bool(grant.schools) != (scope is access.Scope.SCHOOL):
        raise GrantError(f"{role} {'has no' if grant.schools else 'needs a'} school")
    if bool(grant.clients) != (scope is access.Scope.ENT):
        raise GrantError(f"{role} {'has no' if grant.clients else 'needs an'} ENT")
    before = _scopes(staff.id)
    mails.tell_new_roles(posts.grant(staff, grant))
    if not _scopes(staff.id) <= before:
        _revoke(staff.id, StaffInvitation.is_reset.is_(True))


def _scopes(staff_id: uuid.UUID) -> set[uuid.UUID | Role]:
    return {scope.id if (scope := post.school or post.client) else post.role for post in posts.of_staff(staff_id)}


def close_without_role(staff_id: uuid.UUID, ended: uuid.UUID | None = None) -> None:
    """End what a person still has open without a role, in the caller's transaction, which locked the person.

    No later role revives it. Sessions and links end for a person without a role. For another one, the sessions that
    act in the role `ended` do.
    """
    if not posts.of_staff(staff_id):
        _revoke(staff_id)
        sessions.end(StaffSession.staff_id == staff_id, by="role_ended")
    elif ended is not None:
        sessions.end(StaffSession.staff_id == staff_id, StaffSession.role_id == ended, by="role_ended")


def _created(email: str, name: str, mailbox: str) -> StaffAccount:
    """Create a person; return that of a request which did so meanwhile."""
    values = {
        "id": uuid.uuid4(),
        "name": name,
        "email": email,
        "mailbox": mailbox,
        "generation": 0,
        "created_at": now(),
    }
    db.session.execute(upsert(StaffAccount).values(**values).on_conflict_do_nothing())
    staff = _locked(mailbox)
    if staff is None:
        raise GrantError("the person was removed meanwhile: try again")
    return staff


def _locked(mailbox: str) -> StaffAccount | None:
    return db.session.scalar(
        select(StaffAccount)
        .where(StaffAccount.mailbox == mailbox)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def forget_credentials(staff: StaffAccount) -> None:
    """End all that opens a person's account, in the caller's transaction, which locked the person."""
    staff.credentials_changed()
    staff.password_hash = staff.issuer = staff.subject = None
    for kind in CredentialKind:
        authenticators.remove_credentials(staff.id, kind)


@unit_of_work()
def reset(settings: Settings, staff_id: uuid.UUID) -> StaffInvitation | None:
    """Send a link to enrol again after a loss; the former credentials and sessions end when it is used.

    A person who has not enrolled gets another invitation. Return None if the person left or does not exist.
    """
    staff = get_for_change(staff_id)
    if staff is None or staff.disabled_at is not None:
        return None
    return _issue(settings, staff, is_reset=staff.enrolled_at is not None)


@unit_of_work()
def send_again(settings: Settings, staff_id: uuid.UUID) -> bool:
    """Send the mail of an invitation again, which ends nothing; return False if the person left or does not exist."""
    staff = get_for_change(staff_id)
    if staff is None or staff.disabled_at is not None:
        return False
    if staff.enrolled_at is None:
        _issue(settings, staff, is_reset=False)
    else:
        _tell_again(staff)
    return True


def _tell_again(staff: StaffAccount) -> None:
    """Tell a person who has enrolled of a role; the entry is that of an invitation, so that no inviter sees which."""
    queue.enqueue(INVITED, {"staff": str(staff.id)})
    log.record(StaffInvited(staff=str(staff.id)))


def get_for_change(staff_id: uuid.UUID) -> StaffAccount | None:
    """Return a person, whose row the caller's transaction has locked."""
    return db.session.scalar(
        select(StaffAccount)
        .where(StaffAccount.id == staff_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


@unit_of_work()
def disable(staff_id: uuid.UUID) -> bool:
    """End the account of a person: sessions, roles and invitations end; return False if it had ended already."""
    staff = get_for_change(staff_id)
    if staff is None or staff.disabled_at is not None:
        return False
    staff.disabled_at = now()
    staff.issuer = staff.subject = None
    for post_id in db.session.scalars(select(StaffRole.id).where(StaffRole.staff_id == staff_id)).all():
        posts.end(post_id)
    _revoke(staff_id)
    sessions.end(StaffSession.staff_id == staff_id, by="disabled")
    log.record(StaffDisabled(staff=str(staff_id)))
    return True


def _issue(settings: Settings, staff: StaffAccount, *, is_reset: bool) -> StaffInvitation:
    _revoke(staff.id)
    key = uuid.uuid4()
    invitation = StaffInvitation(
        id=key,
        staff_id=staff.id,
        digest=opaque.digest(_token(settings.secrets[0], key)),
        is_reset=is_reset,
        expires_at=now() + LIFETIME,
    )
    db.session.add(invitation)
    queue.enqueue(INVITED, {"invitation": str(key)})
    log.record(StaffInvited(staff=str(staff.id), reset=is_reset))
    return invitation


def _revoke(staff_id: uuid.UUID, *conditions: ColumnElement[bool]) -> None:
    db.session.execute(
        update(StaffInvitation)
        .where(StaffInvitation.staff_id == staff_id, _is_open(), *conditions)
        .values(revoked_at=now())
        .execution_options(synchronize_session=False)
    )


def _is_open() -> ColumnElement[bool]:
    return and_(StaffInvitation.used_at.is_(None), StaffInvitation.revoked_at.is_(None))


def url(settings: Settings, invitation: StaffInvitation) -> str | None:
    """Return the link of an invitation, or None if its secret key is no longer configured."""
    for secret in settings.secrets:
        token = _token(secret, invitation.id)
        if opaque.digest(token) == invitation.digest:
            return f"{settings.desk_url}/invitation/{token}"
    return None


class UsedError(Exception):
    """Another request used the invitation first, or it does not work any more."""


def person_of(token: str) -> StaffAccount:
    """Return the person whose invitation a token opens, without using it.

    Raises:
        UsedError: the invitation does not work.
    """
    staff = db.session.scalar(
        select(StaffAccount)
        .join(StaffInvitation, StaffInvitation.staff_id == StaffAccount.id)
        .where(
            StaffInvitation.digest == opaque.digest(token),
            _is_open(),
            StaffInvitation.expires_at > now(),
            StaffAccount.disabled_at.is_(None),
            or_(StaffInvitation.is_reset, StaffAccount.enrolled_at.is_(None)),
        )
        .execution_options(populate_existing=True)
    )
    if staff is None:
        raise UsedError
    return staff


def redeem(token: str) -> StaffInvitation | None:
    """Use an invitation in the caller's transaction. Exactly one caller gets the row, all others None."""
    return db.session.scalar(
        update(StaffInvitation)
        .where(StaffInvitation.digest == opaque.digest(token), _is_open(), StaffInvitation.expires_at > now())
        .values(used_at=now())
        .returning(StaffInvitation)
        .execution_options(synchronize_session=False, populate_existing=True)
    )


def hand_over(message: queue.OutboxMessage, settings: Settings) -> Outcome:
    """Send an invitation (outbox handler), or tell a person of a new role; drop a link that does not work any more."""
    invitation = None
    if "invitation" in message.payload:
        invitation = db.session.get(StaffInvitation, uuid.UUID(message.payload["invitation"]), populate_existing=True)
        if invitation is None or invitation.used_at or invitation.revoked_at or invitation.expires_at <= now():
            return Outcome.DROPPED
    staff = mails.find_recipient(str(invitation.staff_id) if invitation else message.payload["staff"])
    link = url(settings, invitation) if invitation else settings.desk_url
    if staff is None or link is None:
        return Outcome.DROPPED
    return mails.send(
        message,
        settings,
        "bureau_invitation" if invitation else "bureau_acces",
        staff,
        link=link,
        is_reset=invitation is not None and invitation.is_reset,
        until=invitation.expires_at if invitation else None,
        places=[
            ", ".join(filter(None, (str(access.spec(post.role).label), posts.place(post))))
            for post in posts.of_staff(staff.id)
        ],
    )


def _token(secret: bytes, key: uuid.UUID) -> str:
    return opaque.keyed_value(opaque.derive_key(secret, "staff invitation"), key.hex)
