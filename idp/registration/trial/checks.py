"""Checks of an ENT before it opens (OpenID Connect Discovery 1.0, Registration 1.0).

They cover the registration, this service as the ENT reaches it, and each URI of the ENT as this service reaches it.
They change nothing: URIs are read by GET, and the back channel gets a token that the ENT must refuse.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import select

from idp.accounts.models import School
from idp.clients.models import Audience, CharterMode, SubjectType
from idp.clock import now
from idp.config import Settings
from idp.db import db
from idp.http_client.outgoing import Outgoing, OutgoingError
from idp.oidc.client_auth import client_keys
from idp.oidc.keys import jose
from idp.oidc.server import Server
from idp.registration import registrations, rows, sectors
from idp.registration.faults import RegistrationRefusedError
from idp.registration.metadata import ClientMetadata
from idp.registration.trial import back_channel
from idp.registration.trial.wording import failure
from idp.services import services
from idp.terminal import instant

_DISCOVERY = "/.well-known/openid-configuration"
_NOTHING_THERE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})


@dataclass(frozen=True)
class Finding:
    """The result of one check: its name for programs, and a French message with what to do for operators."""

    check: str
    ok: bool
    message: str


@dataclass(frozen=True)
class Subject:
    """The registration that is checked, read before the checks: no transaction stays open during requests."""

    client_id: str
    enabled: bool
    metadata: ClientMetadata
    former_secret_until: datetime | None
    has_charter: bool
    known_uais: frozenset[str]


def read(client_id: str) -> Subject:
    """Return a client's registration, enabled or not.

    Raises:
        RegistrationRefusedError: no client has this id.
    """
    client = registrations.get(client_id)
    return Subject(
        client_id=client.client_id,
        enabled=client.disabled_at is None,
        metadata=rows.read(client),
        former_secret_until=client.former_secret_until,
        has_charter=client.charter_version_id is not None,
        known_uais=frozenset(db.session.scalars(select(School.uai).where(School.uai.in_(client.uais)))),
    )


def findings(server: Server, subject: Subject) -> Iterator[Finding]:
    """Yield the result of each check; each request takes `outgoing.TIMEOUT` seconds at most."""
    outgoing = services().outgoing
    yield from _registered(subject)
    yield from _provider(server.settings, subject.metadata)
    yield from _pages(outgoing, subject.metadata)
    yield from _keys(outgoing, subject.metadata)
    yield from _sector(subject.metadata)
    uri = subject.metadata.backchannel_logout_uri
    if uri:
        token = back_channel.refusable_token(server, subject.client_id, subject.metadata.id_token_alg)
        yield Finding("backchannel_logout_uri", *back_channel.send(outgoing, uri, token))


def _registered(subject: Subject) -> Iterator[Finding]:
    """Check the registration itself."""
    enabled = "le client est ouvert"
    disabled = f"le client est fermé, personne n’y entre : idp client enable {subject.client_id}"
    yield Finding("enabled", subject.enabled, enabled if subject.enabled else disabled)
    yield from _audience(subject)
    for uai in subject.metadata.uais:
        known = uai in subject.known_uais
        unknown = f"établissement {uai} : inconnu ici ; importez son fichier, ou idp school set {uai} --name NOM"
        yield Finding("school", known, f"établissement {uai} : connu" if known else unknown)
    if subject.metadata.charter != CharterMode.NONE.value:
        published = "charte : une version est publiée"
        missing = (
            "aucune charte publiée, personne n’en aura à accepter : "
            f"idp charter publish {subject.client_id}, ou --charter none si c’est voulu"
        )
        yield Finding("charter", ok=True, message=published if subject.has_charter else missing)
    until = subject.former_secret_until
    if until and until > now():
        message = (
            f"changement de secret en cours : l’ancien reste bon jusqu’au {instant(until)}, l’ENT doit avoir le nouveau"
        )
        yield Finding("secret", ok=True, message=message)


def _audience(subject: Subject) -> Iterator[Finding]:
    """Check whom the client may know, and name what reaches beyond the families of its schools."""
    metadata, command = subject.metadata, f"idp client set {subject.client_id}"
    if metadata.audience == Audience.EVERYONE.value:
        message = (
            "public : TOUS les parents de l’académie, quel que soit l’établissement (--audience everyone) ; "
            f"si ce n’est pas voulu : {command} --audience families --uai UAI"
        )
        yield Finding("audience", ok=True, message=message)
    elif metadata.uais:
        yield Finding("audience", ok=True, message="public : les familles de ses établissements, personne d’autre")
    else:
        advice = f"public : personne n’entre, l’ENT ne sert aucun établissement : {command} --uai UAI"
        yield Finding("audience", ok=False, message=advice)
    if metadata.release_username:
        message = (
            "l’ENT reçoit l’identifiant de connexion (--release-username) ; "
            f"s’il n’en a pas besoin : {command} --no-release-username"
        )
        yield Finding("release_username", ok=True, message=message)


def _provider(settings: Settings, metadata: ClientMetadata) -> Iterator[Finding]:
    """Check this service as an ENT reaches it. Its own host may be private: no other party chose that URL."""
    host = urlsplit(settings.issuer).hostname or ""
    outgoing = Outgoing(settings.model_copy(update={"outgoing_allow": (*settings.outgoing_allow, host)}))
    uri = f"{settings.issuer}{_DISCOVERY}"
    document, problem = _document(outgoing, uri)
    if problem:
        advice = (
            f"métadonnées {uri} : {problem}. Les ENT ne verront pas mieux : voyez IDP_ISSUER, le proxy, le certificat"
        )
        yield Finding("metadata", ok=False, message=advice)
        return
    yield Finding("metadata", ok=True, message=f"métadonnées {uri} : lues{_certified(uri)}")
    issuer = document.get("issuer")
    same = f"issuer : {settings.issuer}, lettre pour lettre"
    differs = f"issuer : les métadonnées disent {issuer!r:.200}, IDP_ISSUER {settings.issuer!r} ; il faut le même"
    yield Finding("issuer", issuer == settings.issuer, same if issuer == settings.issuer else differs)
    keys_uri = document.get("jwks_uri")
    if not isinstance(keys_uri, str):
        yield Finding("provider_keys", ok=False, message="les métadonnées n’ont pas de jwks_uri : est-ce ce service ?")
        return
    keys, problem = _document(outgoing, keys_uri)
    given = client_keys.usable(keys)
    for alg in dict.fromkeys(filter(None, (metadata.id_token_alg, metadata.userinfo_alg))):
        missing = problem or f"pas de clé {alg} : idp keys rotate --alg {alg}"
        shown = f"clés du service {keys_uri:.200} : "
        yield Finding("provider_keys", alg in given, shown + (f"{alg} y est" if alg in given else missing))


def _pages(outgoing: Outgoing, metadata: ClientMetadata) -> Iterator[Finding]:
    """Check where browsers are sent: the name resolves, the certificate is valid, and a page answers."""
    named = (
        ("redirect_uri", "adresse de retour", metadata.redirect_uris),
        ("post_logout_redirect_uri", "adresse après déconnexion", metadata.post_logout_redirect_uris),
        ("home_uri", "accueil", [metadata.home_uri]),
        ("initiate_login_uri", "adresse de début de connexion", [metadata.initiate_login_uri]),
        ("frontchannel_logout_uri", "déconnexion par le navigateur", [metadata.frontchannel_logout_uri]),
        ("profile_uri", "porte d’un autre profil", list(metadata.profile_uris.values())),
    )
    for check, label, uris in named:
        for uri in filter(None, uris):
            try:
                status = outgoing.get(uri).status
            except OutgoingError as error:
                yield Finding(check, ok=False, message=f"{label} {uri} : {failure(uri, error)}")
                continue
            problem = _problem(check, status)
            yield Finding(check, not problem, f"{label} {uri} : {problem or f'répond ({status}){_certified(uri)}'}")


def _problem(check: str, status: int) -> str:
    """Return what is wrong with the status of a page, or an empty text.

    A page may refuse a request without a code or by GET (400, 401, 403, 405).
    """
    if status in _NOTHING_THERE:
        option = f"--{check.replace('_', '-')}"
        return f"répond {status}, il n’y a rien à cette adresse : corrigez-la ({option}), ou mettez la page en service"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return f"répond {status}, une erreur du serveur de l’ENT : voyez son journal"
    return ""


def _keys(outgoing: Outgoing, metadata: ClientMetadata) -> Iterator[Finding]:
    """Check the client's keys behind its `jwks_uri` (Registration 1.0, section 2)."""
    if not metadata.jwks_uri:
        return
    label = f"clés de l’ENT {metadata.jwks_uri} : "
    keys, problem = _document(outgoing, metadata.jwks_uri)
    given = client_keys.usable(keys)
    if not problem and not given:
        problem = "aucune clé publique utilisable (RSA de 2048 à 4096 bits, P-256, Ed25519 ; jamais de clé privée)"
    if not problem and metadata.auth_alg and metadata.auth_alg not in given:
        problem = f"pas de clé {metadata.auth_alg}, que l’enregistrement demande (--auth-alg)"
    yield Finding("jwks_uri", not problem, label + (problem or f"utilisables pour {', '.join(given)}"))


def _sector(metadata: ClientMetadata) -> Iterator[Finding]:
    """Check that the document of the sector holds every redirect URI (Core 8.1; Registration 1.0, section 5)."""
    uri = metadata.sector_identifier_uri
    if metadata.sector == "" and metadata.subject == SubjectType.PAIRWISE.value:
        message = (
            "l’ENT est seul dans son secteur : aucun autre ENT ne reçoit les mêmes sub, et ils restent les mêmes quand "
            "ses adresses changent"
        )
        yield Finding("sector_identifier_uri", ok=True, message=message)
    if not uri:
        return
    problem = ""
    try:
        sectors.find(metadata)
    except RegistrationRefusedError as refused:
        cause = refused.__cause__
        problem = (
            failure(uri, cause)
            if isinstance(cause, OutgoingError)
            else "ne donne pas (200) un tableau JSON qui contient toutes les adresses de retour, lettre pour lettre"
        )
    message = problem or "contient toutes les adresses de retour"
    yield Finding("sector_identifier_uri", not problem, f"secteur {uri} : {message}")


def _document(outgoing: Outgoing, uri: str) -> tuple[dict[str, Any], str]:
    """Return the JSON object behind a URL and an empty text, or an empty object and what is wrong."""
    try:
        answer = outgoing.get(uri)
    except OutgoingError as error:
        return {}, failure(uri, error)
    if answer.status != HTTPStatus.OK:
        return {}, f"répond {answer.status} au lieu de 200"
    try:
        return jose.json_object(answer.body), ""
    except ValueError:
        return {}, "ce n’est pas un objet JSON"


def _certified(uri: str) -> str:
    return ", certificat bon" if uri.startswith("https:") else ""
