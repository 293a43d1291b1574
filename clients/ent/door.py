"""The ENT's door: how what `clients.kit` believes becomes a session of this ENT, and how that session ends."""

import secrets
from typing import cast

from flask import Response, after_this_request, current_app, redirect, render_template, request
from flask.typing import ResponseReturnValue

from clients.ent.errors import page_of
from clients.ent.person import INSIDE, Person, find_person, next_page, sign_in
from clients.ent.sessions import MAX_COOKIE, current_session, current_store
from clients.ent.settings import current_settings
from clients.ent.store import ATTEMPT_LIFETIME
from clients.kit.checks import Attempt, CheckError, Ended, SignedIn, now
from clients.kit.flask_ent import FlaskEnt
from clients.kit.provider import Provider


class Door(FlaskEnt):
    """`/login`, `/callback`, `/logout` and `/backchannel-logout`, with all that they keep in the ENT's store."""

    def enter(self, person: SignedIn, target: str) -> ResponseReturnValue:
        """Open the ENT's own session, and lead to the page that is owed next."""
        session, settings = current_session(), current_settings()
        entered = Person(
            claims=person.claims | person.userinfo,
            id_token=person.id_token,
            access_token=person.access_token,
            signed_in_at=now(),
        )
        sign_in(session, entered, settings, target if target not in {"", "/"} else INSIDE)
        return redirect(next_page(session, entered, settings, current_store()), 303)

    def leave(self) -> str | None:
        """End the session of this browser, whatever comes next."""
        session = current_session()
        person = find_person(session)
        session.renew()
        return None if person is None else person.id_token

    def left(self, url: str | None, state: str) -> ResponseReturnValue:
        """Go and sign out at the provider, which sends the browser back to the home with `state`."""
        if url is None:
            return render_template("signed_out_here.html")
        current_session()["sign_out"] = state
        return redirect(url, 303)

    def end(self, ended: Ended) -> None:
        """End the sessions that the provider names."""
        current_store().end_sessions_of(ended.sub, ended.sid)

    def refused(self, error: CheckError) -> ResponseReturnValue:
        """Show the page that says why, and a way on."""
        return page_of(error)

    def keep(self, attempt: Attempt) -> None:
        """Keep the attempt in the store, for the browser that asked for it.

        The browser is known by a cookie of its own, which holds for all its tabs: the provider may end the session that
        it has here while its next one is on the way.
        """
        browser = _browser() or secrets.token_urlsafe(32)
        current_store().start_attempt(browser, attempt)

        @after_this_request
        def remember(response: Response) -> Response:
            settings = current_settings()
            name, secure = settings.browser_cookie_name, settings.secure
            response.set_cookie(name, browser, ATTEMPT_LIFETIME, path="/", httponly=True, samesite="Lax", secure=secure)
            return response

    def take(self, state: str) -> Attempt | None:
        """Take the attempt from the store: of eight answers that come at once, one finds it."""
        return current_store().take_attempt(_browser(), state)

    def is_first(self, ended: Ended) -> bool:
        """Note the token in the store, which all processes share."""
        return current_store().note_logout_token(ended.jti, ended.forget_at)


def _browser() -> str:
    """Return the name of the browser that asks; empty when it has left for no sign-in of late."""
    value = request.cookies.get(current_settings().browser_cookie_name, "")
    return value if len(value) <= MAX_COOKIE else ""


def current_provider() -> Provider:
    """Return the provider of the application that serves the request."""
    return cast("Provider", current_app.extensions["ent_provider"])
