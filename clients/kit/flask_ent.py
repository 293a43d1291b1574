"""The routes `/login`, `/callback`, `/logout` and `/backchannel-logout` of an ENT, as a Flask blueprint.

Core 1.0: 3.1.2, 4; RP-Initiated and Back-Channel Logout 1.0. Set SESSION_COOKIE_SECURE, SESSION_COOKIE_SAMESITE="Lax".
"""

import logging
import re
import secrets
from abc import ABC, abstractmethod
from dataclasses import asdict
from html import escape
from urllib.parse import urlencode, urlsplit

from flask import Blueprint, Response, jsonify, redirect, request, session, url_for
from flask.typing import ResponseReturnValue

from .checks import Attempt, CheckError, LogoutToken, ProviderDownError, ProviderRefusedError, SignedIn, now, require
from .provider import Provider

_PROFILES, _LONGEST_HINT, _MOST_ATTEMPTS = frozenset({"eleve", "parent", "enseignant", "personnel"}), 200, 4
_PAGE = r"(/(?!/)[!-\[\]-~]{0,500})"  # URI characters, so no backslash; four such pages fit into a cookie
_NO_STORE, _AGAIN = {"Cache-Control": "no-store"}, {"Cache-Control": "no-store", "Retry-After": "30"}
_STOPPED = """<!doctype html><html lang="fr"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Connexion</title><h1>La connexion n’a pas abouti</h1><p>{}</p><p><a href="{}">Se connecter de nouveau</a></p>
<p><a href="{}">Revenir à l’accueil</a></p><p>Code : {}</p>"""
_WHY = {
    "access_denied": "Elle a été refusée ou arrêtée avant la fin, ou vos enfants sont dans un autre ENT : "
    "leur établissement vous donne son adresse. Vous pouvez recommencer."
}
_log = logging.getLogger(__name__)


class FlaskEnt(ABC):
    """Sign-in and sign-out of an ENT. A subclass implements the ENT's sessions. Threads may share an instance."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self._seen: dict[str, LogoutToken] = {}

    @abstractmethod
    def enter(self, person: SignedIn, target: str) -> ResponseReturnValue:
        """Open a session with a new cookie value and redirect to `target`, or to any page if it is empty."""

    @abstractmethod
    def leave(self) -> str | None:
        """End the session of this browser and return its ID token, or None if nobody was signed in."""

    @abstractmethod
    def end(self, token: LogoutToken) -> None:
        """End the sessions that the logout token names, in all browsers."""

    def left(self, url: str | None, _state: str) -> ResponseReturnValue:
        """Return the response to a sign-out: redirect to the provider, which redirects back with `_state`."""
        return redirect(url or self.provider.registration.post_logout_redirect_uri or "/", 303)

    def refused(self, error: CheckError) -> ResponseReturnValue:
        """Return the error page of a failed sign-in, with the error code. Override it for a page of your own."""
        _log.warning("Sign-in failed, check %s: %r", error.check, str(error))
        code, why, headers = error.check, "Rien n’est perdu : recommencez.", _NO_STORE
        if isinstance(error, ProviderDownError):
            why, headers = "Le service de connexion ne répond pas. Attendez une minute.", _AGAIN
        if isinstance(error, ProviderRefusedError):
            code, why = str(error), _WHY.get(str(error), why)
        home = self.provider.registration.post_logout_redirect_uri or "/"
        page = _STOPPED.format(*map(escape, (why, url_for(".login"), home, code)))
        return Response(page, error.status, headers, mimetype="text/html")

    def parameters(self) -> dict[str, str]:
        """Return more parameters of the authorization request, such as `ui_locales`."""
        return {}

    def keep(self, attempt: Attempt) -> None:
        """Store an attempt for this browser, in Flask's signed session cookie."""
        session["attempts"] = [*session.get("attempts", [])[1 - _MOST_ATTEMPTS :], asdict(attempt)]

    def take(self, state: str) -> Attempt | None:
        """Remove and return the attempt of this state and browser, or None, so that a response is accepted once."""
        stored = session.pop("attempts", [])
        session["attempts"] = [attempt for attempt in stored if attempt["state"] != state]
        return next((Attempt(**attempt) for attempt in stored if attempt["state"] == state), None)

    def is_first(self, token: LogoutToken) -> bool:
        """Record a logout token; return False if it is a replay. With several processes, override it with a store."""
        for old in [other for other in tuple(self._seen.values()) if other.forget_at <= now()]:
            self._seen.pop(old.jti, None)
        return self._seen.setdefault(token.jti, token) is token

    def blueprint(self) -> Blueprint:
        """Return the routes. The redirect URI is `/callback` under the blueprint's URL prefix."""
        routes = Blueprint("oidc", __name__)
        routes.get("/login")(self.login)
        routes.post("/login")(self.login_from_elsewhere)
        routes.get("/callback")(self.callback)
        routes.post("/logout")(self.logout)
        routes.post("/backchannel-logout")(self.backchannel_logout)
        routes.register_error_handler(CheckError, self.refused)
        return routes

    def login_from_elsewhere(self) -> ResponseReturnValue:
        """Redirect a sign-in that another site posts (4) to GET, because the browser sends our cookie with GET only."""
        query = {name: request.form[name] for name in ("iss", "login_hint", "target_link_uri") if name in request.form}
        return redirect(f"{url_for('.login')}?{urlencode(query)}", 303)

    def login(self) -> ResponseReturnValue:
        """Redirect to the provider, and store the requested page (4) if it belongs to this ENT."""
        issuer, profile = self.provider.registration.issuer, request.args.get("profil", "").lower()
        require(request.args.get("iss", issuer) == issuer, "login_iss", "the sign-in is for another provider")
        hint = f"profil:{profile}" if profile in _PROFILES else request.args.get("login_hint", "")[:_LONGEST_HINT]
        origin = "{0.scheme}://{0.netloc}".format(urlsplit(self.provider.registration.redirect_uri))
        page = re.fullmatch(re.escape(origin) + _PAGE, request.args.get("target_link_uri", ""))
        target = page[1] if page and not page[1].startswith((url_for(".login"), url_for(".callback"))) else ""
        parameters = self.parameters() | ({"login_hint": hint} if hint else {})
        url, attempt = self.provider.start_sign_in(target, **parameters)
        self.keep(attempt)
        return redirect(url, 303)

    def callback(self) -> ResponseReturnValue:
        """Check the authorization response and sign in. The issuer is checked before the attempt is removed."""
        answer = self.provider.parse_answer(request.query_string.decode(errors="replace"))
        attempt = self.take(answer.get("state", ""))
        if attempt is None:
            raise CheckError("state", "the response belongs to no sign-in in progress in this browser")
        return self.enter(self.provider.finish_sign_in(answer, attempt), attempt.target)

    def logout(self) -> ResponseReturnValue:
        """Sign out of the ENT first, in any case, then of the provider."""
        id_token, state, url = self.leave(), secrets.token_urlsafe(16), None
        if id_token is None:
            return redirect(self.provider.registration.post_logout_redirect_uri or "/", 303)
        try:
            url = self.provider.sign_out_url(id_token, state)
        except CheckError as error:
            _log.warning("Sign-out at the provider failed: %s", error)
        return self.left(url, state)

    def backchannel_logout(self) -> ResponseReturnValue:
        """End the sessions that a logout token names: 400 if the token is invalid (2.8), 503 if keys are missing."""
        tokens = request.form.getlist("logout_token")
        try:
            require(len(tokens) == 1, "logout_token", "the form must have exactly one logout_token")
            token = self.provider.checks.logout_token(tokens[0])
            require(self.is_first(token), "jti", "the token was used before")
        except CheckError as error:
            _log.warning("Logout token refused, check %s: %s", error.check, error)
            is_down = isinstance(error, ProviderDownError)
            code, headers = ("temporarily_unavailable", _AGAIN) if is_down else ("invalid_request", _NO_STORE)
            return jsonify(error=code, error_description=str(error)), error.status, headers
        self.end(token)
        return Response(headers=_NO_STORE)
