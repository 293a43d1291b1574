"""A logout token that an ENT must refuse (OpenID Connect Back-Channel Logout 1.0, sections 2.6 and 2.8).

The token is valid but for its signature: an ENT that accepts it would let anybody sign its parents out. It names a
session that does not exist, so that no session ends even then.
"""

import base64
import json
import secrets
from http import HTTPStatus

from idp import opaque
from idp.clock import now
from idp.http_client.outgoing import Outgoing, OutgoingError
from idp.oidc.keys.material import NoSigningKeyError
from idp.oidc.logout.back_channel import EVENT, TOKEN_LIFETIME
from idp.oidc.server import Server
from idp.registration.trial.findings import Finding, Problem, judged
from idp.registration.trial.wording import failure

_RSA_BYTES, _OTHER_BYTES = 256, 64
_TAKEN = frozenset({HTTPStatus.OK, HTTPStatus.NO_CONTENT})


def refusable_token(server: Server, client_id: str, alg: str) -> str:
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


def send(outgoing: Outgoing, uri: str, token: str) -> Finding:
    """Send the token; return whether the ENT refuses it as it must."""
    try:
        problem = _problem(outgoing.post_form(uri, {"logout_token": token}).status)
    except OutgoingError as error:
        problem = failure(uri, error)
    label = f"déconnexion de serveur à serveur {uri}"
    return judged("backchannel_logout_uri", label, "refuse un jeton mal signé (400), comme il faut", problem)


def _problem(status: int) -> Problem | None:
    """Return what is wrong with the status of the answer, or None."""
    if status == HTTPStatus.BAD_REQUEST:
        return None
    if status in _TAKEN:
        return Problem(
            f"accepte un jeton mal signé ({status}) : l’ENT ne vérifie pas la signature, n’importe qui pourrait "
            "déconnecter ses utilisateurs ; à corriger chez l’ENT"
        )
    if status == HTTPStatus.NOT_FOUND:
        return Problem("répond 404, il n’y a rien à cette adresse : corrigez-la", "--backchannel-logout-uri")
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
