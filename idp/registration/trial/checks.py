"""What an integrator checks by hand before an ENT opens (OpenID Connect Discovery 1.0, Registration 1.0).

It looks at the registration, at this service as the ENT sees it, and at each address of the ENT as this service reaches
it. Nothing changes anywhere: addresses are read by GET, and the back channel is given a token that must be refused.
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
from idp.registration import changes, sectors
from idp.registration.trial import back_channel
from idp.registration.trial.wording import failure
from idp.registration.wanted import RegistrationRefused, Wanted
from idp.services import services
from idp.terminal import instant

METADATA = "/.well-known/openid-configuration"
_NOTHING_THERE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})


@dataclass(frozen=True)
class Finding:
    """The result of one check: its name for programs, and for operators what was seen and what to do about it."""

    check: str
    ok: bool
    message: str


@dataclass(frozen=True)
class Subject:
    """The registration that is tried, as it was when it was read; no transaction is open behind it."""

    client_id: str
    enabled: bool
    wanted: Wanted
    former_secret_until: datetime | None
    has_charter: bool
    known_uais: frozenset[str]


def read(client_id: str) -> Subject:
    """Return a client's registration, enabled or not.

    Raises:
        RegistrationRefused: there is none of that name.
    """
    client = changes.get(client_id)
    return Subject(
        client_id=client.client_id,
        enabled=client.disabled_at is None,
        wanted=changes.as_wanted(client),
        former_secret_until=client.former_secret_until,
        has_charter=client.charter_version_id is not None,
        known_uais=frozenset(db.session.scalars(select(School.uai).where(School.uai.in_(client.uais)))),
    )


def findings(server: Server, subject: Subject) -> Iterator[Finding]:
    """Try everything, one thing after the other; each address has `outgoing.TIMEOUT` seconds."""
    outgoing = services().outgoing
    yield from _registered(subject)
    yield from _provider(server.settings, subject.wanted)
    yield from _addresses(outgoing, subject.wanted)
    yield from _keys(outgoing, subject.wanted)
    yield from _sector(subject.wanted)
    uri = subject.wanted.backchannel_logout_uri
    if uri:
        token = back_channel.refusable_token(server, subject.client_id, subject.wanted.id_token_alg)
        yield Finding("backchannel_logout_uri", *back_channel.tried(outgoing, uri, token))


def _registered(subject: Subject) -> Iterator[Finding]:
    """What the database says."""
    enabled = "le client est ouvert"
    disabled = f"le client est fermé, personne n’y entre : idp client enable {subject.client_id}"
    yield Finding("enabled", subject.enabled, enabled if subject.enabled else disabled)
    yield from _audience(subject)
    for uai in subject.wanted.uais:
        known = uai in subject.known_uais
        unknown = f"établissement {uai} : inconnu ici ; importez son fichier, ou idp school set {uai} --name NOM"
        yield Finding("school", known, f"établissement {uai} : connu" if known else unknown)
    if subject.wanted.charter != CharterMode.NONE.value:
        published = "charte : une version est publiée"
        missing = (
            "aucune charte publiée, personne n’en aura à accepter : "
            f"idp charter publish {subject.client_id}, ou --charter none si c’est voulu"
        )
        yield Finding("charter", ok=True, message=published if subject.has_charter else missing)
    until = subject.former_secret_until
    if until and until > now():
        told = (
            f"changement de secret en cours : l’ancien reste bon jusqu’au {instant(until)}, l’ENT doit avoir le nouveau"
        )
        yield Finding("secret", ok=True, message=told)


def _audience(subject: Subject) -> Iterator[Finding]:
    """Whom the client may know: what reaches further than its own families is named."""
    wanted, command = subject.wanted, f"idp client set {subject.client_id}"
    if wanted.audience == Audience.EVERYONE.value:
        told = (
            "public : TOUS les parents de l’académie, quel que soit l’établissement (--audience everyone) ; "
            f"si ce n’est pas voulu : {command} --audience families --uai UAI"
        )
        yield Finding("audience", ok=True, message=told)
    elif wanted.uais:
        yield Finding("audience", ok=True, message="public : les familles de ses établissements, personne d’autre")
    else:
        advice = f"public : personne n’entre, l’ENT ne sert aucun établissement : {command} --uai UAI"
        yield Finding("audience", ok=False, message=advice)
    if wanted.release_username:
        told = (
            "l’ENT reçoit l’identifiant de connexion (--release-username) ; "
            f"s’il n’en a pas besoin : {command} --no-release-username"
        )
        yield Finding("release_username", ok=True, message=told)


def _provider(settings: Settings, wanted: Wanted) -> Iterator[Finding]:
    """This service as an ENT finds it: its own host may well be private, and is no address that others chose."""
    host = urlsplit(settings.issuer).hostname or ""
    outgoing = Outgoing(settings.model_copy(update={"outgoing_allow": (*settings.outgoing_allow, host)}))
    uri = f"{settings.issuer}{METADATA}"
    metadata, problem = _document(outgoing, uri)
    if problem:
        advice = (
            f"métadonnées {uri} : {problem}. Les ENT ne verront pas mieux : voyez IDP_ISSUER, le proxy, le certificat"
        )
        yield Finding("metadata", ok=False, message=advice)
        return
    yield Finding("metadata", ok=True, message=f"métadonnées {uri} : lues{_certified(uri)}")
    said = metadata.get("issuer")
    same = f"issuer : {settings.issuer}, lettre pour lettre"
    differs = f"issuer : les métadonnées disent {said!r:.200}, IDP_ISSUER {settings.issuer!r} ; il faut le même"
    yield Finding("issuer", said == settings.issuer, same if said == settings.issuer else differs)
    keys_uri = metadata.get("jwks_uri")
    if not isinstance(keys_uri, str):
        yield Finding("provider_keys", ok=False, message="les métadonnées n’ont pas de jwks_uri : est-ce ce service ?")
        return
    keys, problem = _document(outgoing, keys_uri)
    given = client_keys.usable(keys)
    for alg in dict.fromkeys(filter(None, (wanted.id_token_alg, wanted.userinfo_alg))):
        missing = problem or f"pas de clé {alg} : idp keys rotate --alg {alg}"
        shown = f"clés du service {keys_uri:.200} : "
        yield Finding("provider_keys", alg in given, shown + (f"{alg} y est" if alg in given else missing))


def _addresses(outgoing: Outgoing, wanted: Wanted) -> Iterator[Finding]:
    """Where browsers are sent: the name resolves, the certificate is good, a page is there and does not fail."""
    named = (
        ("redirect_uri", "adresse de retour", wanted.redirect_uris),
        ("post_logout_redirect_uri", "adresse après déconnexion", wanted.post_logout_redirect_uris),
        ("home_uri", "accueil", [wanted.home_uri]),
        ("initiate_login_uri", "adresse de début de connexion", [wanted.initiate_login_uri]),
        ("frontchannel_logout_uri", "déconnexion par le navigateur", [wanted.frontchannel_logout_uri]),
        ("profile_uri", "porte d’un autre profil", list(wanted.profile_uris.values())),
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
    """Say what is wrong with the status of a page; nothing when it may be all right.

    A page may well refuse who comes without a code or by GET (400, 401, 403, 405).
    """
    if status in _NOTHING_THERE:
        option = f"--{check.replace('_', '-')}"
        return f"répond {status}, il n’y a rien à cette adresse : corrigez-la ({option}), ou mettez la page en service"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return f"répond {status}, une erreur du serveur de l’ENT : voyez son journal"
    return ""


def _keys(outgoing: Outgoing, wanted: Wanted) -> Iterator[Finding]:
    """The client's own keys behind an address (Registration 1.0, 2, `jwks_uri`)."""
    if not wanted.jwks_uri:
        return
    label = f"clés de l’ENT {wanted.jwks_uri} : "
    keys, problem = _document(outgoing, wanted.jwks_uri)
    given = client_keys.usable(keys)
    if not problem and not given:
        problem = "aucune clé publique utilisable (RSA de 2048 à 4096 bits, P-256, Ed25519 ; jamais de clé privée)"
    if not problem and wanted.auth_alg and wanted.auth_alg not in given:
        problem = f"pas de clé {wanted.auth_alg}, que l’enregistrement demande (--auth-alg)"
    yield Finding("jwks_uri", not problem, label + (problem or f"utilisables pour {', '.join(given)}"))


def _sector(wanted: Wanted) -> Iterator[Finding]:
    """The document of the sector holds every redirect URI (Core 8.1, Registration 1.0, 5)."""
    uri = wanted.sector_identifier_uri
    if wanted.sector == "" and wanted.subject == SubjectType.PAIRWISE.value:
        told = (
            "l’ENT est seul dans son secteur : aucun autre ENT ne reçoit les mêmes sub, et ils restent les mêmes quand "
            "ses adresses changent"
        )
        yield Finding("sector_identifier_uri", ok=True, message=told)
    if not uri:
        return
    problem = ""
    try:
        sectors.find(wanted)
    except RegistrationRefused as refused:
        cause = refused.__cause__
        problem = (
            failure(uri, cause)
            if isinstance(cause, OutgoingError)
            else "ne donne pas (200) un tableau JSON qui contient toutes les adresses de retour, lettre pour lettre"
        )
    said = problem or "contient toutes les adresses de retour"
    yield Finding("sector_identifier_uri", not problem, f"secteur {uri} : {said}")


def _document(outgoing: Outgoing, uri: str) -> tuple[dict[str, Any], str]:
    """Return the JSON object behind an address, and what is wrong when there is none."""
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
