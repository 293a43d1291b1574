"""The provider as an ENT sees it: addresses and keys found by discovery, spoken to by HTTP (`requests`).

Nothing is remembered between two runs. No redirect is followed: on these back channels it would carry a code or a token
to somewhere else. Every method raises the errors of `checks`, and no others.
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
from .checks import Attempt, Charter, Claims, ProviderDownError, ProviderRefusedError, Registration, SignedIn, must

_TIMEOUT, _SILENCE, _KEYS_ANEW, _MEMORY = 10, 5, 10, 3600
"""Seconds: for an answer to come; in which nobody asks again when none came; between two readings of the keys because a
token, which anybody may show, names an unknown one; for which keys are believed, since one may be withdrawn."""
_ADDRESSES = ("issuer", "authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri")


class _Document:
    """What one address of the provider says, in memory: of those who need it one asks, and all share its silence."""

    def __init__(self, ask: Callable[[], Claims]) -> None:
        self._ask, self._lock, self._content = ask, Lock(), Claims()
        self._due, self._silent_until, self._failure = {False: 0.0, True: 0.0}, 0.0, ProviderDownError("", "")

    def __call__(self, afresh: bool = False) -> Claims:  # noqa: FBT001, FBT002 - the shape that the checks ask for
        """Return it as known or, though not twice in a moment, asked again, which leaves it when it fails."""
        if monotonic() < self._due[afresh]:
            return self._content
        with self._lock:
            if monotonic() < self._due[afresh]:  # somebody asked while this thread waited
                return self._content
            if monotonic() < self._silent_until:
                raise ProviderDownError(self._failure.check, str(self._failure))
            try:
                self._content = self._ask()
            except ProviderDownError as error:
                self._failure, self._silent_until = error, monotonic() + _SILENCE
                raise
            self._due = {False: monotonic() + _MEMORY, True: monotonic() + (_KEYS_ANEW if afresh else 0)}
            return self._content


class Provider:
    """The identity provider of one ENT; threads may share it. `metadata()` is its description (Discovery 1.0)."""

    def __init__(self, registration: Registration) -> None:
        self.registration = registration
        self._base = registration.issuer.rstrip("/")
        self.metadata = _Document(self._discovered)
        keys = _Document(lambda: _object("jwks", self._send("jwks", self.metadata()["jwks_uri"])))
        self.checks = checks.Checks(registration, keys)

    def departure(self, target: str = "", **parameters: str) -> tuple[str, Attempt]:
        """Begin a sign-in (3.1.2.1; RFC 7636, 4.3), with `login_hint`, `prompt`…: where to go, and what to keep."""
        ent, (state, nonce, verifier) = self.registration, (secrets.token_urlsafe(32) for _ in range(3))
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = {"client_id": ent.client_id, "redirect_uri": ent.redirect_uri, "scope": ent.scope, "state": state}
        query |= {"response_type": "code", "nonce": nonce, "code_challenge": challenge, "code_challenge_method": "S256"}
        url = f"{self.metadata()['authorization_endpoint']}?{urlencode(query | parameters)}"
        return url, Attempt(state, nonce, verifier, target, *(parameters.get(n, "") for n in ("max_age", "acr_values")))

    def answer(self, query: str) -> dict[str, str]:
        """Read the query of an answer; it is this provider's (RFC 9207), so the attempt of its `state` can be taken."""
        found = dict(pairs := parse_qsl(query, keep_blank_values=True))
        must(len(found) == len(pairs), "duplicate", "the answer says one thing twice")
        if "iss" in found or self.metadata().get("authorization_response_iss_parameter_supported") is True:
            must(found.get("iss") == self.registration.issuer, "response_iss", "the answer is not of who was asked")
        return found

    def arrival(self, answer: Mapping[str, str], attempt: Attempt) -> SignedIn:
        """End a sign-in: change the code for tokens, check them, ask UserInfo (3.1.2.5 to 3.1.3.7, 5.3)."""
        if "error" in answer:
            raise ProviderRefusedError("authorization", answer["error"], answer.get("error_description"))
        must(answer.get("code"), "code", "the answer holds neither a code nor an error")
        given = {"code": answer["code"], "code_verifier": attempt.code_verifier}
        tokens = self._tokens("authorization_code", redirect_uri=self.registration.redirect_uri, **given)
        return self._person(tokens, self.checks.id_token(tokens.get("id_token"), attempt, tokens["access_token"]))

    def renewed(self, person: SignedIn) -> SignedIn:
        """Change the refresh token for new tokens (12); the former ones are to be forgotten."""
        tokens = self._tokens("refresh_token", refresh_token=person.refresh_token or "")
        claims = person.claims
        if "id_token" in tokens:
            claims = self.checks.renewal(tokens["id_token"], claims, tokens["access_token"])
        return self._person({"id_token": person.id_token, "refresh_token": person.refresh_token} | tokens, claims)

    def userinfo(self, access_token: str, subject: str) -> Claims:
        """Return what UserInfo tells now about the person whose `sub` is `subject` (5.3)."""
        answer = self._send("userinfo", self.metadata()["userinfo_endpoint"], f"Bearer {access_token}")
        is_jwt = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower() == "application/jwt"
        told = answer.content.decode(errors="replace") if is_jwt else _object("userinfo", answer)
        return self.checks.userinfo(told, subject)

    def charter(self, access_token: str) -> Charter | None:
        """Return the current charter of this ENT, or None when none was published."""
        answer = self._send("charter", f"{self._base}/charter", f"Bearer {access_token}", 404)
        if answer.status_code == requests.codes.not_found:
            return None
        told = _object("charter", answer)
        version, text = told.get("version"), told.get("markdown")
        if not isinstance(version, str) or not isinstance(text, str):
            raise ProviderDownError("charter", "the charter has no version or no text")
        return Charter(version, text, str(told.get("published_at", "")), told.get("accepted") is True)

    def accept_charter(self, access_token: str, version: str) -> bool:
        """Record an acceptance; False when another version is current (409), to be shown; other refusals are errors."""
        url = f"{self._base}/charter/acceptance"
        answer = self._send("charter", url, f"Bearer {access_token}", 400, 404, 409, json={"version": version})
        if answer.status_code in {400, 404}:
            raise ProviderRefusedError("charter", str(_object("charter", answer).get("error")))
        return answer.ok

    def sign_out_url(self, id_token: str, state: str) -> str | None:
        """Return where the browser goes to sign out there too (RP-Initiated Logout 1.0, 2), if anywhere."""
        endpoint, back = self.metadata().get("end_session_endpoint"), self.registration.post_logout_redirect_uri
        query = {"id_token_hint": id_token, "client_id": self.registration.client_id, "state": state}
        query |= {"post_logout_redirect_uri": back} if back else {}
        return f"{endpoint}?{urlencode(query)}" if endpoint else None

    def _discovered(self) -> Claims:
        """Ask for the metadata, and check them (Discovery 1.0, 4.3)."""
        told = _object("discovery", self._send("discovery", f"{self._base}/.well-known/openid-configuration"))
        named, agreed = told.get("issuer"), self.registration.issuer
        must(named == agreed, "metadata_issuer", f"the provider calls itself {named!r:.80}, not {agreed!r:.80}")
        for name in (*_ADDRESSES, *({"end_session_endpoint"} & told.keys())):
            must(checks.is_web_address(told.get(name)), "metadata", f"discovery gives no usable {name}")
        return told

    def _person(self, tokens: Claims, claims: Claims) -> SignedIn:
        told = self.userinfo(tokens["access_token"], claims["sub"])
        return SignedIn(claims, told, tokens["id_token"], tokens["access_token"], tokens.get("refresh_token"))

    def _tokens(self, grant: str, **form: str) -> Claims:
        """Ask the token endpoint, as the client that was registered (RFC 6749, 2.3.1 and 5)."""
        ent = self.registration
        pair = f"{quote_plus(ent.client_id)}:{quote_plus(ent.client_secret)}".encode()
        proof = f"Basic {base64.b64encode(pair).decode()}" if ent.client_secret else ""
        form |= {"grant_type": grant} if proof else {"grant_type": grant, "client_id": ent.client_id}
        answer = self._send("token", self.metadata()["token_endpoint"], proof, 400, 401, data=form)
        told = _object("token", answer)
        if answer.status_code != requests.codes.ok:
            raise ProviderRefusedError("token", str(told.get("error")), told.get("error_description"))
        access, kind = told.get("access_token"), str(told.get("token_type")).lower()
        if not isinstance(access, str) or not access.isascii() or kind != "bearer":
            raise ProviderDownError("token", "the token response holds no bearer token")
        return told

    def _send(self, step: str, url: str, proof: str = "", *fine: int, **body: Any) -> requests.Response:
        """Ask, with `proof` as authorization; a status that is neither 200 nor `fine` is an error."""
        # `auth` changes nothing, and keeps a .netrc from taking the place of `proof`
        more: dict[str, Any] = {"verify": self.registration.ca_bundle or True, "auth": lambda asked: asked, **body}
        more["headers"] = {"Accept": "application/json, application/jwt", **({"Authorization": proof} if proof else {})}
        try:
            answer = requests.request("POST" if body else "GET", url, timeout=_TIMEOUT, allow_redirects=False, **more)
        except (OSError, ValueError) as error:
            # the type alone: the text holds the address, and with it what was sent
            raise ProviderDownError(step, f"the provider does not answer ({type(error).__name__})") from error
        if answer.status_code == requests.codes.unauthorized and proof.startswith("Bearer "):
            raise ProviderRefusedError(step, "invalid_token")  # RFC 6750, 3.1
        if answer.status_code not in {requests.codes.ok, *fine}:
            raise ProviderDownError(step, f"the provider answers {answer.status_code}")
        return answer


def _object(step: str, answer: requests.Response) -> Claims:
    """Return the JSON object of an answer."""
    try:
        return {**json.loads(answer.content)}
    except (ValueError, TypeError, RecursionError) as error:
        raise ProviderDownError(step, "the answer is not a JSON object") from error
