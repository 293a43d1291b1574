"""The requests of a trial that stand for those after the ENT has opened: a sign-in, and a logout token."""

import base64
import json
import secrets
from http import HTTPStatus
from urllib.parse import parse_qs, urlencode, urlsplit

from idp import opaque
from idp.clock import now
from idp.http_client.outgoing import Answer, Outgoing, OutgoingError
from idp.oidc.keys.material import NoSigningKeyError
from idp.oidc.logout.back_channel import EVENT, TOKEN_LIFETIME
from idp.oidc.server import Server
from idp.registration.metadata import ClientMetadata
from idp.registration.trial.findings import Finding, Problem, Repair, failure, judged

_EXPECTED = "login_required"
_LABEL = "demande de connexion d’essai"
_RSA_BYTES, _OTHER_BYTES = 256, 64
_TAKEN = frozenset({HTTPStatus.OK, HTTPStatus.NO_CONTENT})


def ask_sign_in(outgoing: Outgoing, endpoint: str, client_id: str, metadata: ClientMetadata) -> Finding:
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


def send_logout_token(outgoing: Outgoing, server: Server, client_id: str, metadata: ClientMetadata) -> Finding:
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
    signature = b"\0" + secrets.token_bytes(
        length - 1
    )  # the number is below every modulus and order, so the form is right
    return ".".join((_part(json.dumps(header).encode()), _part(json.dumps(body).encode()), _part(signature)))


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


def _part(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
