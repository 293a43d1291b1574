"""The keys that a client signs with (OpenID Connect Registration 1.0, `jwks` and `jwks_uri`).

Keys behind an address are kept in the process. They are fetched again when they are old, and at once when a token names
a key that they lack, since clients change keys too; but no more than once a minute for one client, so that nobody makes
this service knock at an ENT's door by inventing names of keys (Core 10.1.1).
"""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from flask import current_app

from idp.clients.registry import Registration
from idp.db import end_read
from idp.oidc import jose
from idp.oidc.jose import BadToken
from idp.oidc.key_material import ALGORITHMS, JoseKey
from idp.oidc.outgoing import Outgoing, OutgoingError

log = structlog.get_logger()

KEPT_SECONDS = 3600.0
AGAIN_SECONDS = 60.0
_MOST_KEYS = 20
_OK = 200


@dataclass
class _Fetched:
    """What an address gave, and when somebody last asked it (`time.monotonic`)."""

    uri: str
    asked_at: float
    keys: list[Any]


class ClientKeys:
    """The keys of all clients, in the memory of one process."""

    def __init__(self, outgoing: Outgoing) -> None:
        self._outgoing = outgoing
        self._fetched: dict[str, _Fetched] = {}
        self._lock = threading.Lock()

    def find(self, client: Registration, head: Mapping[str, Any], alg: str) -> JoseKey:
        """Return the client's key that a token's header means: the one of its `kid`, or the only candidate.

        Raises:
            BadToken: the client has no such key, or its address gives none.
        """
        if not client.jwks_uri:
            return _chosen(_listed(client.jwks), head, alg)
        try:
            return _chosen(self._at_address(client, anew=False), head, alg)
        except BadToken:
            return _chosen(self._at_address(client, anew=True), head, alg)

    def _at_address(self, client: Registration, *, anew: bool) -> list[Any]:
        kept = self._kept(client)
        age = time.monotonic() - kept.asked_at if kept else KEPT_SECONDS
        if kept and age < (AGAIN_SECONDS if anew or not kept.keys else KEPT_SECONDS):
            return kept.keys
        with self._lock:  # one thread asks; the others find what it got
            kept = self._kept(client)
            if kept and time.monotonic() - kept.asked_at < AGAIN_SECONDS:
                return kept.keys
            found = self._fetch(client)
            keys = kept.keys if found is None and kept else found or []  # an address that is down takes nothing away
            self._fetched[client.client_id] = _Fetched(client.jwks_uri, time.monotonic(), keys)
            return keys

    def _kept(self, client: Registration) -> _Fetched | None:
        kept = self._fetched.get(client.client_id)
        return kept if kept and kept.uri == client.jwks_uri else None

    def _fetch(self, client: Registration) -> list[Any] | None:
        end_read()  # nothing is open while another machine takes its time
        try:
            answer = self._outgoing.get(client.jwks_uri)
            if answer.status != _OK:
                raise OutgoingError(f"answered {answer.status}")  # noqa: TRY301 - one place says what went wrong
            return _listed(jose.json_object(answer.body))
        except (OutgoingError, ValueError) as error:
            reason = error.reason if isinstance(error, OutgoingError) else "not a JWK set"
            log.warning("client keys unavailable", client_id=client.client_id, reason=reason)
            return None


def of_app() -> ClientKeys:
    """Return the keys of the present application's clients."""
    keys: ClientKeys = current_app.extensions["idp.client_keys"]
    return keys


def usable(jwks: object) -> list[str]:
    """Return the algorithms that a JWK set has a usable key for."""
    return [alg for alg in ALGORITHMS if any(_loads(jwk, alg) for jwk in _listed(jwks))]


def _listed(jwks: object) -> list[Any]:
    keys = jwks.get("keys") if isinstance(jwks, Mapping) else None
    return keys[:_MOST_KEYS] if isinstance(keys, list) else []


def _chosen(keys: list[Any], head: Mapping[str, Any], alg: str) -> JoseKey:
    kid = head.get("kid")
    fitting = [jwk for jwk in keys if _fits(jwk, alg)]
    named = [jwk for jwk in fitting if jwk.get("kid") == kid] if kid is not None else []
    # a key without a name, or a token that names none, is good when there is no choice (RFC 7517 4.5)
    lone = [jwk for jwk in fitting if kid is None or "kid" not in jwk]
    candidates = named or lone
    if len(candidates) != 1:
        raise BadToken("it is not signed by a key that the client registered")
    return jose.public_key(candidates[0], alg)


def _fits(jwk: object, alg: str) -> bool:
    if not isinstance(jwk, dict) or jwk.get("use", "sig") != "sig" or jwk.get("alg", alg) != alg:
        return False
    operations = jwk.get("key_ops", ["verify"])
    return isinstance(operations, list) and "verify" in operations and _loads(jwk, alg)


def _loads(jwk: object, alg: str) -> bool:
    try:
        jose.public_key(jwk, alg)
    except BadToken:
        return False
    return True
