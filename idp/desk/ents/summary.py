"""What the page of an ENT says, in plain words."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from flask_babel import gettext, ngettext
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from idp.accounts.models import School
from idp.charter import service as charters
from idp.clients.models import Audience, CharterMode, Client, ClientSchool, SubjectType
from idp.clock import now
from idp.db import db
from idp.desk import access
from idp.desk.ents.acceptance import acts_for
from idp.desk.ents.fields import RegistrationForm, scope_names
from idp.desk.ents.proposals import Proposal
from idp.desk.statistics import suppression, tables
from idp.desk.team import mails
from idp.oidc.client_auth.client import SECRET_METHODS
from idp.registration import approvals, registrations, rows
from idp.registration.declarations import Kind
from idp.registration.metadata import BY_NAME, ClientMetadata, leading_uris, uris
from idp.web.i18n import day, french_spacing, hour

_MOST_SCHOOLS = 50

_PAGES = frozenset({"policy_uri", "tos_uri"})  # the addresses that a parent may read and that receive nothing


# A fact for a page: its label, the name that the protocol has for it, if any, and the lines of its value.
_Fact = tuple[str, str, list[str]]


def detail(client: Client) -> dict[str, Any]:
    """Return what the page of an ENT shows."""
    served = select(School).where(School.uai.in_(client.uais)).order_by(School.name)
    schools = list(db.session.scalars(served.limit(_MOST_SCHOOLS)))
    return {
        "client": client,
        "state": state(client),
        "facts": [
            (label, technical, [french_spacing(line) for line in lines if line])
            for label, technical, lines in _facts(client)
        ],
        "schools": schools,
        "more_schools": len(client.uais) - len(schools),
        "asked": asked_schools(client),
        "secret": secret_sentences(client),
        "has_secret": has_secret(client),
        "versions": charters.versions(client.id),
        "acceptance": acceptance(client),
        "proposed": proposed_change(client),
    }


def asked_schools(client: Client) -> list[str]:
    """Return the schools that the operator of a waiting ENT asks for.

    The engineer reads their names and the ENTs that serve them today. Anybody else reads the numbers alone: an ENT
    operator could otherwise ask for all numbers, and learn who serves which school of the académie.
    """
    if not access.may(access.Right.DECIDE_ENTS):
        return list(client.asked_uais)
    schools = select(School.uai, School.name).where(School.uai.in_(client.asked_uais))
    names: dict[str, str] = dict(db.session.execute(schools).all())
    serving = (
        select(ClientSchool.uai, Client.name)
        .join(Client, Client.id == ClientSchool.client_id)
        .where(ClientSchool.uai.in_(client.asked_uais), Client.disabled_at.is_(None))
        .order_by(Client.name)
    )
    others: dict[str, list[str]] = {}
    for uai, name in db.session.execute(serving):
        others.setdefault(uai, []).append(name)
    served_by = {uai: gettext(", servi aujourd’hui par %(ents)s", ents=", ".join(ents)) for uai, ents in others.items()}
    return [f"{names.get(uai, gettext('inconnu ici'))} ({uai}){served_by.get(uai, '')}" for uai in client.asked_uais]


def has_secret(client: Client) -> bool:
    """Return whether the ENT authenticates by a secret."""
    return client.auth_method in SECRET_METHODS


def state(client: Client) -> str:
    """Return whether people may enter the ENT."""
    if client.waiting_since is not None:
        return str(gettext("En attente de l’accord de l’académie depuis le %(day)s", day=day(client.waiting_since)))
    if client.disabled_at is None:
        return str(gettext("Ouvert"))
    if client.declined_at is not None:
        return str(gettext("Refusé par l’académie le %(day)s", day=day(client.declined_at)))
    if registrations.ended_itself(client):
        return str(gettext("Fermé : l’ENT a mis fin à son enregistrement"))
    return str(gettext("Fermé depuis le %(day)s", day=day(client.disabled_at)))


def _facts(client: Client) -> list[_Fact]:
    return [
        (gettext("État"), "", [state(client), _pending(client)]),
        (gettext("Identifiant technique"), "client_id", [client.client_id]),
        (gettext("Public"), "", [_known(client)]),
        (gettext("Reçoit"), "scope", _released(client)),
        (gettext("Numéro d’un parent"), "subject_type", [_subject(client)]),
        *_addresses(client),
        (gettext("Preuve de l’ENT"), "token_endpoint_auth_method", [_proof(client)]),
        (gettext("Contacts"), "contacts", client.description.get("contacts") or [gettext("Aucun")]),
    ]


def _addresses(client: Client) -> Iterator[_Fact]:
    metadata = rows.read(client)
    for field in RegistrationForm():
        declared = BY_NAME[field.name]
        if declared.kind in (Kind.URI, Kind.URIS):
            own = uris(metadata)[field.name]
            yield str(field.label.text), declared.member, own or [gettext("Aucune")]


def _known(client: Client) -> str:
    if client.waiting_since is not None:
        return str(gettext("Personne avant l’accord de l’académie"))
    if client.audience is Audience.FAMILIES:
        many = "Les familles de %(num)s établissements"
        return str(ngettext("Les familles d’un établissement", many, len(client.uais)))
    return str(gettext("Tous les parents de l’académie"))


def _subject(client: Client) -> str:
    words = {
        SubjectType.PAIRWISE: gettext("propre à cet ENT"),
        SubjectType.PUBLIC: gettext("le même pour tous les ENT"),
        SubjectType.AAF: gettext("tiré de l’annuaire académique (AAF)"),
    }
    return f"{words[client.subject_type]} ({client.subject_type.value})"


def _pending(client: Client) -> str:
    if not client.pending_metadata:
        return ""
    if access.may(access.Right.DECIDE_ENTS):
        return str(gettext("Une modification attend votre accord"))
    return str(gettext("Une modification attend l’accord de l’académie"))


def _released(client: Client) -> list[str]:
    names = [f"{name} ({scope})" for scope, name in scope_names().items() if scope in client.scopes]
    return [*names, gettext("Identifiant de connexion")] if client.release_username else names


def _proof(client: Client) -> str:
    if has_secret(client):
        return f"{gettext('Un secret')} ({client.auth_method})"
    if client.auth_method == "none":
        return f"{gettext('Aucune : client public')} (none)"
    signed = gettext("Une signature, avec les clés de %(uri)s", uri=client.jwks_uri or gettext("l’enregistrement"))
    return f"{signed} ({client.auth_method})"


def secret_sentences(client: Client) -> list[str]:
    """Return the age of the secret, and until when the former one works."""
    if not has_secret(client):
        return [gettext("Cet ENT n’a pas de secret.")]
    sentences = [gettext("Date inconnue.")]
    if client.secret_at is not None:
        days = (now() - client.secret_at) // timedelta(days=1)
        since = gettext("En service depuis le %(day)s", day=day(client.secret_at))
        sentences = [f"{since} ({ngettext('un jour', '%(num)s jours', days)})." if days else f"{since}."]
    until = client.former_secret_until
    if until is not None and until > now():
        sentences.append(
            gettext("L’ancien secret fonctionne jusqu’au %(day)s à %(hour)s.", day=day(until), hour=hour(until))
        )
    return sentences


def acceptance(client: Client) -> str:
    """Return the share of people who accepted the current charter, in the school of the post or everywhere.

    Outside the school the numbers are hidden and rounded as all figures of the desk are: see `counting`.
    """
    if client.charter_mode is CharterMode.NONE:
        return str(gettext("Cet ENT ne demande pas de charte."))
    if client.charter_version_id is None:
        return str(gettext("Aucune charte n’est publiée."))
    in_school = access.own_spec().is_at_school
    try:
        people, accepted = charters.count_acceptances(client.id, *([access.accounts()] if in_school else []))
    except OperationalError:  # the statement ran into its time limit
        return str(gettext("Le nombre d’acceptations n’a pas pu être calculé à temps."))
    if not in_school:
        return _rounded_acceptance(people, accepted)
    if not people:
        return str(gettext("Aucun parent n’a encore choisi son mot de passe."))
    share = round(100 * accepted / people)
    return str(
        gettext(
            "%(share)s %% des comptes avec un mot de passe choisi l’ont acceptée : %(accepted)s sur %(people)s.",
            share=share,
            accepted=accepted,
            people=people,
        )
    )


def concerned(client: Client) -> str:
    """Return how many people a new version asks to accept it, as a sentence for somebody outside the schools."""
    if client.charter_mode is CharterMode.NONE:
        return str(gettext("Cet ENT ne demande pas de charte : personne ne lira celle-ci."))
    try:
        people, _ = charters.count_acceptances(client.id)
    except OperationalError:  # the statement ran into its time limit
        return str(gettext("Le nombre de parents qui devront l’accepter n’a pas pu être calculé à temps."))
    return str(gettext("Parents qui devront l’accepter : %(n)s.", n=tables.number(people)))


def _rounded_acceptance(people: int, accepted: int) -> str:
    """Return the share of the rounded numbers; nothing of them if few people accepted the charter, or few did not."""
    cells = suppression.alone([accepted, people - accepted, people])
    shown = [cell for cell in suppression.rounded([cells])[0] if not isinstance(cell, suppression.Hidden)]
    if len(shown) < len(cells):
        sentence = gettext("Moins de %(few)s personnes l’ont acceptée, ou moins de %(few)s ne l’ont pas encore fait.")
        return str(sentence) % {"few": suppression.THRESHOLD}
    return str(
        gettext(
            "Environ %(share)s %% des comptes avec un mot de passe choisi l’ont acceptée : %(accepted)s sur "
            "%(people)s, arrondis à la dizaine du dessous.",
            share=round(100 * shown[0] / shown[2]),
            accepted=shown[0],
            people=shown[2],
        )
    )


def proposed_change(client: Client) -> dict[str, Any] | None:
    """Return the change of an ENT that waits for the académie, for a page, or None.

    The facts are the changed fields with their lines before and after; `staying` are the addresses that stay on a
    server which the ENT leaves. The warnings say what the other servers of the change get.
    """
    waiting = Proposal.of(client)
    if waiting is None:
        return None
    former = rows.read(client)
    metadata = waiting.applied(former)
    facts = []
    for name in waiting.values:
        before, after = (_value_lines(getattr(each, name)) for each in (former, metadata))
        lines = [gettext("aujourd’hui : %(value)s", value=line) for line in before if line not in after]
        lines += [gettext("demandé : %(value)s", value=line) for line in after if line not in before]
        facts.append((*_labels(name), lines))
    return {
        "key": waiting.key,
        "by": mails.find_name(str(waiting.by)),
        "asked_at": waiting.asked_at,
        "has_asker": acts_for(waiting.by, client),
        "facts": facts,
        "warnings": _warnings(former, metadata),
        "staying": _staying(former, metadata),
    }


def _labels(name: str) -> tuple[str, str]:
    form = RegistrationForm()
    return str(form[name].label.text if name in form else gettext("Autre adresse")), BY_NAME[name].member or name


def _value_lines(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [json.dumps(value)]
    values = value if isinstance(value, list | tuple) else [value]
    return [str(each) for each in values if each not in ("", None)] or [gettext("rien")]


def _warnings(former: ClientMetadata, metadata: ClientMetadata) -> list[str]:
    added = approvals.new_hosts(former, metadata)
    getting = sorted(set().union(*(hosts for name, hosts in added.items() if name not in _PAGES)))
    reading = sorted(set().union(*(hosts for name, hosts in added.items() if name in _PAGES)))
    sentences = []
    if getting:
        text = (
            "Un autre serveur recevra ce que les familles donnent à l’ENT : %(hosts)s. Vérifiez qu’il est bien le sien."
        )
        sentences.append(gettext(text, hosts=", ".join(getting)))
    if reading:
        text = "Un parent pourra lire une page d’un autre serveur : %(hosts)s. Votre accord ne vaut que pour elle."
        sentences.append(gettext(text, hosts=", ".join(reading)))
    return sentences


def _staying(former: ClientMetadata, metadata: ClientMetadata) -> list[_Fact]:
    left = approvals.places(former.redirect_uris) - approvals.places(metadata.redirect_uris)
    staying = {
        name: [uri for uri in own if approvals.places([uri]) & left] for name, own in leading_uris(metadata).items()
    }
    return [(*_labels(name), own) for name, own in staying.items() if own]
