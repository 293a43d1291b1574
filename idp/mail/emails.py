"""The one validator of mail addresses: what a parent types, what is stored, what a mail is sent to (RFC 5321 §4.1.2).

An address is stored as the parent typed it before the `@` and, after it, in lower case and ASCII (IDNA): a look-alike
domain then shows as `xn--…`, and no server on the way needs SMTPUTF8.
"""

from enum import StrEnum

from email_validator import EmailNotValidError, validate_email

MAX_LENGTH = 254
"""RFC 5321 §4.5.3.1.3 allows a path of 256, its angle brackets included."""

_MAX_TYPED = 320
_PASTED_AROUND = " \t\u00a0\u202f\u200b\ufeff"
_FORBIDDEN = frozenset('"(),:;<>[\\]')


class AddressFault(StrEnum):
    """Why an address is refused; a page has a sentence for each."""

    INCOMPLETE = "incomplete"
    """Something is missing: the `@`, what stands before or after it, or the dot of the domain."""
    NOT_ASCII = "not_ascii"
    """An accent, or another sign that no provider gives out, before the `@`."""
    INVALID = "invalid"
    TOO_LONG = "too_long"


class InvalidAddress(ValueError):  # noqa: N818 - read at each use as what the address is
    """The address cannot be used. The text names the fault, never the address."""

    def __init__(self, reason: AddressFault) -> None:
        super().__init__(reason.value)
        self.reason = reason


def parse_address(typed: str) -> str:
    """Return the one address that `typed` is, as it is stored; blanks around it, which keyboards add, are left out.

    Raises:
        InvalidAddress: with the reason; long texts are refused by their length, before anything looks at them.
    """
    if len(typed) > _MAX_TYPED:
        raise InvalidAddress(AddressFault.TOO_LONG)
    address = typed.strip(_PASTED_AROUND)
    if len(address) > MAX_LENGTH:
        raise InvalidAddress(AddressFault.TOO_LONG)
    if any(c in _FORBIDDEN or c.isspace() or not c.isprintable() for c in address) or address.count("@") > 1:
        raise InvalidAddress(AddressFault.INVALID)
    local, _, domain = address.partition("@")
    if not local or "." not in domain.strip("."):
        raise InvalidAddress(AddressFault.INCOMPLETE)
    if not local.isascii():
        raise InvalidAddress(AddressFault.NOT_ASCII)
    if "=?" in local:  # reads as an encoded word (RFC 2047) in a header: no mail could be written to it
        raise InvalidAddress(AddressFault.INVALID)
    return _normalised(address)


def check_recipient(address: str) -> str:
    """Return `address`, once it is certain that it is exactly one, in the form `parse_address` stores.

    Python's own `message["To"] = "a@b.fr, c@d.fr"` makes two recipients without a word, and takes NUL.

    Raises:
        InvalidAddress: when it is anything else; nothing may be sent to it then.
    """
    if parse_address(address) != address:
        raise InvalidAddress(AddressFault.INVALID)
    return address


def fold_address(address: str) -> str:
    """Return the key under which mails to `address` are counted: almost no provider tells `Marie@` from `marie@`."""
    return address.casefold()


def _normalised(address: str) -> str:
    try:
        found = validate_email(
            address,
            check_deliverability=False,
            allow_smtputf8=False,
            allow_quoted_local=False,
            allow_domain_literal=False,
            strict=True,  # 64 characters at most before the `@`
            test_environment=True,  # `.test` (RFC 6761) is what the demonstration and every trial at a school write to
        )
    except EmailNotValidError as error:
        raise InvalidAddress(AddressFault.INVALID) from error
    # The library has checked the length of this form too; it leaves a local part in ASCII as it is.
    return f"{found.local_part}@{found.ascii_domain}"
