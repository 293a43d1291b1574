"""Validates emails (RFC 5321, 4.1.2): those that parents type, that are stored, and that mails are sent to.

The local part is stored as typed, the domain in lower case and ASCII (IDNA): a look-alike domain is shown as `xn--…`,
and no server needs SMTPUTF8.
"""

from enum import StrEnum

MAX_LENGTH = 254  # RFC 5321, 4.5.3.1.3, allows a path of 256, its angle brackets included

_MAX_TYPED = 320
_PASTED_AROUND = " \t\u00a0\u202f\u200b\ufeff"
_FORBIDDEN = frozenset('"(),:;<>[\\]')


class EmailFault(StrEnum):
    """Why an email is invalid; pages have a sentence for each."""

    EMPTY = "empty"
    INCOMPLETE = "incomplete"  # the `@`, the text before or after it, or the dot of the domain is missing
    NOT_ASCII = "not_ascii"  # an accent, or another character that no provider accepts, before the `@`
    INVALID = "invalid"
    TOO_LONG = "too_long"


class InvalidEmailError(ValueError):
    """The email is invalid. The text names the fault, never the email."""

    def __init__(self, reason: EmailFault) -> None:
        super().__init__(reason.value)
        self.reason = reason


def parse_email(typed: str) -> str:
    """Return the email in its stored form, without surrounding blanks, which keyboards add.

    Raises:
        InvalidEmailError: with the reason. The length of a long text is checked first.
    """
    if len(typed) > _MAX_TYPED:
        raise InvalidEmailError(EmailFault.TOO_LONG)
    email = typed.strip(_PASTED_AROUND)
    if not email:
        raise InvalidEmailError(EmailFault.EMPTY)
    if len(email) > MAX_LENGTH:
        raise InvalidEmailError(EmailFault.TOO_LONG)
    if any(c in _FORBIDDEN or c.isspace() or not c.isprintable() for c in email) or email.count("@") > 1:
        raise InvalidEmailError(EmailFault.INVALID)
    local, _, domain = email.partition("@")
    if not local or "." not in domain.strip("."):
        raise InvalidEmailError(EmailFault.INCOMPLETE)
    if not local.isascii():
        raise InvalidEmailError(EmailFault.NOT_ASCII)
    if "=?" in local:  # a header would read it as an encoded word (RFC 2047)
        raise InvalidEmailError(EmailFault.INVALID)
    return _normalised(email)


def check_recipient(email: str) -> str:
    """Return `email` if it is exactly one email in its stored form.

    `message["To"] = "a@b.fr, c@d.fr"` of the standard library makes two recipients, and accepts NUL.

    Raises:
        InvalidEmailError: no mail may be sent to `email`.
    """
    if parse_email(email) != email:
        raise InvalidEmailError(EmailFault.INVALID)
    return email


def fold_email(email: str) -> str:
    """Return the key of the mailbox: almost no provider distinguishes `Marie@` from `marie@`."""
    return email.casefold()


def _normalised(email: str) -> str:
    from email_validator import EmailNotValidError, validate_email  # noqa: PLC0415 - it compiles large patterns

    try:
        validated = validate_email(
            email,
            check_deliverability=False,
            allow_smtputf8=False,
            allow_quoted_local=False,
            allow_domain_literal=False,
            strict=True,  # 64 characters at most before the `@`
            test_environment=True,  # `.test` (RFC 6761) is the domain of the demonstration and of trials at schools
        )
    except EmailNotValidError as error:
        raise InvalidEmailError(EmailFault.INVALID) from error
    # The library also checked the length of this form. It does not change an ASCII local part.
    return f"{validated.local_part}@{validated.ascii_domain}"


def masked(email: str | None) -> str | None:
    """Return a mail address that its owner recognises, but that nobody else learns: `n…y@exemple.fr`."""
    if email is None:
        return None
    local, _, domain = email.rpartition("@")
    last = local[-1] if len(local) > 3 else ""  # noqa: PLR2004 - two letters would reveal most of a short one
    return f"{local[:1]}…{last}@{domain}"


def masked_apart(first: str | None, second: str | None) -> tuple[str | None, str | None]:
    """Return two mail addresses, masked so that a person who knows them can tell them apart.

    If the usual masks are equal, each also shows the first letter that differs, or its length if one continues the
    other.
    """
    masks = masked(first), masked(second)
    if first is None or second is None or first == second or masks[0] != masks[1]:
        return masks
    names = [email.rpartition("@")[0] for email in (first, second)]
    at = next((n for n, pair in enumerate(zip(*names, strict=False)) if pair[0] != pair[1]), None)
    if at is None:
        return f"{masks[0]} ({len(names[0])} letters)", f"{masks[1]} ({len(names[1])} letters)"
    return _with_letter(masks[0], names[0][at]), _with_letter(masks[1], names[1][at])


def _with_letter(mask: str | None, letter: str) -> str:
    return (mask or "").replace("…", f"…{letter}…", 1)
