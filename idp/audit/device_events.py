"""The events of parents' passkeys and of devices that stay signed in; see `idp.audit.events`.

A sign-in by a passkey is a `sign_in` with its `amr`.
"""

from dataclasses import dataclass

from idp.audit.events import Event


@dataclass(frozen=True, kw_only=True)
class PasskeyChanged(Event):
    """Passkeys of an account changed; `change` is `added` or `removed`, and `count` is their number.

    `by`: `person`, `operator`, `letter` (a new letter for an active account), `contested` (the email), `breached` (the
    password is in a list of stolen ones), `renewal` (the school or the service asks for new passwords).
    """

    kind = "passkey.changed"
    change: str
    by: str
    count: int = 1
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class PasskeyRefused(Event):
    """A sign-in by a passkey was refused.

    `reason`: `unknown` (no such passkey), `wrong` (signature, origin or verification), `late` (the challenge is old,
    used, or of another browser), `cloned` (its counter did not grow: the key may exist twice), `changed` (it became
    copyable), `malformed` (no answer of a browser), `closed` (the account is disabled, suspended, or not activated).
    """

    kind = "sign_in"
    result = "refused"
    reason: str
    door: str = "passkey"
    device: str = ""


@dataclass(frozen=True, kw_only=True)
class DeviceSessionChanged(Event):
    """A device session changed; `change` is `begun`, `used` (it opened a session) or `ended`.

    `by`: what ended it, as in `sessions.ended` and `signed_out`; `person` for the others.
    """

    kind = "device_session.changed"
    change: str
    by: str
    sid: str
    device: str = ""


@dataclass(frozen=True, kw_only=True)
class DeviceSessionReused(Event):
    """A secret of a device session came back that another one had replaced: it ended, with all of its sessions."""

    kind = "device_session.reused"
    result = "refused"
    sid: str
    device: str = ""
