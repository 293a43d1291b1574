"""The two grants: authorization code (RFC 6749 4.1, RFC 7636, Core 3.1.3) and refresh token (RFC 6749 6, Core 12)."""

import base64
import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

from authlib.oauth2.rfc6749 import (
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
    OAuth2Request,
    UnauthorizedClientError,
)
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, RefreshTokenGrant
from joserfc import jwt
from sqlalchemy import ColumnElement, literal, select

from idp import opaque
from idp.clients.registry import Registration
from idp.clock import now
from idp.db import db
from idp.oidc.claims import release
from idp.oidc.client_auth import client as clients
from idp.oidc.client_auth import dpop
from idp.oidc.models import AuthorizationCode, Token
from idp.oidc.store.contract import CodeRequest, Granted, Holder, Redemption, Rotation
from idp.oidc.tokens import replay

_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}", re.ASCII)
_AUTH_METHODS = list(clients.AUTH_METHODS)


class StepOwed(Exception):  # noqa: N818 - what happened
    """No code was stored: no live session, or it owes a step; the dispatcher finds out which."""


class CodeGrant(AuthorizationCodeGrant):
    """Codes: stored together with the check of the session, claimed together with the storing of their tokens."""

    TOKEN_ENDPOINT_AUTH_METHODS = _AUTH_METHODS

    def generate_authorization_code(self) -> str:
        """Return 256 bits in an alphabet that no client needs to encode."""
        return opaque.new_value()

    def save_authorization_code(self, code: str, request: OAuth2Request) -> None:
        """Store the code for the session of the browser, if nothing is owed; `request.user` binds it to a session.

        Raises:
            StepOwed: something is owed.
        """
        bind = cast("Callable[[bytes], CodeRequest]", request.user)
        sid = self.server.store.authorize(bind(opaque.digest(code)))
        if sid is None:
            raise StepOwed
        self.sid: str = sid

    def validate_token_request(self) -> None:
        """Authenticate the client, then claim the code (Core 3.1.3.1)."""
        client = cast("clients.ProtocolClient", self.authenticate_token_endpoint_client())
        code = self.request.form.get("code")
        if not code:
            raise InvalidRequestError("The code is missing.")
        self.request.client = client
        proof = dpop.shown(self.server.settings.issuer)
        if proof and _is_there(AuthorizationCode.digest == opaque.digest(code)):
            dpop.use_up(proof)
        self._claim(code, client, proof)

    def create_token_response(self) -> tuple[int, dict[str, Any], Any]:  # type: ignore[override] # the stub is wrong
        """Return the tokens (Core 3.1.3.3)."""
        scope = release.scope_left(self.granted_for, self.granted.scope)
        body = _token_body(self.server, self.granted, scope, self.access, self.refresh)
        body["id_token"] = _id_token(self.server, self.granted_for, self.granted, self.access)
        return 200, body, self.TOKEN_RESPONSE_HEADER

    def _claim(self, code: str, client: clients.ProtocolClient, proof: dpop.Proof | None) -> None:
        """Claim the code and store its tokens, in one statement.

        A wrong verifier, redirect URI or DPoP key, or another client, does not use the code up: they are in the
        statement's WHERE. Nor does a missing signing key, which is looked for first.
        """
        form, settings = self.request.form, self.server.settings
        challenge = _challenge(form.get("code_verifier"), public=client.registration.auth_method == "none")
        moment = now()
        self.access = opaque.new_value()
        for registration in _registrations(client):
            dpop.check_policy(registration, proof)
            self.server.ring.signer(registration.id_token_alg)
            refresh = opaque.new_value() if "offline_access" in registration.scopes else None
            granted = self.server.store.redeem(
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
                    refresh_expires_at=moment + settings.lifetime("refresh_idle"),
                    family_expires_at=moment + settings.lifetime("refresh_absolute"),
                    now=moment,
                )
            )
            if granted:
                self.granted, self.granted_for = granted, registration
                self.refresh = refresh if "offline_access" in granted.scope.split() else None
                return
        replay.revoke_if_reused(opaque.digest(code), client.registration)
        raise InvalidGrantError("The code is unknown, used, expired, or bound to something else.")


class RefreshGrant(RefreshTokenGrant):
    """Refresh tokens: rotated at each use; one that comes back late ends its whole family (RFC 9700 4.14).

    FAPI 2.0 (5.3.2.1) wants them not rotated: there the token goes on, bound to the client's key instead.
    """

    TOKEN_ENDPOINT_AUTH_METHODS = _AUTH_METHODS
    INCLUDE_NEW_REFRESH_TOKEN = True

    def validate_token_request(self) -> None:
        """Authenticate the client and rotate the token."""
        client = cast("clients.ProtocolClient", self.authenticate_token_endpoint_client())
        old = self.request.form.get("refresh_token")
        if not old:
            raise InvalidRequestError("The refresh token is missing.")
        self.request.client = client
        proof = dpop.shown(self.server.settings.issuer)
        if proof and _is_there(Token.digest == opaque.digest(old)):
            dpop.use_up(proof)
        self._rotate(old, client, proof)

    def create_token_response(self) -> tuple[int, dict[str, Any], Any]:  # type: ignore[override] # the stub is wrong
        """Return the new pair; an ID token only for clients registered to want one (Core 12.2 leaves it open)."""
        scope = release.scope_left(self.granted_for, self.scope or self.granted.scope)
        body = _token_body(self.server, self.granted, scope, self.access, self.refresh)
        if self.granted_for.refresh_id_token and "openid" in scope.split():
            left = replace(self.granted, scope=scope)  # who wanted less is told less
            body["id_token"] = _id_token(self.server, self.granted_for, left, self.access)
        return 200, body, self.TOKEN_RESPONSE_HEADER

    def _rotate(self, value: str, client: clients.ProtocolClient, proof: dpop.Proof | None) -> None:
        """Use the token up and store the pair that follows it, in one statement; see `CodeGrant`.

        The next refresh token is computed from the former one: who asks again because the answer was lost gets the same
        one, and the family stays one chain, on which a thief is found out.
        """
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
                self.server.ring.signer(registration.id_token_alg)
            granted = self.server.store.refresh(
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
                    refresh_expires_at=moment + settings.lifetime("refresh_idle"),
                    grace_since=moment - timedelta(seconds=settings.refresh_grace),
                    now=moment,
                )
            )
            if granted:
                self.granted, self.granted_for = granted, registration
                return
        if not allowed:
            raise UnauthorizedClientError("The client may not ask for offline access.")
        replay.revoke_if_rotated(old, client.registration)
        raise InvalidGrantError("The refresh token is unknown, used, expired or revoked.")

    def _narrowed(self, old: bytes) -> str | None:
        """Return the scope that was asked for, which may be less than was granted and never more (RFC 6749 6)."""
        asked = self.request.form.get("scope", "").split()
        if not asked:
            return None
        granted = db.session.scalar(select(Token.scope).where(Token.digest == old, Token.kind == "r"))
        if granted is not None and not set(granted.split()).issuperset(asked):
            raise InvalidScopeError("The scope is wider than what was granted.")
        return " ".join(dict.fromkeys(asked))


def _is_there(condition: ColumnElement[bool]) -> bool:
    """Return whether what a request shows was ever issued: nobody's proof is worth a row for anything else."""
    return db.session.scalar(select(literal(1)).where(condition)) is not None


def _registrations(client: clients.ProtocolClient) -> Iterator[Registration]:
    """Yield the registration that authenticated; then, if the database has a younger one, that.

    Raises:
        InvalidClientError: the client has been shut out since: the same answer as for one that never was.
    """
    yield client.registration
    fresh = clients.find(client.registration.client_id, fresh=True)
    if fresh is None:
        raise clients.refused()
    known, current = client.registration, fresh.registration
    if not clients.still_proves(known, current):
        raise clients.refused()  # what this request proved is no longer what the client must prove
    if current.version != known.version:
        yield current


def _challenge(verifier: str | None, *, public: bool) -> str | None:
    """Return the challenge of a verifier (RFC 7636 4.6), to be compared in the statement."""
    if verifier is None:
        if public:
            raise InvalidRequestError("The code verifier is missing.")
        return None
    if not _VERIFIER.fullmatch(verifier):
        raise InvalidRequestError("The code verifier must be 43 to 128 unreserved characters.")
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _token_body(server: Any, granted: Granted, scope: str, access: str, refresh: str | None) -> dict[str, Any]:
    body = {
        "access_token": access,
        "token_type": "DPoP" if granted.jkt else "Bearer",
        "expires_in": server.settings.access_token_lifetime,
        "scope": scope,
    }
    if refresh:
        body["refresh_token"] = refresh
    return body


def _holder(server: Any, granted: Granted, access: str) -> Holder | None:
    """Return whom the tokens stand for, if the request asked for claims of the person in the ID token (Core 5.5).

    One more statement, for those requests alone.
    """
    if not release.id_token_tells_of_the_person(granted):
        return None
    holder: Holder | None = server.store.holder(opaque.digest(access), now())
    return holder


def _id_token(server: Any, client: Registration, granted: Granted, access: str) -> str:
    signer = server.ring.signer(client.id_token_alg)
    issued_at = int(now().timestamp())
    body = {
        **release.id_token(client, granted, _holder(server, granted, access)),
        "iss": server.settings.issuer,
        "aud": client.client_id,
        "iat": issued_at,
        "exp": issued_at + server.settings.id_token_lifetime,
        "at_hash": signer.half_hash(access),
    }
    return jwt.encode({"alg": signer.alg, "kid": signer.kid, "typ": "JWT"}, body, signer.key, algorithms=[signer.alg])
