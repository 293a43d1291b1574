"""Pairwise subjects by sector (OpenID Connect Core 8.1): the clients of one sector know a person by the same `sub`.

A sector is the host of a client's redirect URIs, or that of its `sector_identifier_uri`. Its salt is drawn once and
kept in the database, for ever: a `sub` survives a client that is removed and registered anew, and every change of
`IDP_SECRET_KEY`. A client that registers itself with several hosts and asks for no kind of subject gets a sector of its
own. A registered client stays in its sector, whatever its redirect URIs become.
"""

import json
import secrets
import threading
from collections.abc import Iterable
from urllib.parse import urlsplit

from sqlalchemy import select

from idp.clients.models import Sector, SubjectType
from idp.db import db, upsert
from idp.http_client.outgoing import OutgoingError
from idp.registration.wanted import RegistrationRefused, Wanted
from idp.services import services
from idp.web.errors import TooManyTries

_OK = 200
_AGAIN_SECONDS = 3
_fetches = threading.BoundedSemaphore(2)
"""Documents that one process fetches at a time: whoever registers chooses how long the other side takes."""


def find(wanted: Wanted) -> str:
    """Return the sector of a new registration; empty when it is alone in its own.

    Raises:
        RegistrationRefused: what its `sector_identifier_uri` says does not hold (Registration 1.0, 5), whatever its
            subjects are.
        TooManyTries: others are having theirs read.
    """
    check_published(wanted)
    return named(wanted) if wanted.sector is None else wanted.sector


def named(wanted: Wanted) -> str:
    """Return the sector that the addresses of a registration name; empty when its redirect URIs have several hosts."""
    found = hosts([wanted.sector_identifier_uri] if wanted.sector_identifier_uri else wanted.redirect_uris)
    return found.pop() if len(found) == 1 else ""


def hosts(uris: Iterable[str]) -> set[str]:
    """Return the hosts of checked addresses."""
    return {urlsplit(uri).hostname or "" for uri in uris}


def is_missing(wanted: Wanted) -> bool:
    """Whether a new registration has pairwise subjects and several hosts, and no document that joins these (8.1)."""
    return wanted.sector is None and wanted.subject == SubjectType.PAIRWISE.value and not named(wanted)


def salt(identifier: str) -> bytes:
    """Return the salt of a sector, drawn at the first need, in the caller's transaction; one of its own for none."""
    if not identifier:
        return secrets.token_bytes(32)
    drawn = secrets.token_bytes(32)
    db.session.execute(upsert(Sector).values(identifier=identifier, salt=drawn).on_conflict_do_nothing())
    return db.session.scalars(select(Sector.salt).where(Sector.identifier == identifier)).one()


def check_published(wanted: Wanted) -> None:
    """Check that the document behind `sector_identifier_uri`, if any, is a JSON array that holds all redirect URIs.

    Raises:
        RegistrationRefused: it does not.
        TooManyTries: others are having theirs read.
    """
    if not wanted.sector_identifier_uri:
        return
    if not _fetches.acquire(blocking=False):
        raise TooManyTries(_AGAIN_SECONDS)
    outgoing = services().outgoing
    try:
        answer = outgoing.get(wanted.sector_identifier_uri)
        listed = json.loads(answer.body) if answer.status == _OK else None
    except (OutgoingError, ValueError, RecursionError) as error:
        reason = error.reason if isinstance(error, OutgoingError) else "not JSON"
        raise RegistrationRefused([f"--sector-identifier-uri cannot be read: {reason}"]) from error
    finally:
        _fetches.release()
    if not isinstance(listed, list) or not set(wanted.redirect_uris).issubset(u for u in listed if isinstance(u, str)):
        raise RegistrationRefused(["--sector-identifier-uri must be a JSON array that holds every redirect URI"])
