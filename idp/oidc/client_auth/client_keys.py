"""The keys that a client signs with (OpenID Connect Registration 1.0, `jwks` and `jwks_uri`).

Keys behind an address are kept in the process. They are fetched again when they are old, by one thread while the others
still use them, and at once when a token names a key that they lack, since clients change keys too; but no more than
once a minute for one address, so that nobody makes this service knock at an ENT's door by inventing names of keys (Core
10.1.1). Anybody can send requests in the name of a client whose server is slow: few threads wait for one, and a client
that changes its address gets one fetch more in a minute.
"""

import math
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

import structlog

from idp.clients.registry import Registration
from idp.db import release_connection
from idp.http_client.outgoing import Outgoing, OutgoingError
from idp.oidc.keys import jose
from idp.oidc.keys.jose import CLIENT_ALGORITHMS, BadToken
from idp.oidc.keys.material import JoseKey
from idp.web.errors import Busy

log = structlog.get_logger()

KEPT_SECONDS = 3600.0
AGAIN_SECONDS = 60.0
LONGEST_KEPT_SECONDS = 86_400.0
MOST_WAITING, MOST_WAITING_FOR_ONE = 16, 8
"""Threads of a process that wait for clients' servers, and for one of them; who comes then is told to come back."""
_MOST_KEYS = 20
_OK = 200


@dataclass
class _Address:
    """What one client's address gave; when it was registered, last asked and last gave keys (`time.monotonic`)."""

    uri: str
    since: float
    keys: list[Any] = field(default_factory=list)
    asked_at: float = -math.inf
    given_at: float = -math.inf
    turn: threading.Lock = field(default_factory=threading.Lock)
    places: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(MOST_WAITING_FOR_ONE))


class ClientKeys:
    """The keys of all clients, in the memory of one process."""

    def __init__(self, outgoing: Outgoing) -> None:
        self._outgoing = outgoing
        self._addresses: dict[str, _Address] = {}
        self._places = threading.Semaphore(MOST_WAITING)

    def find(self, client: Registration, head: Mapping[str, Any], alg: str) -> JoseKey:
        """Return the client's key that a token's header means: the one of its `kid`, or the only candidate.

        Raises:
            BadToken: the client has no such key, or its address gives none.
            Busy: as many as may are waiting for addresses.
        """
        if not client.jwks_uri:
            return _chosen(_listed(client.jwks), head, alg)
        try:
            return _chosen(self._at_address(client, anew=False), head, alg)
        except BadToken:
            return _chosen(self._at_address(client, anew=True), head, alg)

    def _at_address(self, client: Registration, *, anew: bool) -> list[Any]:
        """Return the keys that are kept, or, when these are old or must be looked for `anew`, those of now."""
        address = self._address(client)
        enough = AGAIN_SECONDS if anew or not address.keys else KEPT_SECONDS
        if time.monotonic() - address.asked_at < enough:
            return address.keys
        release_connection()  # before this thread waits for another one, which waits for the client's server
        if address.keys and not anew and address.turn.locked():
            return address.keys  # old, and another thread is at it
        with ExitStack() as held:
            for places in (address.places, self._places):
                if not places.acquire(blocking=False):
                    raise Busy
                held.callback(places.release)
            # one thread asks; the others find what it got. Other clients' addresses are not waited for
            held.enter_context(address.turn)
            if time.monotonic() - address.asked_at >= AGAIN_SECONDS:
                self._ask(client, address)
            return address.keys

    def _address(self, client: Registration) -> _Address:
        address, moment = self._addresses.get(client.client_id), time.monotonic()
        if address is None:
            address = self._addresses[client.client_id] = _Address(client.jwks_uri, moment)
        elif address.uri != client.jwks_uri:
            # a change is followed at once, but not one that follows another within the minute
            asked_at = address.asked_at if moment - address.since < AGAIN_SECONDS else -math.inf
            address = self._addresses[client.client_id] = _Address(client.jwks_uri, moment, asked_at=asked_at)
        return address

    def _ask(self, client: Registration, address: _Address) -> None:
        """Fetch the keys. While the address is down the former ones serve, for a day: they may have been withdrawn."""
        found = self._fetch(client)
        address.asked_at = time.monotonic()
        if found is not None:
            address.keys, address.given_at = found, address.asked_at
        elif address.asked_at - address.given_at > LONGEST_KEPT_SECONDS:
            address.keys = []

    def _fetch(self, client: Registration) -> list[Any] | None:
        try:
            answer = self._outgoing.get(client.jwks_uri)
            if answer.status != _OK:
                raise OutgoingError(f"answered {answer.status}")  # noqa: TRY301 - one place says what went wrong
            return _listed(jose.json_object(answer.body))
        except (OutgoingError, ValueError) as error:
            reason = error.reason if isinstance(error, OutgoingError) else "not a JWK set"
            log.warning("client keys unavailable", client_id=client.client_id, reason=reason)
            return None


def usable(jwks: object) -> list[str]:
    """Return the algorithms, by all their names, that a JWK set has a usable key for."""
    named = [(name, jose.canonical(name)) for name in CLIENT_ALGORITHMS]
    return [name for name, alg in named if _loaded([jwk for jwk in _listed(jwks) if _is_for(jwk, alg)], alg)]


def _listed(jwks: object) -> list[Any]:
    keys = jwks.get("keys") if isinstance(jwks, Mapping) else None
    return keys[:_MOST_KEYS] if isinstance(keys, list) else []


def _chosen(keys: list[Any], head: Mapping[str, Any], alg: str) -> JoseKey:
    kid = head.get("kid")
    fitting = [jwk for jwk in keys if _is_for(jwk, alg)]
    named = [jwk for jwk in fitting if jwk.get("kid") == kid] if kid is not None else []
    # a key without a name, or a token that names none, is good when there is no choice (RFC 7517 4.5)
    lone = [jwk for jwk in fitting if kid is None or "kid" not in jwk]
    candidates = _loaded(named, alg) or _loaded(lone, alg)
    if len(candidates) != 1:
        raise BadToken("it is not signed by a key that the client registered")
    return candidates[0]


def _is_for(jwk: object, alg: str) -> bool:
    """Return whether a JWK says no other purpose than to check signatures of `alg` (RFC 7517 4.2, 4.3, 4.4)."""
    if not isinstance(jwk, dict) or jwk.get("use", "sig") != "sig":
        return False
    said = jwk.get("alg", alg)
    if not isinstance(said, str) or jose.canonical(said) != alg:
        return False
    operations = jwk.get("key_ops", ["verify"])
    return isinstance(operations, list) and "verify" in operations


def _loaded(jwks: list[Any], alg: str) -> list[JoseKey]:
    """Return the keys among `jwks` that are sane keys of the kind of `alg`."""
    found = []
    for jwk in jwks:
        with suppress(BadToken):
            found.append(jose.public_key(jwk, alg))
    return found
