"""The events of device sessions (« Rester connecté sur cet appareil »); see `idp.audit.events`."""

from dataclasses import dataclass

from idp.audit.events import Event


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
