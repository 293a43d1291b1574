"""The kit on Flask: `/login`, `/callback`, `/logout` and `/backchannel-logout` of an ENT, as one blueprint.

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

from .checks import Attempt, CheckError, Ended, ProviderDownError, ProviderRefusedError, SignedIn, must, now
from .provider import Provider

_PROFILES, _LONGEST_HINT, _MOST_ATTEMPTS = frozenset({"eleve", "parent", "enseignant", "personnel"}), 200, 4
_PAGE = r"(/(?!/)[!-\[\]-~]{0,500})"  # URI characters, which a backslash is not; four of them fit into a cookie
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
    """The way into an ENT and out of it: the ENT overrides what its sessions are. One object serves all requests."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self._seen: dict[str, Ended] = {}

    @abstractmethod
    def enter(self, person: SignedIn, target: str) -> ResponseReturnValue:
        """Open the ENT's own session, under a new value of its cookie, and go to `target` (empty: the ENT's choice)."""

    @abstractmethod
    def leave(self) -> str | None:
        """End the session of this browser; return the ID token of who was signed in, if anybody was."""

    @abstractmethod
    def end(self, ended: Ended) -> None:
        """End the sessions that the provider names, in whichever browser they are."""

    def left(self, url: str | None, _state: str) -> ResponseReturnValue:
        """Answer a sign-out, after `leave`: the browser goes to the provider, and comes back with `_state`."""
        return redirect(url or self.provider.registration.post_logout_redirect_uri or "/", 303)

    def refused(self, error: CheckError) -> ResponseReturnValue:
        """Answer a sign-in that stopped: what the person can do, and the code to tell; an ENT may have its own page."""
        _log.warning("A sign-in stopped at %s: %r", error.check, str(error))
        code, why, headers = error.check, "Rien n’est perdu : recommencez.", _NO_STORE
        if isinstance(error, ProviderDownError):
            why, headers = "Le service de connexion ne répond pas. Attendez une minute.", _AGAIN
        if isinstance(error, ProviderRefusedError):
            code, why = str(error), _WHY.get(str(error), why)
        home = self.provider.registration.post_logout_redirect_uri or "/"
        page = _STOPPED.format(*map(escape, (why, url_for(".login"), home, code)))
        return Response(page, error.status, headers, mimetype="text/html")

    def keep(self, attempt: Attempt) -> None:
        """Keep an attempt for its state and this browser alone; here in Flask's session, whose cookie is signed."""
        session["attempts"] = [*session.get("attempts", [])[1 - _MOST_ATTEMPTS :], asdict(attempt)]

    def take(self, state: str) -> Attempt | None:
        """Return the attempt of this state and browser, and forget it: an answer counts once."""
        kept = session.pop("attempts", [])
        session["attempts"] = [attempt for attempt in kept if attempt["state"] != state]
        return next((Attempt(**attempt) for attempt in kept if attempt["state"] == state), None)

    def is_first(self, ended: Ended) -> bool:
        """Note the name of a logout token; False when it came before. Several processes must share what they note."""
        for old in [other for other in tuple(self._seen.values()) if other.forget_at <= now()]:
            self._seen.pop(old.jti, None)
        return self._seen.setdefault(ended.jti, ended) is ended

    def blueprint(self) -> Blueprint:
        """Return the routes; under the prefix that they are registered with lies the redirect URI, `/callback`."""
        routes = Blueprint("oidc", __name__)
        routes.get("/login")(self.login)
        routes.post("/login")(self.login_from_elsewhere)
        routes.get("/callback")(self.callback)
        routes.post("/logout")(self.logout)
        routes.post("/backchannel-logout")(self.backchannel_logout)
        routes.register_error_handler(CheckError, self.refused)
        return routes

    def login_from_elsewhere(self) -> ResponseReturnValue:
        """Take a sign-in that another site begins by a form (4), by GET: only then does the browser send our cookie."""
        given = {name: request.form[name] for name in ("iss", "login_hint", "target_link_uri") if name in request.form}
        return redirect(f"{url_for('.login')}?{urlencode(given)}", 303)

    def login(self) -> ResponseReturnValue:
        """Send the browser to the provider, and keep the page that was wanted (4) if it is one of this ENT."""
        issuer, profile = self.provider.registration.issuer, request.args.get("profil", "").lower()
        must(request.args.get("iss", issuer) == issuer, "login_iss", "the sign-in was begun for another provider")
        hint = f"profil:{profile}" if profile in _PROFILES else request.args.get("login_hint", "")[:_LONGEST_HINT]
        origin = "{0.scheme}://{0.netloc}".format(urlsplit(self.provider.registration.redirect_uri))
        page = re.fullmatch(re.escape(origin) + _PAGE, request.args.get("target_link_uri", ""))
        target = page[1] if page and not page[1].startswith((url_for(".login"), url_for(".callback"))) else ""
        url, attempt = self.provider.departure(target, **({"login_hint": hint} if hint else {}))
        self.keep(attempt)
        return redirect(url, 303)

    def callback(self) -> ResponseReturnValue:
        """Take the answer and believe it once everything is checked; one of another provider uses up no attempt."""
        answer = self.provider.answer(request.query_string.decode(errors="replace"))
        attempt = self.take(answer.get("state", ""))
        if attempt is None:
            raise CheckError("state", "the answer belongs to no sign-in on its way in this browser")
        return self.enter(self.provider.arrival(answer, attempt), attempt.target)

    def logout(self) -> ResponseReturnValue:
        """Sign out here first, whatever comes next, then at the provider."""
        id_token, state, url = self.leave(), secrets.token_urlsafe(16), None
        if id_token is None:
            return redirect(self.provider.registration.post_logout_redirect_uri or "/", 303)
        try:
            url = self.provider.sign_out_url(id_token, state)
        except CheckError as error:
            _log.warning("The provider is not told of the sign-out: %s", error)
        return self.left(url, state)

    def backchannel_logout(self) -> ResponseReturnValue:
        """End what a logout token names: 400 when it is not believed (2.8), 503 when nobody can tell."""
        tokens = request.form.getlist("logout_token")
        try:
            must(len(tokens) == 1, "logout_token", "the form must hold one logout_token")
            ended = self.provider.checks.logout_token(tokens[0])
            must(self.is_first(ended), "jti", "the token was used before")
        except CheckError as error:
            _log.warning("Logout token refused, check %s: %s", error.check, error)
            is_down = isinstance(error, ProviderDownError)
            code, headers = ("temporarily_unavailable", _AGAIN) if is_down else ("invalid_request", _NO_STORE)
            return jsonify(error=code, error_description=str(error)), error.status, headers
        self.end(ended)
        return Response(headers=_NO_STORE)
