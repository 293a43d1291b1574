"""The ENT's sign-in and sign-out routes: `clients.kit` with this ENT's sessions and store."""

import re
import secrets
from typing import cast

from flask import Response, after_this_request, current_app, redirect, render_template, request
from flask.typing import ResponseReturnValue

from clients.ent.errors import sign_in_error_page
from clients.ent.person import INSIDE, Person, find_person, next_page, sign_in
from clients.ent.sessions import MAX_COOKIE, current_session, current_store
from clients.ent.settings import current_settings
from clients.ent.store import ATTEMPT_LIFETIME
from clients.kit.checks import Attempt, CheckError, LogoutToken, SignedIn, now
from clients.kit.flask_ent import FlaskEnt
from clients.kit.provider import Provider

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{1,8}){0,3}")
_MOST_LANGUAGES = 5


class SignInRoutes(FlaskEnt):
    """`/login`, `/callback`, `/logout` and `/backchannel-logout`, which keep their state in the ENT's store."""

    def enter(self, person: SignedIn, target: str) -> ResponseReturnValue:
        """Open a session of the ENT and redirect to the next step or page."""
        session, settings = current_session(), current_settings()
        signed_in = Person(
            claims=person.claims | person.userinfo,
            id_token=person.id_token,
            access_token=person.access_token,
            signed_in_at=now(),
        )
        sign_in(session, signed_in, settings, target if target not in {"", "/"} else INSIDE)
        return redirect(next_page(session, signed_in, settings, current_store()), 303)

    def leave(self) -> str | None:
        """End the session of this browser and return its ID token, or None if nobody was signed in."""
        session = current_session()
        person = find_person(session)
        session.renew()
        return None if person is None else person.id_token

    def left(self, url: str | None, state: str) -> ResponseReturnValue:
        """Redirect to the provider's sign-out, which redirects to the home page with `state`."""
        if url is None:
            return render_template("signed_out_here.html")
        current_session()["sign_out"] = state
        return redirect(url, 303)

    def end(self, token: LogoutToken) -> None:
        """End the sessions that the logout token names."""
        current_store().end_sessions_of(token.sub, token.sid)

    def parameters(self) -> dict[str, str]:
        """Ask for pages in the languages of the browser, unless French, the language of this ENT, is the first."""
        languages = [tag for tag, _ in request.accept_languages if _LANGUAGE.fullmatch(tag)][:_MOST_LANGUAGES]
        is_french = not languages or languages[0].partition("-")[0].lower() == "fr"
        return {} if is_french else {"ui_locales": " ".join(languages)}

    def refused(self, error: CheckError) -> ResponseReturnValue:
        """Return the error page."""
        return sign_in_error_page(error)

    def keep(self, attempt: Attempt) -> None:
        """Store the attempt for this browser.

        The browser has a separate cookie for attempts, shared by all its tabs, because the provider may end the
        session of the ENT while another sign-in is in progress.
        """
        browser = _browser_id() or secrets.token_urlsafe(32)
        current_store().start_attempt(browser, attempt)

        @after_this_request
        def remember(response: Response) -> Response:
            settings = current_settings()
            name, secure = settings.browser_cookie_name, settings.secure
            response.set_cookie(name, browser, ATTEMPT_LIFETIME, path="/", httponly=True, samesite="Lax", secure=secure)
            return response

    def take(self, state: str) -> Attempt | None:
        """Take the attempt from the store: of eight answers that come at once, one finds it."""
        return current_store().take_attempt(_browser_id(), state)

    def is_first(self, token: LogoutToken) -> bool:
        """Record the logout token in the store, which all processes share; return False if it is a replay."""
        return current_store().record_logout_token(token.jti, token.forget_at)


def _browser_id() -> str:
    """Return the identifier of the browser, or an empty text if it has no sign-in in progress."""
    value = request.cookies.get(current_settings().browser_cookie_name, "")
    return value if len(value) <= MAX_COOKIE else ""


def current_provider() -> Provider:
    """Return the provider of the application that serves the request."""
    return cast("Provider", current_app.extensions["ent_provider"])
