"""Checks of an ENT before it opens (OpenID Connect Discovery 1.0, Registration 1.0).

They cover the registration, this service as the ENT reaches it, and each URI of the ENT as this service reaches it.
They change nothing: URIs are read by GET, and the back channel gets a token that the ENT must refuse.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
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
from idp.registration.trial import probes
from idp.registration.trial.findings import Finding, Problem, Repair, failure, judged, noted
from idp.services import services
from idp.terminal import instant

_DISCOVERY = "/.well-known/openid-configuration"
_NOTHING_THERE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})


@dataclass(frozen=True)
class Subject:
    """The registration that is checked, read before the checks: no transaction stays open during requests."""

    client_id: str
    enabled: bool
    waits: bool
    declined: bool
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
        waits=client.waiting_since is not None,
        declined=client.declined_at is not None,
        metadata=rows.read(client),
        former_secret_until=client.former_secret_until,
        has_charter=client.charter_version_id is not None,
        known_uais=frozenset(db.session.scalars(select(School.uai).where(School.uai.in_(client.uais)))),
    )


def findings(server: Server, subject: Subject) -> Iterator[Finding]:
    """Yield the result of each check."""
    for step in steps(server, subject):
        yield from step()


def findings_in_time(server: Server, subject: Subject, seconds: float) -> tuple[list[Finding], bool]:
    """Return the findings of the steps that begin within so many seconds, and whether others were left out."""
    findings: list[Finding] = []
    ends = time.monotonic() + seconds
    for step in steps(server, subject):
        if time.monotonic() > ends:
            return findings, True
        findings.extend(step())
    return findings, False


def steps(server: Server, subject: Subject) -> list[Callable[[], Iterable[Finding]]]:
    """Return the steps of the trial, each with a finding at least, so that a caller can stop between two of them.

    Each request of a step takes `outgoing.TIMEOUT` seconds at most; this service is asked some times in one step, each
    URI of the ENT in a step of its own.
    """
    outgoing, metadata = services().outgoing, subject.metadata
    made: list[Callable[[], Iterable[Finding]]] = [
        partial(_registered, subject),
        partial(_provider, server.settings, subject),
        *(partial(_page, outgoing, *page) for page in _pages(metadata)),
    ]
    if metadata.jwks_uri:
        made.append(partial(_keys, outgoing, metadata))
    if metadata.sector_identifier_uri:
        made.append(partial(_sector, metadata))
    if metadata.backchannel_logout_uri:
        made.append(lambda: [probes.send_logout_token(outgoing, server, subject.client_id, metadata)])
    return made


def _registered(subject: Subject) -> Iterator[Finding]:
    if subject.waits:
        message = "l’ENT attend l’accord de l’académie : personne n’y entre encore"
        yield noted("enabled", message, Repair.ACCEPT)
    elif subject.enabled:
        yield Finding("enabled", ok=True, message="l’ENT est ouvert")
    elif subject.declined:
        message = "l’académie a refusé cet ENT, personne n’y entre : enregistrez-en un autre"
        yield Finding("enabled", ok=False, message=message)
    else:
        message = "l’ENT est fermé, personne n’y entre : demandez à l’académie"
        yield Finding("enabled", ok=False, message=message, repair=Repair.ENABLE)
    yield from _audience(subject)
    for uai in subject.metadata.uais:
        text = "inconnu ici, personne n’y a de compte ; son fichier n’est pas importé"
        unknown = Problem(text, Repair.NAME_SCHOOL, uai)
        yield judged("school", f"établissement {uai}", "connu", None if uai in subject.known_uais else unknown)
    if subject.metadata.charter != CharterMode.NONE.value:
        yield _charter(subject)
    until = subject.former_secret_until
    if until and until > now():
        message = (
            f"changement de secret en cours : l’ancien reste bon jusqu’au {instant(until)}, l’ENT doit avoir le nouveau"
        )
        yield noted("secret", message)
    if subject.metadata.sector == "" and subject.metadata.subject == SubjectType.PAIRWISE.value:
        message = (
            "l’ENT est seul dans son secteur : aucun autre ENT ne reçoit les mêmes numéros de parents (sub), et ils "
            "restent les mêmes quand ses adresses changent"
        )
        yield noted("sector_identifier_uri", message)


def _charter(subject: Subject) -> Finding:
    if subject.has_charter:
        return Finding("charter", ok=True, message="charte : une version est publiée")
    message = (
        "charte : l’enregistrement en demande une, et aucune charte publiée n’existe. L’ENT marche sans elle, et "
        "personne ne l’accepte : publiez-la, ou choisissez « pas de charte »"
    )
    return noted("charter", message, Repair.PUBLISH_CHARTER)


def _audience(subject: Subject) -> Iterator[Finding]:
    """Check whom the client may know, and name what reaches beyond the families of its schools."""
    metadata = subject.metadata
    if metadata.audience == Audience.EVERYONE.value:
        message = "public : TOUS les parents de l’académie, quel que soit l’établissement"
        yield noted("audience", message, Repair.NARROW_AUDIENCE)
    elif metadata.uais:
        yield Finding("audience", ok=True, message="public : les familles de ses établissements, personne d’autre")
    elif not subject.waits:
        message = "public : personne n’entre, l’ENT ne sert aucun établissement ; demandez à l’académie"
        yield Finding("audience", ok=False, message=message, repair=Repair.ADD_SCHOOL)
    if metadata.release_username:
        message = "l’ENT reçoit l’identifiant de connexion des parents"
        yield noted("release_username", message, Repair.KEEP_USERNAME)


def _provider(settings: Settings, subject: Subject) -> Iterator[Finding]:
    """Check this service as an ENT reaches it. Its own host may be private: no other party chose that URL."""
    host = urlsplit(settings.issuer).hostname or ""
    outgoing = Outgoing(settings.model_copy(update={"outgoing_allow": (*settings.outgoing_allow, host)}))
    uri, metadata = f"{settings.issuer}{_DISCOVERY}", subject.metadata
    document, problem = _document(outgoing, uri)
    if problem:
        text = f"{problem.text}. Les ENT ne verront pas mieux : dites-le à l’académie"
        problem = Problem(text, Repair.REACH_SERVICE)
    yield judged("metadata", f"adresses de ce service {uri}", f"lues{_certified(uri)}", problem)
    if problem:
        return
    issuer = document.get("issuer")
    differs = Problem(f"ce service dit {issuer!r:.200} de lui-même ; l’ENT le refusera", Repair.CORRECT_ISSUER)
    named = f"nom de ce service (issuer) {settings.issuer}"
    yield judged("issuer", named, "le même, lettre pour lettre", None if issuer == settings.issuer else differs)
    yield from _provider_keys(outgoing, document.get("jwks_uri"), metadata)
    endpoint = document.get("authorization_endpoint")
    if subject.enabled and isinstance(endpoint, str):
        yield probes.ask_sign_in(outgoing, endpoint, subject.client_id, metadata)


def _provider_keys(outgoing: Outgoing, uri: object, metadata: ClientMetadata) -> Iterator[Finding]:
    """Check that this service publishes a key for each algorithm that signs for the client."""
    if not isinstance(uri, str):
        yield Finding("provider_keys", ok=False, message="clés de ce service : leur adresse (jwks_uri) manque")
        return
    keys, problem = _document(outgoing, uri)
    given = client_keys.usable(keys)
    for alg in dict.fromkeys(filter(None, (metadata.id_token_alg, metadata.userinfo_alg))):
        missing = Problem(f"pas de clé {alg} : dites-le à l’académie", Repair.MAKE_KEY, alg)
        wrong = problem or (None if alg in given else missing)
        yield judged("provider_keys", f"clés de ce service {uri:.200}", f"{alg} y est", wrong)


def _pages(metadata: ClientMetadata) -> Iterator[tuple[str, str, str]]:
    """Yield where browsers are sent: the name of the check, the label and the URI."""
    named = (
        ("redirect_uri", "adresse de retour", metadata.redirect_uris),
        ("post_logout_redirect_uri", "adresse après déconnexion", metadata.post_logout_redirect_uris),
        ("home_uri", "accueil", [metadata.home_uri]),
        ("initiate_login_uri", "adresse de début de connexion", [metadata.initiate_login_uri]),
        ("frontchannel_logout_uri", "déconnexion par le navigateur", [metadata.frontchannel_logout_uri]),
        ("profile_uri", "porte d’un autre profil", list(metadata.profile_uris.values())),
    )
    for check, label, uris in named:
        yield from ((check, label, uri) for uri in uris if uri)


def _page(outgoing: Outgoing, check: str, label: str, uri: str) -> Iterator[Finding]:
    """Check where browsers are sent: the name resolves, the certificate is valid, and a page answers."""
    status = 0
    try:
        status = outgoing.get(uri).status
        problem = _problem(status)
    except OutgoingError as error:
        problem = failure(uri, error)
    yield judged(check, f"{label} {uri}", f"répond ({status}){_certified(uri)}", problem)


def _problem(status: int) -> Problem | None:
    """Return what is wrong with the status of a page, or None.

    A page may refuse a request without a code or by GET (400, 401, 403, 405).
    """
    if status in _NOTHING_THERE:
        text = f"répond {status}, il n’y a rien à cette adresse : mettez la page en service, ou corrigez-la"
        return Problem(text, Repair.CORRECT_FIELD)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Problem(f"répond {status}, une erreur du serveur de l’ENT : voyez son journal")
    return None


def _keys(outgoing: Outgoing, metadata: ClientMetadata) -> Iterator[Finding]:
    """Check the client's keys behind its `jwks_uri` (Registration 1.0, section 2)."""
    keys, problem = _document(outgoing, metadata.jwks_uri)
    given = client_keys.usable(keys)
    if not problem and not given:
        text = "aucune clé publique utilisable (RSA de 2048 à 4096 bits, P-256, Ed25519 ; jamais de clé privée)"
        problem = Problem(text)
    if not problem and metadata.auth_alg and metadata.auth_alg not in given:
        problem = Problem(f"pas de clé {metadata.auth_alg}, que l’enregistrement demande", Repair.CORRECT_ALGORITHM)
    yield judged("jwks_uri", f"clés de l’ENT {metadata.jwks_uri}", f"utilisables pour {', '.join(given)}", problem)


def _sector(metadata: ClientMetadata) -> Iterator[Finding]:
    """Check that the document of the sector holds every redirect URI (Core 8.1; Registration 1.0, section 5)."""
    uri, problem = metadata.sector_identifier_uri, None
    try:
        sectors.find(metadata)
    except RegistrationRefusedError as refused:
        cause = refused.__cause__
        text = "ne donne pas (200) un tableau JSON qui contient toutes les adresses de retour, lettre pour lettre"
        problem = failure(uri, cause) if isinstance(cause, OutgoingError) else Problem(text)
    yield judged("sector_identifier_uri", f"secteur {uri}", "contient toutes les adresses de retour", problem)


def _document(outgoing: Outgoing, uri: str) -> tuple[dict[str, Any], Problem | None]:
    """Return the JSON object behind a URL and None, or an empty object and what is wrong."""
    try:
        answer = outgoing.get(uri)
    except OutgoingError as error:
        return {}, failure(uri, error)
    if answer.status != HTTPStatus.OK:
        return {}, Problem(f"répond {answer.status} au lieu de 200")
    try:
        return jose.json_object(answer.body), None
    except ValueError:
        return {}, Problem("ce n’est pas un objet JSON")


def _certified(uri: str) -> str:
    return ", certificat bon" if uri.startswith("https:") else ""
