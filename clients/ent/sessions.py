"""Sessions in the ENT's store. The cookie holds a random identifier and no token.

A sign-in gives the session a new identifier, which prevents session fixation. The session ends eight hours after the
sign-in, at the sign-out, or when the provider sends a logout token.
"""

import secrets
from typing import cast

from flask import Flask, Request, Response, current_app, session as flask_session
from flask.json.tag import TaggedJSONSerializer
from flask.sessions import SessionInterface, SessionMixin
from werkzeug.datastructures import CallbackDict

from clients.ent.store import ATTEMPT_LIFETIME, Store
from clients.kit.checks import now

SIGNED_IN_LIFETIME = 8 * 3600
"""Seconds after the sign-in: a school day."""
MAX_COOKIE = 128
_serializer = TaggedJSONSerializer()


class ServerSession(CallbackDict[str, object], SessionMixin):
    """The content of a session.

    Attributes:
        session_id: the value of the cookie; empty for a session that is not stored yet.
        retired: former identifiers, to be deleted from the store with the next save.
    """

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
        """The provider's `sub` and `sid`, or None before the sign-in."""
        return cast("tuple[str, str | None] | None", self.get("owner"))

    def renew(self) -> None:
        """Empty the session and retire its identifier."""
        if self.session_id:
            self.retired.append(self.session_id)
        self.session_id = ""
        self.clear()


class ServerSessions(SessionInterface):
    """Flask's session interface on the ENT's store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def open_session(self, app: Flask, request: Request) -> ServerSession:
        """Return the session of the cookie, or a new session if the cookie names none."""
        session_id = request.cookies.get(self.get_cookie_name(app), "")
        content = self._store.find_session(session_id) if 0 < len(session_id) <= MAX_COOKIE else None
        return ServerSession() if content is None else ServerSession(_serializer.loads(content), session_id)

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Save a modified session, and set the cookie if the identifier is new."""
        current = cast("ServerSession", session)
        if not current.modified:
            return
        name, secure = self.get_cookie_name(app), bool(app.config["SESSION_COOKIE_SECURE"])
        if not current and current.session_id:
            current.renew()
        for session_id in current.retired:
            self._store.end_session(session_id)
        if not current:
            response.delete_cookie(name, path="/", secure=secure, httponly=True, samesite="Lax")
            return
        is_new = not current.session_id
        current.session_id = current.session_id or secrets.token_urlsafe(32)
        content = _serializer.dumps(dict(current))
        self._store.save_session(current.session_id, content, current.expires_at, is_new=is_new, owner=current.owner)
        if is_new:
            # No Max-Age: the session ends with the browser, because families share computers.
            response.set_cookie(
                name,
                current.session_id,
                path="/",
                httponly=True,
                samesite="Lax",
                secure=secure,
            )


def current_session() -> ServerSession:
    """Return the session of the request."""
    return cast("ServerSession", flask_session)


def current_store() -> Store:
    """Return the store of the application that serves the request."""
    return cast("Store", current_app.extensions["ent_store"])
