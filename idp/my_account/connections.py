"""`/mon-compte/sessions`: « Mes connexions », the connected devices, the last sign-ins, and signing devices out.

There is no database of places. An IP is compared with the IP of the reader only. It is never shown whole, since another
person at an open page would learn where the other parent lives.
"""

import ipaddress
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Blueprint, Response, abort, request, url_for
from flask_babel import gettext, lazy_gettext as _l
from sqlalchemy import func, or_, select

from idp.accounts import directory
from idp.accounts.closings import Closing, Kind
from idp.accounts.models import Account, Child, Guardianship
from idp.audit import catalogue
from idp.audit.kinds import CHILD, NAMED_CHILD, chosen
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.db import db, unit_of_work
from idp.services import services
from idp.sessions import listed, liveness, manager
from idp.sessions.guard import proved_recently, signed_in
from idp.sessions.models import DeviceSession, Session
from idp.throttle.limits import network_of
from idp.web.i18n import day, instant_in_words
from idp.web.redirects import render_page, see_other
from idp.web.request_context import Device, describe_device, device_of_code, remote_ip

_OWN = {name: kind.own for name, kind in catalogue.KINDS.items() if kind.own}
KINDS_OF_OTHERS = tuple(_OWN)


def words_of(kind: str, details: Mapping[str, Any], children: Mapping[str, str]) -> Any:
    """Return the sentence for an event with places for `who` and `when`, or None if it is not listed.

    `children` are the given names that the person may read, by key.
    """
    words, change = _OWN.get(kind, ""), str(details.get("change", ""))
    if not details.get("child"):
        return chosen(words, "", change) or None
    name = children.get(str(details["child"]))
    if not name:
        return chosen(words, CHILD, "", change) or None
    sentence = str(chosen(words, NAMED_CHILD, "", change))
    return sentence % {"child": name.replace("%", "%%"), "who": "%(who)s", "when": "%(when)s"} or None


def actor(details: Mapping[str, Any]) -> str:
    """Return who did it, by the role at the desk; a command is run by the service's team."""
    desk = details.get("desk")
    role = desk.get("role") if isinstance(desk, dict) else ""
    names: dict[Any, str] = {
        "secretary": gettext("Le secrétariat"),
        "head": gettext("La direction de l’établissement"),
        "helpdesk": gettext("L’assistance de l’académie"),
        "dpo": gettext("Le délégué à la protection des données"),
    }
    return names.get(role) or gettext("L’équipe du service")


_SHOWN = 10
_READ = 100
_ACTS_READ = 50


@dataclass(frozen=True)
class Connection:
    """A connected device.

    `key` is the row of its session, or of its device session. `present` says that it is the reader's own. `left_alone`
    says that it still has access to an ENT, but not to this service. `stays_until` is the end of its device session,
    and `also_from` the other browsers and IPs of its sessions.
    """

    key: uuid.UUID
    device: Device
    since: datetime
    ip: str
    present: bool
    left_alone: bool
    stays_until: datetime | None
    also_from: Sequence[tuple[Device, str]]


def live(account: Account, present: Session) -> list[Connection]:
    """Return the connected devices: the reader's own first, then the last used.

    Sessions of one device session have one `sid`: the last used stands for all.
    """
    sessions, device_sessions = listed.sessions_and_devices(account, _READ)
    devices = {row.sid: row for row in device_sessions}
    rows: dict[str, list[Session | DeviceSession]] = {}
    for row in sorted(sessions, key=lambda row: row.id != present.id):
        rows.setdefault(row.sid, []).append(row)
    for sid, device in devices.items():
        rows.setdefault(sid, [device])
    return [_connection(own, present, devices.get(sid)) for sid, own in rows.items()]


def _connection(rows: Sequence[Session | DeviceSession], present: Session, device: DeviceSession | None) -> Connection:
    row = rows[0]
    return Connection(
        row.id,
        describe_device(row.user_agent),
        row.created_at,
        row.ip,
        present=row.sid == present.sid,
        left_alone=isinstance(row, Session) and liveness.is_out_of_time(row, services().settings, now()),
        stays_until=device.expires_at if device else None,
        also_from=_elsewhere(rows),
    )


def _elsewhere(rows: Sequence[Session | DeviceSession]) -> list[tuple[Device, str]]:
    """Return the other browsers and networks from which sessions of one device were opened: its cookie was copied?"""
    seen = {(describe_device(row.user_agent), network_of(row.ip)): row.ip for row in rows}
    return [(device, ip) for (device, _), ip in seen.items()][1 : _SHOWN + 1]


def _last_sign_ins(account_id: uuid.UUID) -> Sequence[AuditEntry]:
    """Return the last sign-in attempts, the youngest first; re-authentications are not among them."""
    return db.session.scalars(
        select(AuditEntry)
        .where(
            AuditEntry.account_id == account_id,
            AuditEntry.kind == "sign_in",
            or_(AuditEntry.result == "ok", AuditEntry.details["door"].as_string().in_(("sign_in", "passkey"))),
        )
        .order_by(AuditEntry.at.desc(), AuditEntry.id.desc())
        .limit(_SHOWN)
    ).all()


def acts_of_others(account_id: uuid.UUID) -> list[tuple[AuditEntry, Any]]:
    """Return the last acts of the school or the service on an account, with their words, the youngest first.

    An account that was only read is not listed.
    """
    rows = db.session.scalars(
        select(AuditEntry)
        .where(AuditEntry.account_id == account_id, AuditEntry.kind.in_(KINDS_OF_OTHERS), AuditEntry.actor != "")
        .where(AuditEntry.result == "ok")
        .order_by(AuditEntry.at.desc(), AuditEntry.id.desc())
        .limit(_ACTS_READ)
    )
    listed = catalogue.without_twins(rows)
    children = _given_names(account_id) if any(row.details.get("child") for row in listed) else {}
    known = ((row, words_of(row.kind, row.details, children)) for row in listed)
    return [(row, words) for row, words in known if words is not None][:_SHOWN]


def _given_names(account_id: uuid.UUID) -> dict[str, str]:
    """Return the given names, by key, of the children who are or were the person's own, also if a tie is closed.

    A child is missing whose tie is disputed or was ended by the school, or waited for the head: the person may never
    have been its guardian.
    """
    waited = select(Closing.child_id).where(Closing.account_id == account_id, Closing.awaits_head)
    chosen = (
        select(Child.id, Child.given_name)
        .join(Guardianship, Guardianship.child_id == Child.id)
        .where(
            Guardianship.account_id == account_id,
            ~Guardianship.where_closed_as(Kind.EXCLUDED),
            ~Guardianship.where_closed_as(Kind.DISPUTED),
            Child.id.not_in(waited),
        )
    )
    return {str(row.id): row.given_name for row in db.session.execute(chosen)}


@unit_of_work()
def end_one(account: Account, present: Session, key: uuid.UUID) -> bool:
    """End the session of one device, and have the ENTs told; return False if the account has no such session.

    The device's session may have got another row since the page was shown, because the password was typed again: that
    row is ended. A device that has already signed out counts as ended.
    """
    directory.get_for_change(account.id)
    sids = (
        select(row.sid).where(row.id == key, row.account_id == account.id).scalar_subquery()
        for row in (Session, DeviceSession)
    )
    sid = db.session.scalar(select(func.coalesce(*sids)))
    if sid is None or sid == present.sid:
        return False
    manager.end_browser(account.id, sid, by="person")
    return True


@unit_of_work()
def end_others(account: Account, present: Session) -> None:
    """End the sessions of all devices but the reader's own, and what was copied from it; have the ENTs told."""
    directory.get_for_change(account.id)
    alive = db.session.scalar(select(Session.id).where(Session.id == present.id, liveness.unended()))
    if alive is None:  # the reader's own session was renewed or ended meanwhile: the page is loaded again
        return
    manager.end_others(present, by="person")


blueprint = Blueprint("connections", __name__)

_DONE = {
    "verifie": _l("C’est bien vous. Touchez à nouveau le bouton qui déconnecte."),
    "appareil": _l("L’appareil est déconnecté."),
    "autres": _l("Les autres appareils sont déconnectés."),
}
_PICTURES = {"phone": "phone", "tablet": "phone", "computer": "laptop"}
_DAYS_A_MONTH = 30.4


@blueprint.get("/mon-compte/sessions")
@signed_in
def show(session: Session, account: Account) -> Response:
    """Show the connected devices and the last sign-ins."""
    here = remote_ip()
    listed = live(account, session)
    return render_page(
        "my_account/mes_connexions.html",
        dest=None,
        done=_DONE.get(request.args.get("fait", ""), ""),
        proved=proved_recently(session),
        devices=[in_words(connection, here) for connection in listed],
        # a copied cookie of this device, which opened nothing yet, is not listed
        may_have_others=any(not each.present or each.also_from or each.stays_until for each in listed),
        sign_ins=[_sentence(entry, here) for entry in _last_sign_ins(account.id)],
        acts=[
            str(words) % {"who": actor(entry.details), "when": instant_in_words(entry.at)}
            for entry, words in acts_of_others(account.id)
        ],
        months=round(services().settings.audit_days / _DAYS_A_MONTH),
        failure_months=round(services().settings.audit_failure_days / _DAYS_A_MONTH),
    )


@blueprint.post("/mon-compte/sessions")
@signed_in
def end(session: Session, account: Account) -> Response:
    """Sign one device out, or all others; ask for the password first, unless it was typed recently."""
    if not proved_recently(session):
        return see_other(url_for("reauthentication.verify", suite="connexions"))
    if "toutes" in request.form:
        end_others(account, session)
        return see_other(url_for("connections.show", fait="autres"))
    try:
        key = uuid.UUID(request.form.get("connexion", "")[:36])
    except ValueError:
        abort(404)
    if not end_one(account, session, key):
        abort(404)
    return see_other(url_for("connections.show", fait="appareil"))


def in_words(connection: Connection, here: str) -> dict[str, object]:
    """Return a device as pages show it, for a reader whose IP is `here`."""
    return {
        "key": connection.key,
        "picture": _PICTURES.get(connection.device.kind, "help"),
        "label": connection.device.label,
        "since": instant_in_words(connection.since),
        "origin": _capital(origin_of(connection.ip, here)),
        "present": connection.present,
        "state": _state(connection),
        "also_from": [
            gettext("Ouvert aussi depuis : %(device)s, %(origin)s.", device=device.name, origin=origin_of(ip, here))
            for device, ip in connection.also_from
        ],
    }


def _state(connection: Connection) -> str:
    if connection.stays_until:
        return str(gettext("Cet appareil reste connecté jusqu’au %(day)s.", day=day(connection.stays_until)))
    return str(gettext("Plus ouvert ici, mais un ENT peut y être resté ouvert.")) if connection.left_alone else ""


def _sentence(attempt: AuditEntry, here: str) -> str:
    """Return « Hier à 18 h 05, Ordinateur Windows, même connexion internet que maintenant : par mot de passe »."""
    details, succeeded = attempt.details, attempt.result == "ok"
    device = [device_of_code(details["device"]).name] if details.get("device") else []
    parts = [_capital(instant_in_words(attempt.at)), *device, origin_of(attempt.ip, here)]
    if details.get("door") == "passkey" or "user" in details.get("amr", ()):
        result = gettext("réussie, par clé d’accès") if succeeded else gettext("clé d’accès refusée")
    else:
        result = gettext("réussie, par mot de passe") if succeeded else gettext("mot de passe refusé")
    return str(gettext("%(what)s : %(result)s", what=", ".join(parts), result=result))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


_HIDDEN = "\u2022"


def origin_of(ip: str, here: str) -> str:
    """Return the sentence for a connection from `ip`, for a reader whose IP is `here`."""
    if ip and network_of(ip) == network_of(here):
        return str(gettext("même connexion internet que maintenant"))
    kept = _coarse(ip)
    if not kept:
        return str(gettext("autre connexion internet"))
    return str(gettext("autre connexion internet (%(start)s)", start=kept))


def _coarse(ip: str) -> str:
    """Return the first half of an IPv4 address or two groups of an IPv6 address; empty for other texts."""
    try:
        parsed = ipaddress.ip_address(network_of(ip).partition("/")[0])
    except ValueError:
        return ""
    if isinstance(parsed, ipaddress.IPv4Address):
        return ".".join([*str(parsed).split(".")[:2], _HIDDEN, _HIDDEN])
    return ":".join([*(group.lstrip("0") or "0" for group in parsed.exploded.split(":")[:2]), _HIDDEN])
