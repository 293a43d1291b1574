"""ENTs that an ENT operator registers: they wait for the académie, which accepts or refuses them.

To serve a school is to read the claims of its families, so that no ENT operator attaches one. A waiting ENT is disabled
and serves no school: its operator may correct it, test it and write its charter, and nobody can enter it. Mails say
what waits and what was decided, also about a change of an ENT.
"""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import case, func, select

from idp.audit import changes, log
from idp.audit.models import AuditEntry
from idp.audit.registry_events import ClientChanged, ClientDeclined
from idp.clients.models import Client
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.desk import access
from idp.desk.alerts import of_alert
from idp.desk.staff import posts
from idp.desk.staff.models import StaffRole
from idp.desk.team import invitations, mails
from idp.outbox import queue
from idp.outbox.worker import Outcome
from idp.registration import approvals, registrations, sectors
from idp.registration.faults import Fault, FaultCode, RegistrationRefusedError
from idp.registration.metadata import BY_NAME, ClientMetadata

MOST_WAITING = 3  # the ENTs and the changes of one ENT operator that may wait at a time
MOST_A_DAY = 5
"""The ENTs and the changes that one ENT operator may ask for within a day, also if some of them wait no longer."""
_DAY = timedelta(days=1)
PROPOSED = "proposed"
METHODS = ("client_secret_basic", "client_secret_post", "private_key_jwt")
"""The authentication methods that an ENT operator may ask for: a public client proves nothing."""
DECIDED = ("audience", "scopes", "release_username", "pkce_required")
"""The fields that widen what an ENT knows or weaken its proof: the académie alone gives another value than usual."""


def ask(
    settings: Settings, metadata: ClientMetadata, staff_id: uuid.UUID, *, client_id: str = ""
) -> tuple[Client, str | None]:
    """Register an ENT that waits for the académie; return it and its secret, of which only a digest is kept.

    The metadata have the schools that the ENT operator asks for. The role of `staff_id`, the ENT operator, at the new
    ENT lasts as long as the longest of the present ones. By default the client gets a random id.

    Raises:
        RegistrationRefusedError: with every fault; or the person is no ENT operator, or too many of their ENTs wait.
    """
    if faults := list(_decided_faults(metadata)):
        raise RegistrationRefusedError(*faults)
    registrations.check(settings, metadata)
    sector = sectors.find(metadata)
    with unit_of_work():
        staff = invitations.get_for_change(staff_id)
        if staff is None or staff.disabled_at is not None:
            raise registrations.state_error("the ENT operator left")
        own = [post for post in posts.of_staff(staff_id) if access.spec(post.role).scope is access.Scope.ENT]
        if not own:
            raise registrations.state_error(f"{staff.email} is no operator of an ENT")
        check_number(staff_id)
        client, secret = registrations.add(replace(metadata, uais=()), sector, client_id=client_id)
        client.waiting_since = client.disabled_at = now()
        client.asked_uais, client.asked_by = list(dict.fromkeys(metadata.uais)), staff_id
        db.session.flush()
        approvals.check_name(settings, client.name, client, accepted=client.name)
        invitations.grant_role(
            staff, posts.Grant(own[0].role, clients=[client], until=max(post.valid_until for post in own))
        )
        after = changes.made(registrations.audited(client))
        log.record(ClientChanged(client_id=client.id, change="asked", after=after))
        tell(client, "asked", of_alert(staff_id, None), by=staff_id)
    return client, secret


def _decided_faults(metadata: ClientMetadata) -> Iterator[Fault]:
    for name in DECIDED:
        if getattr(metadata, name) != BY_NAME[name].default:
            text = "is decided by the académie when it accepts the ENT: leave it out"
            yield Fault(name, text, code=FaultCode.DECIDED_BY_ACADEMY)
    if metadata.auth_method not in METHODS:
        yield Fault("auth_method", f"must be one of {', '.join(METHODS)}", code=FaultCode.UNKNOWN_VALUE)


def check_number(staff_id: uuid.UUID, *, replaced: Client | None = None) -> None:
    """Refuse another ENT or change of an ENT operator, whose row the caller has locked: too many wait or are of today.

    The person who asked counts, not who acts for an ENT: an ENT operator may end the own role. `replaced` is an ENT
    whose change that waits goes.

    Raises:
        RegistrationRefusedError: there are too many already.
    """
    waits, is_new = Client.waiting_since.is_not(None), Client.created_at > now() - _DAY
    columns = func.count(case((waits, Client.id))), func.count(case((is_new, Client.id)))
    waiting, today = db.session.execute(select(*columns).where(Client.asked_by == staff_id)).one()
    changes_of = select(Client.id, Client.pending_metadata).where(Client.pending_metadata.is_not(None))
    waiting += sum(
        kept.get(approvals.ASKED_BY) == str(staff_id)
        for key, kept in db.session.execute(changes_of)
        if kept and (replaced is None or key != replaced.id)
    )
    proposed = select(func.count()).where(
        AuditEntry.where_kind(ClientChanged.kind),
        AuditEntry.staff_id == staff_id,
        AuditEntry.at > now() - _DAY,
        AuditEntry.details["change"].as_string() == PROPOSED,
    )
    today += db.session.scalar(proposed) or 0
    if waiting >= MOST_WAITING:
        text = f"{MOST_WAITING} ENTs or changes of this ENT operator wait already: accept or refuse one first"
        raise registrations.state_error(text, FaultCode.MANY_WAIT)
    if today >= MOST_A_DAY:
        text = f"this ENT operator registered or changed {MOST_A_DAY} ENTs within a day: wait until tomorrow"
        raise registrations.state_error(text, FaultCode.MANY_TODAY)


def accept(settings: Settings, client: Client, metadata: ClientMetadata) -> None:
    """Open an ENT that waits, with the schools and the rest that the académie decided.

    A change of the client since it was read is a fault.

    Raises:
        RegistrationRefusedError: with every fault; or the ENT does not wait, or nobody answers for it any more.
    """
    _check_waiting(client)
    registrations.check(settings, metadata)
    registrations.check_change(settings, client, metadata)
    approvals.check_name(settings, metadata.name, client, accepted=metadata.name)
    with unit_of_work(), registrations.journaled(client, "accepted"):
        if not acts_for(client.asked_by, client):
            text = f"the ENT operator who registered {client.name} acts for it no longer: refuse it"
            raise registrations.state_error(text, FaultCode.ASKER_LEFT)
        registrations.change(client, metadata)
        client.disabled_at = client.waiting_since = None
        client.asked_uais = []
        tell(client, "accepted", {role.staff_id for role in operators(client)})


def refuse(client: Client, reason: str) -> None:
    """Refuse an ENT that waits: it stays disabled, and the roles at it end.

    Raises:
        RegistrationRefusedError: the ENT does not wait, or was changed after it was read.
    """
    _check_waiting(client)
    roles = operators(client)
    with unit_of_work():
        with registrations.journaled(client, "refused", ClientDeclined, reason=reason):
            registrations.count_change(client)
            client.waiting_since, client.declined_at, client.asked_uais = None, now(), []
        tell(client, "refused", {role.staff_id for role in roles}, reason=reason)
        for role in roles:
            posts.end(role.id)


def operators(client: Client) -> list[StaffRole]:
    """Return the roles in force at an ENT."""
    return list(db.session.scalars(select(StaffRole).where(StaffRole.client_id == client.id, posts.in_force(now()))))


def _check_waiting(client: Client) -> None:
    if client.waiting_since is None:
        raise registrations.state_error(f"{client.name} does not wait for the académie", FaultCode.NOT_WAITING)


def acts_for(staff_id: uuid.UUID | None, client: Client) -> bool:
    """Return whether a person acts for an ENT now; the académie can only refuse what somebody else asked for it."""
    return staff_id in posts.holders(StaffRole.client_id == client.id)


MAIL = "desk.ent"


def tell(
    client: Client,
    news: str,
    recipients: Iterable[uuid.UUID],
    *,
    by: uuid.UUID | None = None,
    reason: str = "",
    moved: Sequence[Any] = (),
) -> None:
    """Enqueue a mail for each recipient, in the caller's transaction; `moved` are fields, and URIs before and after."""
    payload = {"client": str(client.id), "news": news, "by": str(by) if by else "", "reason": reason, "moved": moved}
    for recipient in sorted(recipients):
        queue.enqueue(MAIL, {**payload, "recipient": str(recipient)})


def hand_over(message: queue.OutboxMessage, settings: Settings) -> Outcome:
    """Send the mail (outbox handler); drop it if the recipient left, or the ENT no longer waits."""
    payload = message.payload
    client = db.session.get(Client, uuid.UUID(payload["client"]), populate_existing=True)
    recipient = mails.find_recipient(payload["recipient"])
    if client is None or recipient is None:
        return Outcome.DROPPED
    if payload["news"] == "asked" and client.waiting_since is None:
        return Outcome.DROPPED
    if payload["news"] == "proposed" and not approvals.has_proposal(client):
        return Outcome.DROPPED
    moved = payload.get("moved", ())
    return mails.send(
        message,
        settings,
        "bureau_ent",
        recipient,
        link=settings.desk_url if payload["news"] == "refused" else mails.page_url(settings, f"/ent/{client.id}"),
        news=payload["news"],
        ent=client.name,
        operator=mails.find_name(payload["by"]),
        reason=payload["reason"],
        moved=[(BY_NAME[name].member or name, before, after) for name, before, after in moved],
        shown_urls=[url for _, before, after in moved for url in (*before, *after) if _is_on_accepted_host(url)],
    )


def _is_on_accepted_host(url: str) -> bool:
    """Return whether a mail may show a URL of a change whole, so that an operator reads and copies it.

    A change that is in force at once stays on hosts that the académie accepted. A mail program may make a link of such
    a text: it leads to the ENT, and never to a host that an operator chose alone.
    """
    parts = urlsplit(url)
    return parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc
