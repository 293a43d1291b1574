"""Checks of an ENT before it opens (OpenID Connect Discovery 1.0, Registration 1.0).

They cover the registration, this service as the ENT reaches it, and each URI of the ENT as this service reaches it.
They change nothing: URIs are read by GET, and the back channel gets a token that the ENT must refuse.
"""

import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from itsdangerous.encoding import base64_encode
from sqlalchemy import select

from idp import opaque
from idp.accounts.models import School
from idp.clients.models import Audience, CharterMode, Client, SubjectType
from idp.clock import now
from idp.config import Settings
from idp.db import db
from idp.http_client.outgoing import Answer, Outgoing, OutgoingError
from idp.oidc.client_auth import client_keys
from idp.oidc.keys import jose
from idp.oidc.keys.material import NoSigningKeyError
from idp.oidc.logout.back_channel import EVENT, TOKEN_LIFETIME
from idp.oidc.server import Server
from idp.registration import rows, sectors
from idp.registration.faults import RegistrationRefusedError
from idp.registration.metadata import ClientMetadata
from idp.registration.trial.findings import Finding, Problem, Repair, failure, judged, noted, right, wrong
from idp.services import services
from idp.terminal import instant

_DISCOVERY = "/.well-known/openid-configuration"
_EXPECTED = "login_required"
_LABEL = "demande de connexion d’essai"
_RSA_BYTES, _OTHER_BYTES = 256, 64
_TAKEN = frozenset({HTTPStatus.OK, HTTPStatus.NO_CONTENT})
_NOTHING_THERE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})


def findings_in_time(server: Server, client: Client, seconds: float) -> tuple[list[Finding], bool]:
    """Return the findings of the steps that begin within so many seconds, and whether others were left out."""
    findings: list[Finding] = []
    ends = time.monotonic() + seconds
    for step in steps(server, client):
        if time.monotonic() > ends:
            return findings, True
        findings.extend(step())
    return findings, False


def steps(server: Server, client: Client) -> list[Callable[[], Iterable[Finding]]]:
    """Return the steps of the trial, each with a finding at least, so that a caller can stop between two of them.

    Each request of a step takes `outgoing.TIMEOUT` seconds at most; this service is asked some times in one step, each
    URI of the ENT in a step of its own.
    """
    outgoing, metadata = services().outgoing, rows.read(client)
    made: list[Callable[[], Iterable[Finding]]] = [
        partial(_registered, client, metadata),
        partial(_provider, server.settings, client, metadata),
        *(partial(_page, outgoing, *page) for page in _pages(metadata)),
    ]
    if metadata.jwks_uri:
        made.append(partial(_keys, outgoing, metadata))
    if metadata.sector_identifier_uri:
        made.append(partial(_sector, metadata))
    if metadata.backchannel_logout_uri:
        made.append(lambda: [_send_logout_token(outgoing, server, client.client_id, metadata)])
    return made


def _registered(client: Client, metadata: ClientMetadata) -> Iterator[Finding]:
    known = set(db.session.scalars(select(School.uai).where(School.uai.in_(client.uais))))
    until = client.former_secret_until
    yield _openness(client)
    yield from _audience(client, metadata)
    for uai in metadata.uais:
        unknown = Problem(
            "inconnu ici, personne n’y a de compte ; son fichier n’est pas importé", Repair.NAME_SCHOOL, uai
        )
        yield judged("school", f"établissement {uai}", "connu", None if uai in known else unknown)
    if metadata.charter != CharterMode.NONE.value:
        yield _charter(client)
    if until and until > now():
        yield noted(
            "secret",
            f"changement de secret en cours : l’ancien reste bon jusqu’au {instant(until)}, l’ENT doit avoir le "
            "nouveau",
        )
    if metadata.sector == "" and metadata.subject == SubjectType.PAIRWISE.value:
        yield noted(
            "sector_identifier_uri",
            "l’ENT est seul dans son secteur : aucun autre ENT ne reçoit les mêmes numéros de parents (sub), et ils "
            "restent les mêmes quand ses adresses changent",
        )


def _charter(client: Client) -> Finding:
    if client.charter_version_id is not None:
        return right("charter", "charte : une version est publiée")
    return noted(
        "charter",
        "charte : l’enregistrement en demande une, et aucune charte publiée n’existe. L’ENT marche sans elle, et "
        "personne ne l’accepte : publiez-la, ou choisissez « pas de charte »",
        Repair.PUBLISH_CHARTER,
    )


def _openness(client: Client) -> Finding:
    if client.waiting_since is not None:
        return noted("enabled", "l’ENT attend l’accord de l’académie : personne n’y entre encore", Repair.ACCEPT)
    if client.disabled_at is None:
        return right("enabled", "l’ENT est ouvert")
    if client.declined_at is not None:
        return wrong("enabled", "l’académie a refusé cet ENT, personne n’y entre : enregistrez-en un autre")
    return wrong("enabled", "l’ENT est fermé, personne n’y entre : demandez à l’académie", Repair.ENABLE)


def _audience(client: Client, metadata: ClientMetadata) -> Iterator[Finding]:
    if metadata.audience == Audience.EVERYONE.value:
        yield noted(
            "audience",
            "public : TOUS les parents de l’académie, quel que soit l’établissement",
            Repair.NARROW_AUDIENCE,
        )
    elif metadata.uais:
        yield right("audience", "public : les familles de ses établissements, personne d’autre")
    elif client.waiting_since is None:
        yield wrong(
            "audience",
            "public : personne n’entre, l’ENT ne sert aucun établissement ; demandez à l’académie",
            Repair.ADD_SCHOOL,
        )
    if metadata.release_username:
        yield noted("release_username", "l’ENT reçoit l’identifiant de connexion des parents", Repair.KEEP_USERNAME)


def _provider(settings: Settings, client: Client, metadata: ClientMetadata) -> Iterator[Finding]:
    """Check this service as an ENT reaches it. Its own host may be private: no other party chose that URL."""
    host = urlsplit(settings.issuer).hostname or ""
    outgoing = Outgoing(settings.model_copy(update={"outgoing_allow": (*settings.outgoing_allow, host)}))
    uri = f"{settings.issuer}{_DISCOVERY}"
    document, problem = _document(outgoing, uri)
    if problem:
        problem = Problem(f"{problem.text}. Les ENT ne verront pas mieux : dites-le à l’académie", Repair.REACH_SERVICE)
    yield judged("metadata", f"adresses de ce service {uri}", f"lues{_certified(uri)}", problem)
    if problem:
        return
    issuer = document.get("issuer")
    differs = Problem(f"ce service dit {issuer!r:.200} de lui-même ; l’ENT le refusera", Repair.CORRECT_ISSUER)
    named = f"nom de ce service (issuer) {settings.issuer}"
    yield judged("issuer", named, "le même, lettre pour lettre", None if issuer == settings.issuer else differs)
    yield from _provider_keys(outgoing, document.get("jwks_uri"), metadata)
    endpoint = document.get("authorization_endpoint")
    if client.disabled_at is None and isinstance(endpoint, str):
        yield _ask_sign_in(outgoing, endpoint, client.client_id, metadata)


def _provider_keys(outgoing: Outgoing, uri: object, metadata: ClientMetadata) -> Iterator[Finding]:
    if not isinstance(uri, str):
        yield wrong("provider_keys", "clés de ce service : leur adresse (jwks_uri) manque")
        return
    keys, problem = _document(outgoing, uri)
    given = client_keys.usable(keys)
    for alg in dict.fromkeys(filter(None, (metadata.id_token_alg, metadata.userinfo_alg))):
        missing = None if alg in given else Problem(f"pas de clé {alg} : dites-le à l’académie", Repair.MAKE_KEY, alg)
        yield judged("provider_keys", f"clés de ce service {uri:.200}", f"{alg} y est", problem or missing)


def _pages(metadata: ClientMetadata) -> Iterator[tuple[str, str, str]]:
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
        return Problem(
            f"répond {status}, il n’y a rien à cette adresse : mettez la page en service, ou corrigez-la",
            Repair.CORRECT_FIELD,
        )
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Problem(f"répond {status}, une erreur du serveur de l’ENT : voyez son journal")
    return None


def _keys(outgoing: Outgoing, metadata: ClientMetadata) -> Iterator[Finding]:
    keys, problem = _document(outgoing, metadata.jwks_uri)
    given = client_keys.usable(keys)
    if not problem and not given:
        problem = Problem(
            "aucune clé publique utilisable (RSA de 2048 à 4096 bits, P-256, Ed25519 ; jamais de clé privée)"
        )
    if not problem and metadata.auth_alg and metadata.auth_alg not in given:
        problem = Problem(f"pas de clé {metadata.auth_alg}, que l’enregistrement demande", Repair.CORRECT_ALGORITHM)
    yield judged("jwks_uri", f"clés de l’ENT {metadata.jwks_uri}", f"utilisables pour {', '.join(given)}", problem)


def _sector(metadata: ClientMetadata) -> Iterator[Finding]:
    uri, problem = metadata.sector_identifier_uri, None
    try:
        sectors.find(metadata)
    except RegistrationRefusedError as refused:
        cause = refused.__cause__
        text = "ne donne pas (200) un tableau JSON qui contient toutes les adresses de retour, lettre pour lettre"
        problem = failure(uri, cause) if isinstance(cause, OutgoingError) else Problem(text)
    yield judged("sector_identifier_uri", f"secteur {uri}", "contient toutes les adresses de retour", problem)


def _document(outgoing: Outgoing, uri: str) -> tuple[dict[str, Any], Problem | None]:
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


def _ask_sign_in(outgoing: Outgoing, endpoint: str, client_id: str, metadata: ClientMetadata) -> Finding:
    """Send a sign-in request as the ENT sends it, without a person (Core 3.1.2.1, `prompt=none`).

    Nobody is signed in, so that this service must answer `login_required` at the ENT's redirect URI: then client,
    redirect URI, scopes and PKCE are right, and no proxy in between spoils the request. Nothing is stored.
    """
    state, redirect_uri = opaque.new_value(), metadata.redirect_uris[0]
    parameters = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "scope": " ".join(metadata.scopes),
        "state": state,
        "nonce": opaque.new_value(),
        "prompt": "none",
        "code_challenge": opaque.new_value(),  # 43 base64url characters, as an S256 challenge
        "code_challenge_method": "S256",
    }
    uri = f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(parameters)}"
    try:
        answer = outgoing.get(uri)
    except OutgoingError as error:
        return judged("sign_in", _LABEL, "", failure(endpoint, error))
    if metadata.par_required or metadata.profile == "fapi2":
        good = "cet ENT doit d’abord déposer ses demandes (PAR) ; une demande simple est refusée, comme il faut"
        return judged("sign_in", _LABEL, good, _sign_in_problem(answer, redirect_uri, state, "invalid_request"))
    good = f"acceptée ; le parent se connecte, puis revient à {redirect_uri}"
    return judged("sign_in", _LABEL, good, _sign_in_problem(answer, redirect_uri, state, _EXPECTED))


def _sign_in_problem(answer: Answer, redirect_uri: str, state: str, expected: str) -> Problem | None:
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        return Problem("trop de demandes en ce moment : recommencez dans une minute")
    members = parse_qs(urlsplit(answer.location).query)
    if answer.status // 100 != HTTPStatus.SEE_OTHER // 100 or not answer.location.startswith(redirect_uri):
        return Problem(f"répond {answer.status} au lieu de renvoyer le parent chez l’ENT", Repair.CORRECT_PROXY)
    if members.get("state") != [state]:
        return Problem("la réponse a perdu « state », que l’ENT vérifie", Repair.CORRECT_PROXY)
    if members.get("error") != [expected]:
        error = (members.get("error_description") or members.get("error") or ["code"])[0]
        return Problem(f"refusée : {error:.200}")
    return None


def _send_logout_token(outgoing: Outgoing, server: Server, client_id: str, metadata: ClientMetadata) -> Finding:
    """Send a logout token that an ENT must refuse; return whether it does (Back-Channel Logout 1.0, 2.6 and 2.8).

    The token is valid but for its signature: an ENT that accepts it would let anybody sign its parents out. It names a
    session that does not exist, so that no session ends even then.
    """
    uri, token = metadata.backchannel_logout_uri, _refusable_token(server, client_id, metadata.id_token_alg)
    try:
        problem = _back_channel_problem(outgoing.post_form(uri, {"logout_token": token}).status)
    except OutgoingError as error:
        problem = failure(uri, error)
    label = f"déconnexion de serveur à serveur {uri}"
    return judged("backchannel_logout_uri", label, "refuse un jeton mal signé (400), comme il faut", problem)


def _refusable_token(server: Server, client_id: str, alg: str) -> str:
    """Return a logout token for a session that does not exist, with random bytes as its signature."""
    issued_at = int(now().timestamp())
    body = {
        "iss": server.settings.issuer,
        "sub": opaque.new_value(),
        "aud": client_id,
        "iat": issued_at,
        "exp": issued_at + int(TOKEN_LIFETIME.total_seconds()),
        "jti": opaque.new_value(),
        "events": {EVENT: {}},
        "sid": opaque.new_value(),
    }
    header = {"alg": alg, "kid": _kid(server, alg), "typ": "logout+jwt"}
    length = _RSA_BYTES if alg in {"RS256", "PS256"} else _OTHER_BYTES
    # the number is below every modulus and order, so the form is right
    signature = b"\0" + secrets.token_bytes(length - 1)
    parts = json.dumps(header), json.dumps(body), signature
    return ".".join(base64_encode(part).decode() for part in parts)


def _back_channel_problem(status: int) -> Problem | None:
    if status == HTTPStatus.BAD_REQUEST:
        return None
    if status in _TAKEN:
        return Problem(
            f"accepte un jeton mal signé ({status}) : l’ENT ne vérifie pas la signature, n’importe qui pourrait "
            "déconnecter ses utilisateurs ; à corriger chez l’ENT"
        )
    if status == HTTPStatus.NOT_FOUND:
        return Problem("répond 404, il n’y a rien à cette adresse : corrigez-la", Repair.CORRECT_FIELD)
    advice = "l’adresse ne doit demander ni session, ni jeton CSRF, ni redirection"
    return Problem(f"répond {status} à un jeton mal signé au lieu de 400 ; {advice}")


def _kid(server: Server, alg: str) -> str:
    """Return the id of the key that signs for this algorithm, so that the ENT finds it and checks the signature."""
    try:
        return server.ring.signer(alg).kid
    except NoSigningKeyError:
        return opaque.new_value()
