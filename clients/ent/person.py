"""Who is signed in, and which page is owed next: the charter, then the notification address, then the inside."""

from dataclasses import dataclass
from typing import Any, cast

from clients.ent.sessions import SIGNED_IN_LIFETIME, ServerSession
from clients.ent.settings import Settings
from clients.ent.store import Store
from clients.kit.checks import Claims, now

INSIDE = "/bienvenue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A parent whose ID token was believed.

    Attributes:
        claims: the ID token's claims, with UserInfo's over them.
        id_token: kept to name the session at the sign-out.
        access_token: opens the charter's API for some minutes.
        signed_in_at: NumericDate.
    """

    claims: Claims
    id_token: str
    access_token: str
    signed_in_at: int

    @property
    def sub(self) -> str:
        """The provider's name for this person at this ENT."""
        return str(self.claims["sub"])

    @property
    def sid(self) -> str | None:
        """The provider's name for the session that the person has there, if it gives one."""
        sid = self.claims.get("sid")
        return sid if isinstance(sid, str) and sid.isascii() and sid else None


def sign_in(session: ServerSession, person: Person, settings: Settings, target: str) -> None:
    """Open the ENT's own session under a new value, so that one planted before the sign-in is worth nothing."""
    session.renew()
    session["expires_at"] = now() + SIGNED_IN_LIFETIME
    session["owner"] = (person.sub, person.sid)
    session["target"] = target
    session["charter_settled"] = settings.charter != "ent" or person.claims.get("charter_accepted") is True
    keep_person(session, person)


def keep_person(session: ServerSession, person: Person) -> None:
    """Write who is signed in."""
    session["person"] = {
        "claims": person.claims,
        "id_token": person.id_token,
        "access_token": person.access_token,
        "signed_in_at": person.signed_in_at,
    }


def find_person(session: ServerSession) -> Person | None:
    """Return who is signed in, if anybody is."""
    kept = cast("dict[str, Any] | None", session.get("person"))
    return None if kept is None else Person(**kept)


def owed_page(session: ServerSession, person: Person, settings: Settings, store: Store) -> str | None:
    """Return the page that this person owes before the inside, read from what is stored: no address skips a step."""
    if not session.get("charter_settled"):
        return "/charte"
    if store.find_address(settings.issuer, person.sub) is None:
        return "/notifications"
    return None


def next_page(session: ServerSession, person: Person, settings: Settings, store: Store) -> str:
    """Return where this person goes now: what is owed, then once where they meant to go, then the inside."""
    return owed_page(session, person, settings, store) or str(session.pop("target", INSIDE))
