"""Why an act on a family is not possible: codes, for which each shell has its own sentences."""

import enum
from typing import Any


class Code(enum.Enum):
    """The reason for a refusal."""

    GONE = enum.auto()
    """The account was removed."""
    CHANGED = enum.auto()
    """The account or the notice does not allow the act any more."""
    SETTLED = enum.auto()
    """Somebody else has settled the notice or the dispute."""
    QUESTION_CHANGED = enum.auto()
    """The notice is about other pupils than those of the page."""
    CLOSED_BY_DISPUTE = enum.auto()
    NO_PASSKEY = enum.auto()
    NOT_DISABLED = enum.auto()
    NOT_MERGED = enum.auto()
    MERGED = enum.auto()
    """The account was merged into `other`."""
    MERGED_TOO = enum.auto()
    """The account that has the letter was merged itself: that is undone first."""
    MAILBOX_OF_OTHER = enum.auto()
    """Another account has confirmed the mailbox, which serves only one."""

    NO_SUCH_TIE = enum.auto()
    CLOSED_LONGER = enum.auto()
    CLOSING_OVER = enum.auto()
    NO_SUCH_CLOSING = enum.auto()
    END_IN_THE_PAST = enum.auto()
    END_TOO_FAR = enum.auto()
    CLOSED_LATELY = enum.auto()
    TOO_MANY_CLOSINGS = enum.auto()

    TIE_OPEN = enum.auto()
    """The tie to restore is not excluded, or its pupil left."""
    TIE_NOT_HOLDING = enum.auto()
    """No caller can dispute the tie: it does not hold, or its notice is settled."""
    CALLED_LATELY = enum.auto()
    NEW_LETTER = enum.auto()
    NO_FORMER_EMAIL = enum.auto()
    KEPT_MAILBOX_OF_OTHER = enum.auto()
    """Another account has confirmed the address that the school would keep."""
    SAME_NAMES = enum.auto()

    NO_SCHOOL = enum.auto()
    """No school knows the person any more."""
    ERASE_OTHER = enum.auto()
    """The account was merged into `other`, which is to be erased."""
    MERGED_ACCOUNTS_CHANGED = enum.auto()
    IN_DISPUTE = enum.auto()
    EXCLUDED = enum.auto()
    CLOSED_WITHOUT_CHILD = enum.auto()
    PROMISED_NOTICE = enum.auto()
    """A school has not settled a notice of which the person was told that the school is informed."""


class RefusedError(Exception):
    """The act is not possible; nothing was done. `values` are for the sentence."""

    def __init__(self, code: Code, **values: Any) -> None:
        super().__init__(code.name)
        self.code = code
        self.values = values
