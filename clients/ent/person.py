"""The signed-in person, and the steps after a sign-in: the charter, the notification email, the private page."""

from dataclasses import dataclass
from typing import Any, cast

from clients.ent.sessions import SIGNED_IN_LIFETIME, ServerSession
from clients.ent.settings import Settings
from clients.ent.store import Store
from clients.kit.checks import Claims, now

INSIDE = "/bienvenue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A signed-in parent.

    Attributes:
        claims: the claims of the ID token, replaced by those of UserInfo where both have one.
        id_token: the hint for the sign-out at the provider.
        access_token: for the charter API; it expires after some minutes.
        signed_in_at: NumericDate.
    """

    claims: Claims
    id_token: str
    access_token: str
    signed_in_at: int

    @property
    def sub(self) -> str:
        """The provider's identifier of this person at this ENT."""
        return str(self.claims["sub"])

    @property
    def sid(self) -> str | None:
        """The provider's identifier of its session, or None if the ID token has no usable one."""
        sid = self.claims.get("sid")
        return sid if isinstance(sid, str) and sid.isascii() and sid else None


def sign_in(session: ServerSession, person: Person, settings: Settings, target: str) -> None:
    """Open the ENT's session under a new identifier, which prevents session fixation."""
    session.renew()
    session["expires_at"] = now() + SIGNED_IN_LIFETIME
    session["owner"] = (person.sub, person.sid)
    session["target"] = target
    session["charter_settled"] = settings.charter != "ent" or person.claims.get("charter_accepted") is True
    store_person(session, person)


def store_person(session: ServerSession, person: Person) -> None:
    """Write the person into the session."""
    session["person"] = {
        "claims": person.claims,
        "id_token": person.id_token,
        "access_token": person.access_token,
        "signed_in_at": person.signed_in_at,
    }


def find_person(session: ServerSession) -> Person | None:
    """Return the signed-in person, or None."""
    stored = cast("dict[str, Any] | None", session.get("person"))
    return None if stored is None else Person(**stored)


def next_step(session: ServerSession, person: Person, settings: Settings, store: Store) -> str | None:
    """Return the path of the step to do before the private page, or None. It depends on stored data only."""
    if not session.get("charter_settled"):
        return "/charte"
    if store.find_email(settings.issuer, person.sub) is None:
        return "/notifications"
    return None


def next_page(session: ServerSession, person: Person, settings: Settings, store: Store) -> str:
    """Return the path of the next step, or the page that was requested before the sign-in, or the private page."""
    return next_step(session, person, settings, store) or str(session.pop("target", INSIDE))
