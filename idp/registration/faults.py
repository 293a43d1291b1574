"""Faults of a registration: data for programs, and a text for people."""

import enum
from dataclasses import dataclass


class Code(enum.Enum):
    """The kind of a fault, for a program; the text is for a person."""

    REDIRECT_URI = "redirect_uri"
    VALUE = "value"
    UNKNOWN_CLIENT = "unknown_client"
    STATE = "state"
    """The registration does not allow the operation: it has no secret, it ended, nothing waits."""
    CONCURRENT_CHANGE = "concurrent_change"


@dataclass(frozen=True)
class Fault:
    """One fault of a registration.

    Attributes:
        field: the name of a field of `ClientMetadata`, or of what else the caller gave; empty if the fault is about no
            single field.
        code: its kind.
        text: what is wrong, without the name of the field: each surface has its own name for it.
        hint: for the operator alone, as it says how to repair the service, or why a request inside the network failed.
    """

    field: str
    code: Code
    text: str
    hint: str = ""


def invalid(name: str, text: str, hint: str = "") -> Fault:
    """Return the fault of a field whose value is wrong."""
    return Fault(name, Code.REDIRECT_URI if name == "redirect_uris" else Code.VALUE, text, hint)


class RegistrationRefusedError(Exception):
    """A registration, or an operation on it, has faults."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__("\n".join(f"{fault.field} {fault.text}".strip() for fault in faults))
        self.faults = faults
