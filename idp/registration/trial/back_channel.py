"""A back channel tried with a token that must be refused (OpenID Connect Back-Channel Logout 1.0, 2.6 and 2.8).

The token has everything but a signature: an ENT that takes it would let anybody sign its parents out. It names a
session that does not exist, so that even such an ENT ends nobody's.
"""

import base64
import json
import secrets
from http import HTTPStatus

from idp import opaque
from idp.clock import now
from idp.http_client.outgoing import Outgoing, OutgoingError
from idp.oidc.keys.ring import NoSigningKey
from idp.oidc.logout.back_channel import EVENT, TOKEN_LIFETIME
from idp.oidc.server import Server
from idp.registration.trial.wording import failure

_RSA_BYTES, _OTHER_BYTES = 256, 64
_TAKEN = frozenset({HTTPStatus.OK, HTTPStatus.NO_CONTENT})


def refusable_token(server: Server, client_id: str, alg: str) -> str:
    """Return a logout token for a session that never was, with random bytes in the place of the signature."""
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
    signature = b"\0" + secrets.token_bytes(length - 1)  # a number below any modulus and order: of the right form
    return ".".join((_part(json.dumps(header).encode()), _part(json.dumps(body).encode()), _part(signature)))


def tried(outgoing: Outgoing, uri: str, token: str) -> tuple[bool, str]:
    """Hand the token over; return whether the ENT refuses it as it should, and what to say of it."""
    label = f"déconnexion de serveur à serveur {uri} : "
    try:
        status = outgoing.post_form(uri, {"logout_token": token}).status
    except OutgoingError as error:
        return False, label + failure(uri, error)
    if status == HTTPStatus.BAD_REQUEST:
        return True, f"{label}refuse un jeton mal signé (400), comme il faut"
    if status in _TAKEN:
        return False, (
            f"{label}accepte un jeton mal signé ({status}) : l’ENT ne vérifie pas la signature, "
            "n’importe qui pourrait déconnecter ses utilisateurs ; à corriger chez l’ENT"
        )
    if status == HTTPStatus.NOT_FOUND:
        return False, f"{label}répond 404 : corrigez l’adresse (--backchannel-logout-uri)"
    advice = "l’adresse ne doit demander ni session, ni jeton CSRF, ni redirection"
    return False, f"{label}répond {status} à un jeton mal signé au lieu de 400 ; {advice}"


def _kid(server: Server, alg: str) -> str:
    """Return the name of the key that would sign: one that the ENT finds, so that the signature is what it judges."""
    try:
        return server.ring.signer(alg).kid
    except NoSigningKey:
        return opaque.new_value()


def _part(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
