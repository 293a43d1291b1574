"""Faults of a registration: data for programs, and a text for people."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One fault of a registration.

    Attributes:
        field: the name of a field of `ClientMetadata`, or of what else the caller gave; empty if the fault is about no
            single field.
        text: what is wrong, without the name of the field: each surface has its own name for it.
        hint: for the operator alone, as it says how to repair the service, or why a request inside the network failed.
    """

    field: str
    text: str
    hint: str = ""


class RegistrationRefusedError(Exception):
    """A registration, or an operation on it, has faults."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__("\n".join(f"{fault.field} {fault.text}".strip() for fault in faults))
        self.faults = faults
