"""Passkeys (WebAuthn Level 3): registration and authentication, user verification always required.

The challenge is a ceremony of this browser. The origin is the desk's URL, and the relying party's id is its host.
"""

import json
import uuid
from typing import Any
from urllib.parse import urlsplit

import webauthn
from sqlalchemy import select, update
from webauthn.helpers import base64url_to_bytes, options_to_json
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.desk.staff import ceremonies
from idp.desk.staff.ceremonies import Purpose
from idp.desk.staff.models import CredentialKind, StaffAccount, StaffCredential

_MALFORMED = (WebAuthnException, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError)
"""What the library raises for an answer that is no answer of a browser."""
_LONGEST = 16 * 1024
_MOST_KEYS = 10
_LONGEST_NAME = 60


class PasskeyError(Exception):
    """The answer of the browser proves nothing: it is malformed, late, replayed, or of another key or origin."""


def registration_options(settings: Settings, staff: StaffAccount, purpose: Purpose) -> str:
    """Begin the registration of a passkey; return the options for the browser in JSON."""
    with unit_of_work():
        ceremony = ceremonies.start(purpose, staff.id)
    known = db.session.scalars(_keys_of(staff.id)).all()
    options = webauthn.generate_registration_options(
        rp_id=_host(settings),
        rp_name=settings.service_name,
        user_id=staff.id.bytes,
        user_name=staff.email,
        user_display_name=staff.name,
        challenge=ceremony.challenge,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED, user_verification=UserVerificationRequirement.REQUIRED
        ),
        exclude_credentials=[PublicKeyCredentialDescriptor(id=key.credential_id or b"") for key in known],
    )
    return options_to_json(options)


def register(settings: Settings, staff: StaffAccount, purpose: Purpose, answer: str, name: str) -> StaffCredential:
    """Store the passkey of a browser's answer, in the caller's transaction.

    Raises:
        PasskeyError: the answer proves nothing, or the person has too many passkeys.
    """
    credential = _parsed(answer)
    if ceremonies.use(purpose, _challenge(credential), staff.id) is None:
        raise PasskeyError
    try:
        verified = webauthn.verify_registration_response(
            credential=credential,
            expected_challenge=_challenge(credential),
            expected_rp_id=_host(settings),
            expected_origin=settings.desk_url,
            require_user_verification=True,
        )
    except _MALFORMED as error:
        raise PasskeyError from error
    keys = db.session.scalars(_keys_of(staff.id)).all()
    taken = select(StaffCredential.id).where(StaffCredential.credential_id == verified.credential_id)
    if len(keys) >= _MOST_KEYS or db.session.scalar(taken) is not None:
        raise PasskeyError
    row = StaffCredential(
        staff_id=staff.id,
        kind=CredentialKind.PASSKEY,
        name=" ".join(name.split())[:_LONGEST_NAME],
        credential_id=verified.credential_id,
        public_key=verified.credential_public_key,
        sign_count=verified.sign_count,
        last_used_at=now(),
    )
    db.session.add(row)
    return row


def authentication_options(settings: Settings, purpose: Purpose, staff_id: uuid.UUID | None = None) -> str:
    """Begin an authentication; return the options for the browser in JSON. Without a person, any key may answer."""
    with unit_of_work():
        ceremony = ceremonies.start(purpose, staff_id)
    keys = db.session.scalars(_keys_of(staff_id)).all() if staff_id else []
    options = webauthn.generate_authentication_options(
        rp_id=_host(settings),
        challenge=ceremony.challenge,
        allow_credentials=[PublicKeyCredentialDescriptor(id=key.credential_id or b"") for key in keys],
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return options_to_json(options)


def authenticate(settings: Settings, purpose: Purpose, answer: str, staff_id: uuid.UUID | None = None) -> uuid.UUID:
    """Return the person whose passkey a browser's answer proves, in the caller's transaction.

    Raises:
        PasskeyError: the answer proves nothing, or is not of `staff_id`.
    """
    credential = _parsed(answer)
    if ceremonies.use(purpose, _challenge(credential), staff_id) is None:
        raise PasskeyError
    key = _key_of(credential)
    if key is None or (staff_id is not None and key.staff_id != staff_id) or not _names(credential, key.staff_id):
        raise PasskeyError
    try:
        verified = webauthn.verify_authentication_response(
            credential=credential,
            expected_challenge=_challenge(credential),
            expected_rp_id=_host(settings),
            expected_origin=settings.desk_url,
            credential_public_key=key.public_key or b"",
            credential_current_sign_count=key.sign_count,
            require_user_verification=True,
        )
    except _MALFORMED as error:
        raise PasskeyError from error
    counted = db.session.scalar(
        update(StaffCredential)
        .where(StaffCredential.id == key.id, StaffCredential.sign_count == key.sign_count)
        .values(sign_count=verified.new_sign_count, last_used_at=now())
        .returning(StaffCredential.id)
        .execution_options(synchronize_session=False)
    )
    if counted is None:
        raise PasskeyError
    return key.staff_id


def _keys_of(staff_id: uuid.UUID | None) -> Any:
    return select(StaffCredential).where(
        StaffCredential.staff_id == staff_id, StaffCredential.kind == CredentialKind.PASSKEY
    )


def _key_of(credential: dict[str, Any]) -> StaffCredential | None:
    try:
        raw = base64url_to_bytes(str(credential.get("id", "")))
    except _MALFORMED:
        return None
    return db.session.scalar(
        select(StaffCredential)
        .where(StaffCredential.credential_id == raw, StaffCredential.kind == CredentialKind.PASSKEY)
        .execution_options(populate_existing=True)
    )


def _names(credential: dict[str, Any], owner: uuid.UUID) -> bool:
    """Return whether an answer names no person, or the owner of its key (WebAuthn 7.2, step 6)."""
    handle = credential["response"].get("userHandle")
    try:
        return handle in {None, ""} or base64url_to_bytes(handle) == owner.bytes
    except _MALFORMED:
        return False


def _parsed(answer: str) -> dict[str, Any]:
    """Return the credential that a browser sent as JSON."""
    try:
        credential = json.loads(answer) if len(answer) <= _LONGEST else None
    except (ValueError, RecursionError) as error:
        raise PasskeyError from error
    if not isinstance(credential, dict):
        raise PasskeyError
    return credential


def _challenge(credential: dict[str, Any]) -> bytes:
    """Return the challenge that the browser says it answers; the library compares it again."""
    try:
        client_data = json.loads(base64url_to_bytes(credential["response"]["clientDataJSON"]))
        return base64url_to_bytes(client_data["challenge"])
    except (*_MALFORMED, RecursionError) as error:
        raise PasskeyError from error


def _host(settings: Settings) -> str:
    return urlsplit(settings.desk_url).hostname or ""
