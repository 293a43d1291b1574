"""The mail by which an ENT operator asks the académie for a change that the form refuses."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from flask import url_for
from flask_babel import gettext
from sqlalchemy import select

from idp.clients.models import Client
from idp.db import db
from idp.desk.staff import posts
from idp.desk.staff.models import Role, StaffAccount, StaffRole
from idp.registration.faults import Fault, FaultCode
from idp.registration.metadata import BY_NAME, ClientMetadata
from idp.services import services

_BY_ACADEMY = frozenset({FaultCode.NEW_HOST, FaultCode.SEVERAL_HOSTS, FaultCode.OTHER_SECTOR, FaultCode.NAME_TAKEN})
"""The faults that the académie's engineer can settle."""
_LONGEST_VALUE = 600


@dataclass(frozen=True)
class Request:
    """Whom to write to, and a `mailto:` URL with the whole text."""

    recipients: Sequence[str]
    url: str


def request_for(client: Client, faults: Sequence[Fault], metadata: ClientMetadata) -> Request | None:
    """Return the mail to the engineers about the faults that they can settle; None if there is none, or no engineer."""
    fields = [fault.field for fault in faults if fault.code in _BY_ACADEMY]
    engineers = posts.holders(StaffRole.role == Role.ENGINEER)
    known = select(StaffAccount.email).where(StaffAccount.id.in_(engineers)).order_by(StaffAccount.email)
    recipients = db.session.scalars(known).all()
    if not fields or not recipients:
        return None
    subject = gettext("ENT %(name)s : changement à faire", name=client.name)
    body = "\n".join(_lines(client, fields, metadata))
    to = ",".join(quote(email, safe="@") for email in recipients)
    return Request(recipients, f"mailto:{to}?subject={quote(subject)}&body={quote(body)}")


def _lines(client: Client, fields: Sequence[str], metadata: ClientMetadata) -> Iterator[str]:
    desk_url = services().settings.desk_url
    yield gettext("Bonjour,")
    yield ""
    yield gettext("L’ENT %(name)s (client_id %(key)s) doit changer ainsi :", name=client.name, key=client.client_id)
    for name in dict.fromkeys(fields):
        value = getattr(metadata, name, "")
        text = value if isinstance(value, str) else " ".join(map(str, value or ()))
        yield f"{BY_NAME[name].member or name} = {text[:_LONGEST_VALUE]}" if name in BY_NAME else name
    yield ""
    yield gettext("Sa page au bureau : %(url)s", url=f"{desk_url}{url_for('ents.edit', key=client.id)}")
