"""Mails to the people of the desk: who still gets them, how they are sent, and those about the staff itself.

Those tell of a new device, a new means to sign in, a new role, other contacts of a school.
"""

import uuid
from collections.abc import Collection, Sequence
from typing import Any
from urllib.parse import urlencode

from flask_babel import force_locale
from sqlalchemy import select

from idp.accounts.models import School
from idp.accounts.school_notices import CONTACTS
from idp.audit import log
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.desk import access
from idp.desk.staff import posts
from idp.desk.staff.models import CredentialKind, Role, StaffAccount, StaffRole
from idp.mail.compose import compose
from idp.mail.smtp import deliver
from idp.outbox import queue
from idp.outbox.worker import Outcome
from idp.web.request_context import describe_device, device_of_code, user_agent


def find_recipient(key: str) -> StaffAccount | None:
    """Return the person with the key of a payload as the database has them now, or None if the person left."""
    person = db.session.get(StaffAccount, uuid.UUID(key), populate_existing=True)
    return None if person is None or person.disabled_at is not None else person


def find_name(key: str) -> str:
    """Return the name of the person with the key of a payload; empty without a key or a person."""
    person = db.session.get(StaffAccount, uuid.UUID(key)) if key else None
    return person.name if person else ""


def page_url(settings: Settings, path: str) -> str:
    """Return the link to a page of the desk; a person with several posts first chooses one."""
    return f"{settings.desk_url}/etablissements?{urlencode({'suite': path})}"


def send(
    message: queue.OutboxMessage,
    settings: Settings,
    name: str,
    recipient: StaffAccount | str,
    *,
    link: str = "",
    shown_urls: Collection[str] = (),
    **context: Any,
) -> Outcome:
    """Send the mail `templates/mail/<name>/` to a person, or to the mail address of a school.

    `link` is a URL of the desk. `shown_urls` are others that the mail shows: validated ones of an ENT.
    """
    email, person = (recipient, "") if isinstance(recipient, str) else (recipient.email, recipient.name)
    mail = compose(
        name,
        recipient=email,
        context={"person": person, "link": link, "is_staff": True, **context},
        message_id=f"{message.id}",
        settings=settings,
        other_urls=[link, *shown_urls],
    )
    deliver(mail, email)
    return Outcome.DONE


NEW_DEVICE = "staff.new_device"
"""The kind of outbox message that tells a person, or a head, of a sign-in on a new device."""

NEW_CREDENTIAL = "staff.new_credential"
"""The kind that tells of a new passkey, a new password with an application, or new recovery codes."""

NEW_ROLE = "staff.new_role"  # the kind that tells of a new head, or a new role at the académie


def tell_new_roles(granted: Sequence[StaffRole]) -> None:
    """Enqueue the mails about new roles, in the caller's transaction; who granted them gets one too.

    A new head is told to the heads of the school and the engineers, a new person of the académie to its engineers and
    DPOs.
    """
    desk = log.current_origin().desk
    by = str(desk.staff_id) if desk else ""
    for row in granted:
        new = access.spec(row.role)
        if not new.leads and new.scope is not access.Scope.ACADEMY:
            continue
        payload = {"staff": str(row.staff_id), "role": row.role.value, "by": by}
        for recipient in posts.holders(access.is_told(new.scope, row.school_id), StaffRole.staff_id != row.staff_id):
            queue.enqueue(NEW_ROLE, {**payload, "school": str(row.school_id or ""), "recipient": str(recipient)})


@unit_of_work()
def _tell_contacts(former: str, **payload: str) -> Outcome:
    if former:
        queue.enqueue(CONTACTS, {**payload, "email": former})
    for recipient in posts.holders(access.heads(), StaffRole.school_id == uuid.UUID(payload["school"])):
        queue.enqueue(CONTACTS, {**payload, "recipient": str(recipient)})
    return Outcome.DONE


def tell_new_credential(staff: StaffAccount, kind: CredentialKind) -> None:
    """Enqueue the mails about a new means to sign in, in the caller's transaction."""
    _tell_with_heads(NEW_CREDENTIAL, staff, credential=kind.value)


def tell_new_device(staff: StaffAccount) -> None:
    """Enqueue the mails about a sign-in on a new device, in the caller's transaction."""
    _tell_with_heads(NEW_DEVICE, staff, device=describe_device(user_agent()).code)


def _tell_with_heads(kind: str, staff: StaffAccount, **about: str) -> None:
    payload = {"staff": str(staff.id), "ip": log.current_origin().ip, **about}
    for recipient in (staff.id, *_heads_of(staff.id)):
        queue.enqueue(kind, {**payload, "recipient": str(recipient)})


def _heads_of(staff_id: uuid.UUID) -> list[uuid.UUID]:
    """Return the heads who have enrolled of the schools in which a person works, without the person.

    The head of a school in which the person has not signed in yet does not learn that the mailbox has an account.
    """
    schools = (
        select(StaffRole.school_id)
        .join(StaffAccount, StaffAccount.id == StaffRole.staff_id)
        .where(
            StaffRole.staff_id == staff_id,
            StaffRole.school_id.is_not(None),
            posts.in_force(now()),
            posts.held_at_last_sign_in(),
        )
    )
    return posts.holders(
        access.heads(),
        StaffRole.school_id.in_(schools),
        StaffRole.staff_id != staff_id,
        StaffAccount.enrolled_at.is_not(None),
    )


def hand_over_change(message: queue.OutboxMessage, settings: Settings) -> Outcome:
    """Send a mail about a new role or other contacts of a school (outbox handler)."""
    payload = message.payload
    if "former" in payload:
        return _tell_contacts(**payload)
    recipient = find_recipient(payload["recipient"]) if "recipient" in payload else payload["email"]
    staff = find_recipient(payload["staff"]) if "staff" in payload else None
    if recipient is None or (staff is None and message.kind == NEW_ROLE):
        return Outcome.DROPPED
    school = db.session.get(School, uuid.UUID(payload["school"])) if payload["school"] else None
    return send(
        message,
        settings,
        "bureau_role" if message.kind == NEW_ROLE else "bureau_contacts",
        recipient,
        colleague=staff.email if staff else "",
        role=access.spec(Role(payload["role"])).label if staff else "",
        place=school.name if school else settings.academy,
        by=find_name(payload["by"]),
        at=message.created_at,
    )


def hand_over_sign_in(message: queue.OutboxMessage, settings: Settings) -> Outcome:
    """Send a mail about a new device or a new means to sign in (outbox handler)."""
    payload = message.payload
    staff = db.session.get(StaffAccount, uuid.UUID(payload["staff"]), populate_existing=True)
    recipient = find_recipient(payload["recipient"])
    if staff is None or recipient is None:
        return Outcome.DROPPED
    if message.kind == NEW_DEVICE:
        with force_locale("fr"):
            about = {"device": device_of_code(payload["device"]).label}
    else:
        about = {"credential": payload["credential"]}
    return send(
        message,
        settings,
        "bureau_appareil" if message.kind == NEW_DEVICE else "bureau_securite",
        recipient,
        colleague="" if recipient.id == staff.id else staff.name,
        is_head=any(access.spec(post.role).leads for post in posts.of_staff(recipient.id)),
        ip=payload["ip"],
        at=message.created_at,
        **about,
    )
