"""Sessions kept on the server: the cookie holds a random value alone, so that no token travels in it.

A session that began before the sign-in is given a new value there, so that one planted beforehand is worth nothing. It
ends eight hours after the sign-in, at the sign-out, or when the provider says that it ended there.
"""

import secrets
from typing import cast

from flask import Flask, Request, Response, current_app
from flask import session as flask_session
from flask.json.tag import TaggedJSONSerializer
from flask.sessions import SessionInterface, SessionMixin
from werkzeug.datastructures import CallbackDict

from clients.ent.store import ATTEMPT_LIFETIME, Store
from clients.kit.checks import now

SIGNED_IN_LIFETIME = 8 * 3600
"""Seconds, from the sign-in: a school day."""
MAX_COOKIE = 128
_serializer = TaggedJSONSerializer()


class ServerSession(CallbackDict[str, object], SessionMixin):
    """The content of a session, which remembers whether it has changed and under which values it is stored."""

    def __init__(self, content: dict[str, object] | None = None, session_id: str = "") -> None:
        super().__init__(content, on_update=ServerSession._changed)
        self.modified = False
        self.new = not session_id
        self.session_id = session_id
        self.retired: list[str] = []

    def _changed(self) -> None:
        self.modified = True

    @property
    def expires_at(self) -> int:
        """When the session ends, as a NumericDate."""
        return cast("int", self.get("expires_at", 0)) or now() + ATTEMPT_LIFETIME

    @property
    def owner(self) -> tuple[str, str | None] | None:
        """The provider's names for the person and for the session there, once somebody has signed in."""
        return cast("tuple[str, str | None] | None", self.get("owner"))

    def renew(self) -> None:
        """Empty the session and give it a new value; the former one dies at once."""
        if self.session_id:
            self.retired.append(self.session_id)
        self.session_id = ""
        self.clear()


class ServerSessions(SessionInterface):
    """Reads and writes the sessions of an application in its store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def open_session(self, app: Flask, request: Request) -> ServerSession:
        """Return the session of the cookie, or a new one when the cookie opens nothing."""
        session_id = request.cookies.get(self.get_cookie_name(app), "")
        content = self._store.find_session(session_id) if 0 < len(session_id) <= MAX_COOKIE else None
        return ServerSession() if content is None else ServerSession(_serializer.loads(content), session_id)

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Write what has changed, and hand the cookie over when its value is new."""
        held = cast("ServerSession", session)
        if not held.modified:
            return
        name, secure = self.get_cookie_name(app), bool(app.config["SESSION_COOKIE_SECURE"])
        if not held and held.session_id:
            held.renew()
        for session_id in held.retired:
            self._store.end_session(session_id)
        if not held:
            response.delete_cookie(name, path="/", secure=secure, httponly=True, samesite="Lax")
            return
        is_new = not held.session_id
        held.session_id = held.session_id or secrets.token_urlsafe(32)
        content = _serializer.dumps(dict(held))
        self._store.save_session(held.session_id, content, held.expires_at, is_new=is_new, owner=held.owner)
        if is_new:
            # No Max-Age: closing the browser ends it, since families share computers.
            response.set_cookie(
                name,
                held.session_id,
                path="/",
                httponly=True,
                samesite="Lax",
                secure=secure,
            )


def current_session() -> ServerSession:
    """Return the session of the request, typed as what it is."""
    return cast("ServerSession", flask_session)


def current_store() -> Store:
    """Return the store of the application that serves the request."""
    return cast("Store", current_app.extensions["ent_store"])
