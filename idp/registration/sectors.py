"""Sectors of pairwise subjects (OpenID Connect Core 8.1): the clients of one sector know a person by the same `sub`.

A sector is the host of a client's redirect URIs, or that of its `sector_identifier_uri`. Its salt is drawn once and
stays in the database, so that a `sub` survives a client that is removed and registered anew, and every change of
`IDP_SECRET_KEY`. A client that registers itself with several hosts and names no subject type gets a sector of its own.
A registered client stays in its sector when its redirect URIs change.
"""

import json
import secrets
import threading
from collections.abc import Iterable
from http import HTTPStatus
from urllib.parse import urlsplit

from sqlalchemy import select

from idp.clients.models import Sector, SubjectType
from idp.db import db, upsert
from idp.http_client.outgoing import OutgoingError
from idp.registration.faults import Fault, FaultCode, RegistrationRefusedError
from idp.registration.metadata import ClientMetadata
from idp.services import services
from idp.web.errors import TooManyRequestsError

_RETRY_SECONDS = 3
_SALT_BYTES = 32
# The documents that one process fetches at a time: the server that a client names decides how long each one takes.
_fetches = threading.BoundedSemaphore(2)


def find(metadata: ClientMetadata) -> str:
    """Return the sector of a new registration; empty if it has one of its own.

    Raises:
        RegistrationRefusedError: see `check_published`.
        TooManyRequestsError: the process already fetches as many documents as it may.
    """
    check_published(metadata)
    return named(metadata) if metadata.sector is None else metadata.sector


def named(metadata: ClientMetadata) -> str:
    """Return the sector that the URIs of a registration name; empty if its redirect URIs have several hosts."""
    identifier = metadata.sector_identifier_uri
    sectors = hosts([identifier] if identifier else metadata.redirect_uris)
    return sectors.pop() if len(sectors) == 1 else ""


def hosts(uris: Iterable[str]) -> set[str]:
    """Return the hosts of URIs that may not be checked yet; a URI without a host has the empty one."""
    return {_host(uri) for uri in uris}


def _host(uri: str) -> str:
    try:
        return urlsplit(uri).hostname or ""
    except ValueError:
        return ""


def is_missing(metadata: ClientMetadata) -> bool:
    """Return whether a new registration has pairwise subjects and several hosts, and no document that joins them."""
    return metadata.sector is None and metadata.subject == SubjectType.PAIRWISE.value and not named(metadata)


def salt(identifier: str) -> bytes:
    """Return the salt of a sector, drawn when it is first needed, in the caller's transaction.

    A client without `identifier` has a sector of its own: its salt is a new one.
    """
    drawn = secrets.token_bytes(_SALT_BYTES)
    if not identifier:
        return drawn
    db.session.execute(upsert(Sector).values(identifier=identifier, salt=drawn).on_conflict_do_nothing())
    return db.session.scalars(select(Sector.salt).where(Sector.identifier == identifier)).one()


def check_published(metadata: ClientMetadata) -> None:
    """Check that the document behind `sector_identifier_uri`, if any, is a JSON array of all redirect URIs.

    The check holds for each subject type (Registration 1.0, section 5).

    Raises:
        RegistrationRefusedError: the document cannot be read, or lacks a redirect URI.
        TooManyRequestsError: the process already fetches as many documents as it may.
    """
    if not metadata.sector_identifier_uri:
        return
    if not _fetches.acquire(blocking=False):
        raise TooManyRequestsError(_RETRY_SECONDS)
    try:
        answer = services().outgoing.get(metadata.sector_identifier_uri)
        listed = json.loads(answer.body) if answer.status == HTTPStatus.OK else None
    except (OutgoingError, ValueError, RecursionError) as error:
        reason = error.reason if isinstance(error, OutgoingError) else "not JSON"
        raise RegistrationRefusedError(
            Fault("sector_identifier_uri", "cannot be read", reason, FaultCode.UNREADABLE)
        ) from error
    finally:
        _fetches.release()
    published = {uri for uri in listed if isinstance(uri, str)} if isinstance(listed, list) else set()
    if not published.issuperset(metadata.redirect_uris):
        raise RegistrationRefusedError(
            Fault(
                "sector_identifier_uri",
                "must be a JSON array that holds every redirect URI",
                code=FaultCode.UNREADABLE,
            )
        )
