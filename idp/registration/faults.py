"""Faults of a registration: data for programs, and a text for people."""

import enum
from dataclasses import dataclass


class FaultCode(enum.Enum):
    """The kinds of faults that a shell explains in its own words; all others are `OTHER`."""

    OTHER = enum.auto()
    NAME = enum.auto()
    NAME_TAKEN = enum.auto()
    """Parents would take the name for that of another ENT or of this service, or it has letters that French lacks."""
    NEEDED = enum.auto()
    UNKNOWN_VALUE = enum.auto()
    NOT_A_UAI = enum.auto()
    NOT_A_URI = enum.auto()
    NOT_HTTPS = enum.auto()  # the URI does not begin with `https://` and a host in lower case
    HAS_FRAGMENT = enum.auto()  # the URI has a fragment, or brackets or control characters in its path
    FOREIGN_HOST = enum.auto()
    SEVERAL_HOSTS = enum.auto()  # the redirect URIs have several hosts, and no document joins them
    OTHER_SECTOR = enum.auto()  # the change would give every person another `sub`
    UNREADABLE = enum.auto()  # the document behind the URI cannot be read, or is not what it must be
    KEYS_NEEDED = enum.auto()
    KEYS_UNUSABLE = enum.auto()
    KEY_IS_PRIVATE = enum.auto()
    KEYS_TWICE = enum.auto()
    NO_SIGNING_KEY = enum.auto()
    PKCE_NEEDED = enum.auto()
    CHANGED_MEANWHILE = enum.auto()
    NO_SECRET = enum.auto()
    FORMER_SECRET_WORKS = enum.auto()
    CONTACT = enum.auto()
    DECIDED_BY_ACADEMY = enum.auto()  # an ENT operator asked for a value that the académie alone gives
    OTHER_WAITS = enum.auto()  # a change that the ENT itself asked for waits, so that its operator cannot ask for one
    MANY_WAIT = enum.auto()
    MANY_TODAY = enum.auto()
    MANY_MOVES = enum.auto()
    ASKER_LEFT = enum.auto()
    """The ENT operator who registered the ENT acts for it no longer, so that the académie can only refuse it."""
    NOT_WAITING = enum.auto()


@dataclass(frozen=True)
class Fault:
    """One fault of a registration.

    Attributes:
        field: the name of a field of `ClientMetadata`, or of what else the caller gave; empty if the fault is about no
            single field.
        text: what is wrong, without the name of the field: each surface has its own name for it.
        hint: for the engineer alone: why a request inside the network failed.
        code: the kind of the fault, for surfaces that have sentences of their own.
        value: the value at fault, if it is one of several.
    """

    field: str
    text: str
    hint: str = ""
    code: FaultCode = FaultCode.OTHER
    value: str = ""


class RegistrationRefusedError(Exception):
    """A registration, or an operation on it, has faults."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__("\n".join(f"{fault.field} {fault.text}".strip() for fault in faults))
        self.faults = faults
