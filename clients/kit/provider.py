"""HTTP requests to the provider (`requests`), with the endpoints and keys of its discovery document.

Redirects are not followed, because they would send a code or a token to another host. Every method raises the errors of
`checks` only.
"""

import base64
import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from threading import Lock
from time import monotonic
from typing import Any
from urllib.parse import parse_qsl, quote_plus, urlencode

import requests

from . import checks
from .checks import Attempt, Charter, Claims, ProviderDownError, ProviderRefusedError, Registration, SignedIn, require

_TIMEOUT, _BACK_OFF, _REFETCH_INTERVAL, _CACHE_TIME = 10, 5, 10, 3600
"""Seconds: the timeout of a request; the pause after a failed request; the minimum between two forced requests of the
keys, which anybody can cause with an unknown `kid`; the life of a cached document, since a key may be withdrawn."""
_ENDPOINTS = ("issuer", "authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri")


class _Document:
    """A cached document of the provider. One thread requests it, the others wait for the document or the error."""

    def __init__(self, fetch: Callable[[], Claims]) -> None:
        self._fetch, self._lock, self._content = fetch, Lock(), Claims()
        self._due, self._paused_until, self._failure = {False: 0.0, True: 0.0}, 0.0, ProviderDownError("", "")

    def __call__(self, refetch: bool = False) -> Claims:  # noqa: FBT001, FBT002 - the signature that `Checks` needs
        """Return the document, requested again if it is too old or `refetch` is True and the interval has passed."""
        if monotonic() < self._due[refetch]:
            return self._content
        with self._lock:
            if monotonic() < self._due[refetch]:  # another thread requested it meanwhile
                return self._content
            if monotonic() < self._paused_until:
                raise ProviderDownError(self._failure.check, str(self._failure))
            try:
                self._content = self._fetch()
            except ProviderDownError as error:
                self._failure, self._paused_until = error, monotonic() + _BACK_OFF
                raise
            next_refetch = monotonic() + (_REFETCH_INTERVAL if refetch else 0)
            self._due = {False: monotonic() + _CACHE_TIME, True: next_refetch}
            return self._content


class Provider:
    """The identity provider of one ENT; threads may share it. `metadata()` is the discovery document."""

    def __init__(self, registration: Registration) -> None:
        self.registration = registration
        self._base = registration.issuer.rstrip("/")
        self.metadata = _Document(self._fetch_metadata)
        keys = _Document(lambda: _json_object("jwks", self._send("jwks", self.metadata()["jwks_uri"])))
        self.checks = checks.Checks(registration, keys)

    def start_sign_in(self, target: str = "", **parameters: str) -> tuple[str, Attempt]:
        """Return the URL of the authorization request and the attempt to store (3.1.2.1; RFC 7636, 4.3).

        Args:
            target: the page to show after the sign-in.
            parameters: more request parameters, such as `login_hint` and `prompt`.
        """
        ent, (state, nonce, verifier) = self.registration, (secrets.token_urlsafe(32) for _ in range(3))
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = {"client_id": ent.client_id, "redirect_uri": ent.redirect_uri, "scope": ent.scope, "state": state}
        query |= {"response_type": "code", "nonce": nonce, "code_challenge": challenge, "code_challenge_method": "S256"}
        url = f"{self.metadata()['authorization_endpoint']}?{urlencode(query | parameters)}"
        return url, Attempt(state, nonce, verifier, target, *(parameters.get(n, "") for n in ("max_age", "acr_values")))

    def parse_answer(self, query: str) -> dict[str, str]:
        """Return the parameters of an authorization response. Its issuer is checked (RFC 9207)."""
        answer = dict(pairs := parse_qsl(query, keep_blank_values=True))
        require(len(answer) == len(pairs), "duplicate", "the response has a parameter twice")
        if "iss" in answer or self.metadata().get("authorization_response_iss_parameter_supported") is True:
            is_ours = answer.get("iss") == self.registration.issuer
            require(is_ours, "response_iss", "the response comes from another provider")
        return answer

    def finish_sign_in(self, answer: Mapping[str, str], attempt: Attempt) -> SignedIn:
        """Exchange the code for tokens, check the tokens, request UserInfo (3.1.2.5 to 3.1.3.7, 5.3)."""
        if "error" in answer:
            raise ProviderRefusedError("authorization", answer["error"], answer.get("error_description"))
        require(answer.get("code"), "code", "the response has neither a code nor an error")
        grant = {"code": answer["code"], "code_verifier": attempt.code_verifier}
        tokens = self._tokens("authorization_code", redirect_uri=self.registration.redirect_uri, **grant)
        return self._person(tokens, self.checks.id_token(tokens.get("id_token"), attempt, tokens["access_token"]))

    def renew_tokens(self, person: SignedIn) -> SignedIn:
        """Exchange the refresh token for new tokens (12). Discard the former tokens."""
        tokens = self._tokens("refresh_token", refresh_token=person.refresh_token or "")
        claims = person.claims
        if "id_token" in tokens:
            claims = self.checks.renewed_id_token(tokens["id_token"], claims, tokens["access_token"])
        return self._person({"id_token": person.id_token, "refresh_token": person.refresh_token} | tokens, claims)

    def userinfo(self, access_token: str, subject: str) -> Claims:
        """Return the current UserInfo claims of the person whose `sub` is `subject` (5.3)."""
        response = self._send("userinfo", self.metadata()["userinfo_endpoint"], f"Bearer {access_token}")
        is_jwt = response.headers.get("Content-Type", "").partition(";")[0].strip().lower() == "application/jwt"
        content = response.content.decode(errors="replace") if is_jwt else _json_object("userinfo", response)
        return self.checks.userinfo(content, subject)

    def charter(self, access_token: str) -> Charter | None:
        """Return the current charter of this ENT, or None if none is published."""
        response = self._send("charter", f"{self._base}/charter", f"Bearer {access_token}", 404)
        if response.status_code == requests.codes.not_found:
            return None
        charter = _json_object("charter", response)
        version, text = charter.get("version"), charter.get("markdown")
        if not isinstance(version, str) or not isinstance(text, str):
            raise ProviderDownError("charter", "the charter has no version or no text")
        return Charter(version, text, str(charter.get("published_at", "")), charter.get("accepted") is True)

    def accept_charter(self, access_token: str, version: str) -> bool:
        """Record an acceptance. Return False if another version is current (409): show that one."""
        url = f"{self._base}/charter/acceptance"
        response = self._send("charter", url, f"Bearer {access_token}", 400, 404, 409, json={"version": version})
        if response.status_code in {400, 404}:
            raise ProviderRefusedError("charter", str(_json_object("charter", response).get("error")))
        return response.ok

    def sign_out_url(self, id_token: str, state: str) -> str | None:
        """Return the URL of the sign-out request, or None without an endpoint (RP-Initiated Logout 1.0, 2)."""
        endpoint, back = self.metadata().get("end_session_endpoint"), self.registration.post_logout_redirect_uri
        query = {"id_token_hint": id_token, "client_id": self.registration.client_id, "state": state}
        query |= {"post_logout_redirect_uri": back} if back else {}
        return f"{endpoint}?{urlencode(query)}" if endpoint else None

    def _fetch_metadata(self) -> Claims:
        """Request and check the discovery document (Discovery 1.0, 4.3)."""
        metadata = _json_object("discovery", self._send("discovery", f"{self._base}/.well-known/openid-configuration"))
        issuer, expected = metadata.get("issuer"), self.registration.issuer
        require(issuer == expected, "metadata_issuer", f"discovery has the issuer {issuer!r:.80}, not {expected!r:.80}")
        for name in (*_ENDPOINTS, *({"end_session_endpoint"} & metadata.keys())):
            require(checks.is_web_url(metadata.get(name)), "metadata", f"discovery has no usable {name}")
        return metadata

    def _person(self, tokens: Claims, claims: Claims) -> SignedIn:
        userinfo = self.userinfo(tokens["access_token"], claims["sub"])
        return SignedIn(claims, userinfo, tokens["id_token"], tokens["access_token"], tokens.get("refresh_token"))

    def _tokens(self, grant: str, **form: str) -> Claims:
        """Return the response of the token endpoint, authenticated as the registered client (RFC 6749, 2.3.1 and 5)."""
        ent = self.registration
        pair = f"{quote_plus(ent.client_id)}:{quote_plus(ent.client_secret)}".encode()
        credentials = f"Basic {base64.b64encode(pair).decode()}" if ent.client_secret else ""
        form |= {"grant_type": grant} if credentials else {"grant_type": grant, "client_id": ent.client_id}
        response = self._send("token", self.metadata()["token_endpoint"], credentials, 400, 401, data=form)
        tokens = _json_object("token", response)
        if response.status_code != requests.codes.ok:
            raise ProviderRefusedError("token", str(tokens.get("error")), tokens.get("error_description"))
        access, token_type = tokens.get("access_token"), str(tokens.get("token_type")).lower()
        if not isinstance(access, str) or not access.isascii() or token_type != "bearer":  # noqa: S105 - a type
            raise ProviderDownError("token", "the token response has no bearer token")
        return tokens

    def _send(self, step: str, url: str, authorization: str = "", *accepted: int, **body: Any) -> requests.Response:
        """Send a request and return the response, whose status is 200 or one of `accepted`."""
        # `auth` does nothing, but keeps requests from reading credentials in a .netrc file
        options: dict[str, Any] = {"verify": self.registration.ca_bundle or True, "auth": lambda request: request}
        options["headers"] = {"Accept": "application/json, application/jwt"}
        if authorization:
            options["headers"]["Authorization"] = authorization
        options |= {"allow_redirects": False, **body}
        try:
            response = requests.request("POST" if body else "GET", url, timeout=_TIMEOUT, **options)
        except (OSError, ValueError) as error:
            # only the type: the message contains the URL, which may contain a secret
            raise ProviderDownError(step, f"the provider does not respond ({type(error).__name__})") from error
        if response.status_code == requests.codes.unauthorized and authorization.startswith("Bearer "):
            raise ProviderRefusedError(step, "invalid_token")  # RFC 6750, 3.1
        if response.status_code not in {requests.codes.ok, *accepted}:
            raise ProviderDownError(step, f"the provider responds with HTTP {response.status_code}")
        return response


def _json_object(step: str, response: requests.Response) -> Claims:
    """Return the JSON object of a response."""
    try:
        return {**json.loads(response.content)}
    except (ValueError, TypeError, RecursionError) as error:
        raise ProviderDownError(step, "the response is not a JSON object") from error
