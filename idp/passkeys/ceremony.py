"""The rules of WebAuthn Level 3 for every passkey of this service, and its form: user verification is always required.

Nothing here reads or writes the database. The caller draws the challenge, sees to it that each one works
once, for one browser and purpose, and stores the keys. The library is imported at its first use, because it takes
memory that most processes need not give.
"""

import json
from base64 import urlsafe_b64decode
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args
from urllib.parse import urlsplit

from flask import Response, jsonify
from flask_babel import lazy_gettext as _l
from itsdangerous.encoding import base64_encode
from wtforms import BooleanField

from idp.metrics.catalogue import SIGN_IN
from idp.web.forms import Form, PlainField

LONGEST_ANSWER = 16 * 1024  # the most characters of a browser's answer
MOST_KEYS = 10  # the most passkeys of one person
# What the library raises beside its own errors for an answer that is no answer of a browser.
_MALFORMED = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError)


Reason = Literal["malformed", "late", "unknown", "wrong", "cloned", "changed", "closed"]
"""Why a sign-in is refused: `idp.audit.credential_events.PasskeyRefused` says what each means."""
SIGN_IN.allow(get_args(Reason))


class PasskeyError(Exception):
    """The answer of the browser proves nothing: it is malformed, late, replayed, or of another key or origin.

    `reason` is the word for the journal.
    """

    def __init__(self, reason: Reason = "wrong") -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class RelyingParty:
    """Who asks for a passkey: the origin of the pages, whose host is the id, and the name that the browser shows."""

    origin: str
    name: str

    @property
    def host(self) -> str:
        """The id of the relying party."""
        return urlsplit(self.origin).hostname or ""


@dataclass(frozen=True)
class User:
    """The person as an authenticator stores them; `handle` is the WebAuthn user handle."""

    handle: bytes
    name: str
    display_name: str


@dataclass(frozen=True)
class Answer:
    """A browser's answer, of which nothing is verified yet. `is_framed`: a page of another site framed ours."""

    credential: dict[str, Any]
    credential_id: bytes
    challenge: bytes
    user_handle: bytes | None
    is_framed: bool


@dataclass(frozen=True)
class Use:
    """A verified authentication; see `Passkey`."""

    sign_count: int
    is_backup_eligible: bool
    is_backed_up: bool


@dataclass(frozen=True, kw_only=True)
class NewKey(Use):
    """A verified registration, with the public key in COSE."""

    credential_id: bytes
    public_key: bytes


class StoredKey(Protocol):
    """What the verification reads of a stored key."""

    public_key: Any
    sign_count: Any


def registration_options(party: RelyingParty, user: User, challenge: bytes, known: Iterable[bytes]) -> str:
    """Return the options for the browser in JSON; it makes no second key beside the `known` ones."""
    import webauthn  # noqa: PLC0415 - as the module says
    from webauthn.helpers import structs  # noqa: PLC0415 - same

    options = webauthn.generate_registration_options(
        rp_id=party.host,
        rp_name=party.name,
        user_id=user.handle,
        user_name=user.name,
        user_display_name=user.display_name,
        challenge=challenge,
        attestation=structs.AttestationConveyancePreference.NONE,
        authenticator_selection=structs.AuthenticatorSelectionCriteria(
            resident_key=structs.ResidentKeyRequirement.REQUIRED,
            user_verification=structs.UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=[structs.PublicKeyCredentialDescriptor(id=key) for key in known],
    )
    return webauthn.options_to_json(options)


def authentication_options(party: RelyingParty, challenge: bytes, allowed: Iterable[bytes] = ()) -> str:
    """Return the options for the browser in JSON. Without `allowed` keys, any key may answer."""
    import webauthn  # noqa: PLC0415 - as the module says
    from webauthn.helpers import structs  # noqa: PLC0415 - same

    options = webauthn.generate_authentication_options(
        rp_id=party.host,
        challenge=challenge,
        allow_credentials=[structs.PublicKeyCredentialDescriptor(id=key) for key in allowed],
        user_verification=structs.UserVerificationRequirement.REQUIRED,
    )
    return webauthn.options_to_json(options)


def parse(answer: str) -> Answer:
    """Return the answer that a browser sent as JSON, with the challenge that it says it answers.

    Raises:
        PasskeyError: it is no answer of a browser.
    """
    try:
        credential = json.loads(answer) if len(answer) <= LONGEST_ANSWER else None
        if not isinstance(credential, dict):
            raise PasskeyError("malformed")
        client_data = json.loads(_bytes_of(credential["response"]["clientDataJSON"]))
        handle = credential["response"].get("userHandle")
        return Answer(
            credential,
            _bytes_of(credential["id"]),
            _bytes_of(client_data["challenge"]),
            _bytes_of(handle) if handle else None,
            bool(client_data.get("crossOrigin")),
        )
    except _MALFORMED as error:
        raise PasskeyError("malformed") from error


def as_text(value: bytes) -> str:
    """Return bytes as browsers write them, in base64url."""
    return base64_encode(value).decode()


def _bytes_of(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def verify_registration(party: RelyingParty, answer: Answer, *, by_itself: bool = False) -> NewKey:
    """Return the new key of an answer, whose challenge the caller has used.

    `by_itself`: the browser made the key without asking the person, who is verified when the key is used.

    Raises:
        PasskeyError: the answer proves nothing.
    """
    import webauthn  # noqa: PLC0415 - as the module says
    from webauthn.helpers import exceptions, structs  # noqa: PLC0415 - same

    if answer.is_framed:
        raise PasskeyError
    try:
        verified = webauthn.verify_registration_response(
            credential=answer.credential,
            expected_challenge=answer.challenge,
            expected_rp_id=party.host,
            expected_origin=party.origin,
            require_user_presence=not by_itself,
            require_user_verification=not by_itself,
        )
    except (exceptions.WebAuthnException, *_MALFORMED) as error:
        raise PasskeyError from error
    return NewKey(
        verified.sign_count,
        verified.credential_device_type is structs.CredentialDeviceType.MULTI_DEVICE,
        verified.credential_backed_up,
        credential_id=verified.credential_id,
        public_key=verified.credential_public_key,
    )


def verify_authentication(party: RelyingParty, answer: Answer, key: StoredKey) -> Use:
    """Return how a stored key was used in an answer, whose challenge the caller has used.

    Raises:
        PasskeyError: the answer proves nothing; `cloned` if its signature is right and its counter did not grow, so
            that the key exists twice (WebAuthn 6.1.1).
    """
    import webauthn  # noqa: PLC0415 - as the module says
    from webauthn.helpers import exceptions, structs  # noqa: PLC0415 - same

    if answer.is_framed:
        raise PasskeyError
    try:
        verified = webauthn.verify_authentication_response(
            credential=answer.credential,
            expected_challenge=answer.challenge,
            expected_rp_id=party.host,
            expected_origin=party.origin,
            credential_public_key=key.public_key or b"",
            credential_current_sign_count=0,  # compared below, once the signature is known to be right
            require_user_verification=True,
        )
    except (exceptions.WebAuthnException, *_MALFORMED) as error:
        raise PasskeyError from error
    if (verified.new_sign_count or key.sign_count) and verified.new_sign_count <= key.sign_count:
        raise PasskeyError("cloned")
    return Use(
        verified.new_sign_count,
        verified.credential_device_type is structs.CredentialDeviceType.MULTI_DEVICE,
        verified.credential_backed_up,
    )


class AnswerField(PlainField):
    """The answer of the browser's passkey in JSON. It is longer than a password may be, and is never shown again."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, longest=LONGEST_ANSWER, **kwargs)

    def _value(self) -> str:
        return ""


class RemovalField(BooleanField):  # type: ignore[misc]
    """« Retirer aussi toutes mes clés d’accès », beside a new password."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(_l("Retirer aussi toutes mes clés d’accès"), *args, **kwargs)


class PasskeyForm(Form):
    """The answer of the browser's passkey."""

    passkey = AnswerField()

    @property
    def answer(self) -> str:
        """The answer, empty without a script."""
        return self.passkey.data or ""


def as_json(options: str) -> Response:
    """Return options for the browser's passkeys, which are JSON already."""
    response = jsonify()
    response.set_data(options)
    return response
