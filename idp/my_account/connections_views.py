"""`/mon-compte/sessions`: « Mes connexions ».

There is no database of places. An IP is compared with the IP of the reader only. It is never shown whole, since another
person at an open page would learn where the other parent lives.
"""

import ipaddress
import uuid
from typing import Any

from flask import Blueprint, Response, make_response, render_template, request, url_for
from flask_babel import gettext
from flask_babel import lazy_gettext as _l

from idp.accounts.models import Account
from idp.audit.models import AuditEntry
from idp.my_account import connections
from idp.services import services
from idp.sessions.guard import proved_recently, signed_in
from idp.sessions.models import Session
from idp.throttle.limits import network_of
from idp.web.errors import not_found
from idp.web.i18n import day, instant_in_words
from idp.web.redirects import see_other
from idp.web.request_context import remote_ip

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
    listed = connections.live(account, session)
    html = render_template(
        "my_account/mes_connexions.html",
        dest=None,
        done=_DONE.get(request.args.get("fait", ""), ""),
        proved=proved_recently(session),
        devices=[in_words(connection, here) for connection in listed],
        may_have_others=any(_may_be_elsewhere(connection) for connection in listed),
        sign_ins=[_sentence(connection, here) for connection in connections.last_sign_ins(account.id)],
        acts=[act_sentence(entry, words) for entry, words in connections.acts_of_others(account.id)],
        months=round(services().settings.audit_days / _DAYS_A_MONTH),
        failure_months=round(services().settings.audit_failure_days / _DAYS_A_MONTH),
    )
    return make_response(html)


def _may_be_elsewhere(connection: connections.Connection) -> bool:
    """Return whether another device may have access; a copied device cookie that opened nothing yet is not listed."""
    return bool(not connection.present or connection.also_from or connection.stays_until)


@blueprint.post("/mon-compte/sessions")
@signed_in
def end(session: Session, account: Account) -> Response:
    """Sign one device out, or all others; ask for the password first, unless it was typed recently."""
    if not proved_recently(session):
        return see_other(url_for("reauthentication.verify", suite="connexions"))
    if "toutes" in request.form:
        connections.end_others(account, session)
        return see_other(url_for("connections.show", fait="autres"))
    try:
        key = uuid.UUID(request.form.get("connexion", "")[:36])
    except ValueError:
        not_found()
    if not connections.end_one(account, session, key):
        not_found()
    return see_other(url_for("connections.show", fait="appareil"))


def in_words(connection: connections.Connection, here: str) -> dict[str, object]:
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


def _state(connection: connections.Connection) -> str:
    if connection.stays_until:
        return str(gettext("Cet appareil reste connecté jusqu’au %(day)s.", day=day(connection.stays_until)))
    return str(gettext("Plus ouvert ici, mais un ENT peut y être resté ouvert.")) if connection.left_alone else ""


def _sentence(attempt: connections.SignIn, here: str) -> str:
    """Return « Hier à 18 h 05, Ordinateur Windows, même connexion internet que maintenant : par mot de passe »."""
    parts = [
        _capital(instant_in_words(attempt.at)),
        *([attempt.device.name] if attempt.device else []),
        origin_of(attempt.ip, here),
    ]
    if attempt.by_passkey:
        result = gettext("réussie, par clé d’accès") if attempt.succeeded else gettext("clé d’accès refusée")
    else:
        result = gettext("réussie, par mot de passe") if attempt.succeeded else gettext("mot de passe refusé")
    return str(gettext("%(what)s : %(result)s", what=", ".join(parts), result=result))


def act_sentence(entry: AuditEntry, words: Any) -> str:
    """Return « Le secrétariat a imprimé un courrier le 24 novembre 2026 à 10 h 12. » for an entry."""
    return str(words) % {"who": connections.actor(entry.details), "when": instant_in_words(entry.at)}


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
