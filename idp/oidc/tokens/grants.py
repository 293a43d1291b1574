"""The two grants: authorization code (RFC 6749 4.1, RFC 7636, Core 3.1.3) and refresh token (RFC 6749 6, Core 12)."""

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from authlib.oauth2.rfc6749 import (
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
    UnauthorizedClientError,
)
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, RefreshTokenGrant
from sqlalchemy import ColumnElement, literal, select

from idp import opaque
from idp.audit import log
from idp.audit.events import CodeReused, RefreshReused
from idp.clients.registry import Registration
from idp.clock import now
from idp.db import db, unit_of_work
from idp.oidc.claims import release
from idp.oidc.client_auth import client as clients, dpop
from idp.oidc.keys.material import half_hash
from idp.oidc.keys.ring import Signer
from idp.oidc.models import AuthorizationCode, Token
from idp.oidc.store.contract import Grant, Redemption, Rotation
from idp.oidc.tokens import issued
from idp.throttle import guard, limits
from idp.web.http import current_request


def _revoke_if_used(
    table: type[AuthorizationCode | Token],
    digest: bytes,
    client: Registration,
    event: type[CodeReused | RefreshReused],
    *conditions: ColumnElement[bool],
) -> None:
    """Revoke the whole family of a used code or refresh token that its own client replays.

    RFC 6749 4.1.2; RFC 9700 4.14: for a refresh token, after the grace period. A replay that ends tokens is always
    recorded. One that finds them ended is recorded if it is the family's first in an hour, so that a client that
    repeats it does not fill the journal.
    """
    used = table.digest == digest, table.client_id == client.key, table.used_at.is_not(None), *conditions
    row = db.session.execute(select(table.family, table.account_id).where(*used)).one_or_none()
    if row is None:
        return
    replay = event(account_id=row.account_id, client_id=client.key)
    noted = guard.take(limits.REFUSAL_NOTED, f"{replay.kind} {row.family.hex}")
    with unit_of_work():
        if issued.revoke_all(Token.family == row.family) or isinstance(noted, guard.Granted):
            log.record(replay)


_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}", re.ASCII)


class CodeGrant(AuthorizationCodeGrant):
    """The authorization code grant: the store redeems a code and stores its tokens in one transaction."""

    def create_token_response(self) -> tuple[int, dict[str, Any], Any]:  # type: ignore[override] # the stub is wrong
        """Return the tokens (Core 3.1.3.3)."""
        scope = release.remaining_scope(self.registration, self.grant.scope)
        body = _token_body(self.server, self.grant, scope, self.access, self.refresh)
        body["id_token"] = _id_token(self.server, self.signer, self.registration, self.grant, self.access)
        return 200, body, self.TOKEN_RESPONSE_HEADER

    def validate_token_request(self) -> None:
        """Authenticate the client, then redeem the code (Core 3.1.3.1).

        The code is not used up by another client, a wrong verifier, redirect URI or DPoP key, nor if the signing key is
        missing.
        """
        code, client, proof = _presented(self, "code", AuthorizationCode)
        form, settings = self.request.form, self.server.settings
        challenge = _challenge(form.get("code_verifier"), public=client.registration.auth_method == "none")
        moment = now()
        self.access = opaque.new_value()
        for registration in _registrations(client):
            dpop.check_policy(registration, proof)
            self.signer = self.server.ring.signer(registration.id_token_alg)
            refresh = opaque.new_value() if "offline_access" in registration.scopes else None
            grant = self.server.store.redeem_code(
                Redemption(
                    code_digest=opaque.digest(code),
                    client=registration.key,
                    client_version=registration.version,
                    redirect_uri=form.get("redirect_uri", ""),
                    challenge=challenge,
                    jkt=proof.jkt if proof else None,
                    access_digest=opaque.digest(self.access),
                    access_expires_at=moment + settings.lifetime("access_token_lifetime"),
                    refresh_digest=opaque.digest(refresh) if refresh else None,
                    refresh_expires_at=moment + settings.lifetime("refresh_token_lifetime"),
                    family_expires_at=moment + settings.lifetime("refresh_absolute"),
                    now=moment,
                )
            )
            if grant:
                self.grant, self.registration = grant, registration
                self.refresh = refresh if "offline_access" in grant.scope.split() else None
                return
        _revoke_if_used(AuthorizationCode, opaque.digest(code), client.registration, CodeReused)
        raise InvalidGrantError("The code is unknown, used, expired, or bound to something else.")


class RefreshGrant(RefreshTokenGrant):
    """The refresh token grant: tokens rotate at each use, and a late replay revokes the whole family (RFC 9700 4.14).

    FAPI 2.0 (5.3.2.1) forbids rotation: the token of such a client stays valid, bound to the client's key.
    """

    def create_token_response(self) -> tuple[int, dict[str, Any], Any]:  # type: ignore[override] # the stub is wrong
        """Return the new pair, with an ID token if the client registered `refresh_id_token` (optional in Core 12.2)."""
        scope = release.remaining_scope(self.registration, self.scope or self.grant.scope)
        body = _token_body(self.server, self.grant, scope, self.access, self.refresh)
        if self.registration.refresh_id_token and "openid" in scope.split():
            narrowed = replace(self.grant, scope=scope)
            body["id_token"] = _id_token(self.server, self.signer, self.registration, narrowed, self.access)
        return 200, body, self.TOKEN_RESPONSE_HEADER

    def validate_token_request(self) -> None:
        """Authenticate the client, and exchange the refresh token for a new pair.

        The successor is computed from the refresh token: a client that lost the answer and asks again gets the same
        successor. So the family stays one chain, and a replay is detected.
        """
        value, client, proof = _presented(self, "refresh_token", Token)
        settings, moment, old = self.server.settings, now(), opaque.digest(value)
        self.scope = self._narrowed(old)
        self.access = opaque.new_value()
        successor = opaque.keyed_value(self.server.refresh_key, value)
        allowed = False
        for registration in _registrations(client):
            allowed = "offline_access" in registration.scopes
            if not allowed:
                continue
            dpop.check_policy(registration, proof)
            self.refresh = None if registration.fapi2 else successor
            if registration.refresh_id_token:
                self.signer = self.server.ring.signer(registration.id_token_alg)
            grant = self.server.store.refresh(
                Rotation(
                    old_digest=old,
                    client=registration.key,
                    client_version=registration.version,
                    access_digest=opaque.digest(self.access),
                    access_expires_at=moment + settings.lifetime("access_token_lifetime"),
                    access_scope=self.scope,
                    jkt=proof.jkt if proof else None,
                    same_key=client.registration.auth_method == "none",
                    refresh_digest=opaque.digest(self.refresh) if self.refresh else None,
                    refresh_expires_at=moment + settings.lifetime("refresh_token_lifetime"),
                    grace_since=_grace_since(moment, settings.refresh_grace),
                    now=moment,
                )
            )
            if grant:
                self.grant, self.registration = grant, registration
                return
        if not allowed:
            raise UnauthorizedClientError("The client may not ask for offline access.")
        _revoke_if_used(Token, old, client.registration, RefreshReused, Token.kind == "r")
        raise InvalidGrantError("The refresh token is unknown, used, expired or revoked.")

    def _narrowed(self, old: bytes) -> str | None:
        """Return the requested scope, or None if the request names none (RFC 6749 6)."""
        requested = self.request.form.get("scope", "").split()
        if not requested:
            return None
        granted = db.session.scalar(select(Token.scope).where(Token.digest == old, Token.kind == "r"))
        if granted is not None and not set(granted.split()).issuperset(requested):
            raise InvalidScopeError("The scope is wider than what was granted.")
        return " ".join(dict.fromkeys(requested))


def _presented(
    grant: CodeGrant | RefreshGrant, parameter: str, table: type[AuthorizationCode | Token]
) -> tuple[str, clients.ProtocolClient, dpop.Proof | None]:
    """Return the code or token that a request presents, the client that it authenticates, and its DPoP proof.

    The proof is stored as used only for a code or token that exists, so that guesses fill no table.
    """
    client = grant.server.authenticate_client(grant.request, clients.AUTH_METHODS)
    value = grant.request.form.get(parameter)
    if not value:
        raise InvalidRequestError(f"The {parameter.replace('_', ' ')} is missing.")
    proof = dpop.read_proof(current_request(), grant.server.settings.issuer)
    if proof and db.session.scalar(select(literal(1)).where(table.digest == opaque.digest(value))) is not None:
        dpop.use_proof(proof)
    return value, client, proof


def _registrations(client: clients.ProtocolClient) -> Iterator[Registration]:
    """Yield the registration that authenticated the request; then the database's, if it is newer."""
    yield client.registration
    fresh = clients.find(client.registration.client_id, fresh=True)
    if fresh is None:
        raise clients.authentication_error()
    known, current = client.registration, fresh.registration
    if not clients.is_authentication_current(known, current):
        raise clients.authentication_error()
    if current.version != known.version:
        yield current


def _challenge(verifier: str | None, *, public: bool) -> str | None:
    """Return the S256 challenge of a code verifier (RFC 7636 4.6)."""
    if verifier is None:
        if public:
            raise InvalidRequestError("The code verifier is missing.")
        return None
    if not _VERIFIER.fullmatch(verifier):
        raise InvalidRequestError("The code verifier must be 43 to 128 unreserved characters.")
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _token_body(server: Any, grant: Grant, scope: str, access: str, refresh: str | None) -> dict[str, Any]:
    body = {
        "access_token": access,
        "token_type": "DPoP" if grant.jkt else "Bearer",
        "expires_in": server.settings.access_token_lifetime,
        "scope": scope,
    }
    if refresh:
        body["refresh_token"] = refresh
    return body


def _id_token(server: Any, signer: Signer, client: Registration, grant: Grant, access: str) -> str:
    moment, holder = now(), None
    if release.requests_id_token_claims(grant):
        holder = server.store.find_holder(opaque.digest(access), moment)
    issued_at = int(moment.timestamp())
    body = {
        **release.id_token_claims(client, grant, holder),
        "iss": server.settings.issuer,
        "aud": client.client_id,
        "iat": issued_at,
        "exp": issued_at + server.settings.id_token_lifetime,
        "at_hash": half_hash(signer.alg, access),
    }
    return signer.sign(body, "JWT")


def _grace_since(moment: datetime, seconds: int) -> datetime:
    """Return since when a used refresh token has its grace period; without one, no wrong clock gives it one."""
    return moment - timedelta(seconds=seconds) if seconds else datetime.max.replace(tzinfo=UTC)
