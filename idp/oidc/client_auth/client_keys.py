"""Finds the public keys of clients (OpenID Connect Registration 1.0, `jwks` and `jwks_uri`).

Keys from a `jwks_uri` are cached in the process. One thread fetches them again when they are old, while the others use
the cached keys; and at once if a token names a key that is not cached, since clients rotate keys. There is at most one
fetch a minute for each URL, so that nobody can load an ENT's server by inventing key identifiers (Core 10.1.1). A fetch
that failed is tried again after a few seconds; until then the client is asked to come back (503). Anybody can send
requests in the name of a client whose server is slow, so few threads wait for it.
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
from idp.http_client.outgoing import Outgoing, OutgoingError, UrlRefusedError
from idp.oidc.keys import jose
from idp.oidc.keys.jose import CLIENT_ALGORITHMS, InvalidTokenError
from idp.oidc.keys.material import JoseKey
from idp.web.errors import ServiceBusyError

log = structlog.get_logger()

FRESH_SECONDS = 3600.0  # age at which cached keys are fetched again
MIN_REFETCH_SECONDS = 60.0  # shortest time between two fetches of one URL, if the first one succeeded
RETRY_SECONDS = 7.0  # the same after a fetch that failed
MAX_STALE_SECONDS = 86_400.0  # age at which cached keys are dropped if their URL cannot be fetched
MAX_WAITING, MAX_WAITING_PER_CLIENT = 16, 8
"""Threads of a process that wait for clients' servers, and for one client's server; further requests get a 503."""
_MOST_KEYS = 20
_OK = 200


@dataclass
class _Source:
    """The cached keys of one client's `jwks_uri`; instants are those of `time.monotonic`.

    `has_failed` says that the last fetch failed, and another one may succeed. The thread that fetches holds the `lock`,
    and `slots` limit the threads that wait.
    """

    uri: str
    keys: list[Any] = field(default_factory=list)
    fetched_at: float = -math.inf
    succeeded_at: float = -math.inf
    has_failed: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)
    slots: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(MAX_WAITING_PER_CLIENT))

    @property
    def pause(self) -> float:
        return RETRY_SECONDS if self.has_failed else MIN_REFETCH_SECONDS


class ClientKeys:
    """The keys of all clients, cached by one process."""

    def __init__(self, outgoing: Outgoing) -> None:
        self._outgoing = outgoing
        self._sources: dict[str, _Source] = {}
        self._slots = threading.Semaphore(MAX_WAITING)

    def find(self, client: Registration, head: Mapping[str, Any], alg: str) -> JoseKey:
        """Return the client's key for a token: the key with the header's `kid`, or the only candidate.

        Raises:
            InvalidTokenError: The client has no such key.
            ServiceBusyError: The keys could not be fetched, or too many threads wait for clients' servers.
        """
        if not client.jwks_uri:
            return _chosen(_listed(client.jwks), head, alg)
        with suppress(InvalidTokenError):
            return _chosen(self._fetched(client, again=False).keys, head, alg)
        source = self._fetched(client, again=True)
        try:
            return _chosen(source.keys, head, alg)
        except InvalidTokenError:
            if source.has_failed:
                raise ServiceBusyError(math.ceil(RETRY_SECONDS), reason="client_keys") from None
            raise

    def _fetched(self, client: Registration, *, again: bool) -> _Source:
        source = self._source(client)
        max_age = source.pause if again or not source.keys else FRESH_SECONDS
        if time.monotonic() - source.fetched_at < max_age:
            return source
        release_connection()  # before this thread waits for another one, which waits for the client's server
        if source.keys and not again and source.lock.locked():
            return source  # another thread is fetching
        with ExitStack() as held:
            for slots in (source.slots, self._slots):
                if not slots.acquire(blocking=False):
                    raise ServiceBusyError
                held.callback(slots.release)
            held.enter_context(source.lock)
            # the thread that held the lock may have fetched the keys meanwhile
            if time.monotonic() - source.fetched_at >= source.pause:
                self._refresh(client, source)
            return source

    def _source(self, client: Registration) -> _Source:
        source = self._sources.get(client.client_id)
        if source is None or source.uri != client.jwks_uri:
            # a new URL is fetched as soon as one that failed
            fetched_at = source.fetched_at if source else -math.inf
            source = self._sources[client.client_id] = _Source(client.jwks_uri, fetched_at=fetched_at, has_failed=True)
        return source

    def _refresh(self, client: Registration, source: _Source) -> None:
        """Fetch the keys; after a failure keep the cached ones for a day, since they may have been revoked."""
        fault = None
        try:
            source.keys = self._fetch(client)
        except (OutgoingError, ValueError) as error:
            fault = error
            reason = error.reason if isinstance(error, OutgoingError) else "not a JWK set"
            log.warning("client keys unavailable", client_id=client.client_id, reason=reason)
        source.fetched_at = time.monotonic()
        source.has_failed = fault is not None and not isinstance(fault, UrlRefusedError)
        if fault is None:
            source.succeeded_at = source.fetched_at
        elif source.fetched_at - source.succeeded_at > MAX_STALE_SECONDS:
            source.keys = []

    def _fetch(self, client: Registration) -> list[Any]:
        answer = self._outgoing.get(client.jwks_uri)
        if answer.status != _OK:
            raise OutgoingError(f"answered {answer.status}")
        return _listed(jose.json_object(answer.body))


def usable(jwks: object) -> list[str]:
    """Return the algorithms, by all their names, for which a JWK set has a usable key."""
    named = [(name, jose.canonical(name)) for name in CLIENT_ALGORITHMS]
    return [name for name, alg in named if _loaded([jwk for jwk in _listed(jwks) if _is_for(jwk, alg)], alg)]


def _listed(jwks: object) -> list[Any]:
    keys = jwks.get("keys") if isinstance(jwks, Mapping) else None
    return keys[:_MOST_KEYS] if isinstance(keys, list) else []


def _chosen(keys: list[Any], head: Mapping[str, Any], alg: str) -> JoseKey:
    kid = head.get("kid")
    suitable = [jwk for jwk in keys if _is_for(jwk, alg)]
    with_kid = [jwk for jwk in suitable if jwk.get("kid") == kid] if kid is not None else []
    # `kid` is optional in both (RFC 7517 4.5): without it, the key must be the only candidate
    without_kid = [jwk for jwk in suitable if kid is None or "kid" not in jwk]
    candidates = _loaded(with_kid, alg) or _loaded(without_kid, alg)
    if len(candidates) != 1:
        raise InvalidTokenError("it is not signed by a registered key of the client")
    return candidates[0]


def _is_for(jwk: object, alg: str) -> bool:
    """Return whether a JWK allows to verify signatures of `alg` (RFC 7517 4.2, 4.3, 4.4)."""
    if not isinstance(jwk, dict) or jwk.get("use", "sig") != "sig":
        return False
    declared = jwk.get("alg", alg)
    if not isinstance(declared, str) or jose.canonical(declared) != alg:
        return False
    operations = jwk.get("key_ops", ["verify"])
    return isinstance(operations, list) and "verify" in operations


def _loaded(jwks: list[Any], alg: str) -> list[JoseKey]:
    keys = []
    for jwk in jwks:
        with suppress(InvalidTokenError):
            keys.append(jose.public_key(jwk, alg))
    return keys
