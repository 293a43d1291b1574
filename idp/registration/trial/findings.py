"""What a check of an ENT finds: French words for its operator, and what the académie's engineer types."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """What is wrong, in words for everybody; `repair` is what the académie's engineer does, see `Finding`."""

    text: str
    repair: str = ""


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        check: the name of the check for programs: that of a field of the registration, or of what else was checked.
        ok: whether all is well.
        message: what was found, and what to do; the pages of the desk show it as it is.
        repair: what the académie's engineer does, with the names of options, commands and settings; or empty.
        is_note: whether nothing was tested: the message says what is registered, what is missing or what comes.
    """

    check: str
    ok: bool
    message: str
    repair: str = ""
    is_note: bool = False

    @property
    def for_shell(self) -> str:
        """The message with the repair, for somebody at a command line."""
        return f"{self.message} ({self.repair})" if self.repair else self.message


def noted(check: str, message: str, repair: str = "") -> Finding:
    """Return a finding that is no result of a test, but that people have to know."""
    return Finding(check, ok=True, message=message, repair=repair, is_note=True)


def judged(check: str, label: str, good: str, problem: Problem | None) -> Finding:
    """Return a finding about what `label` names: `good` if there is no problem."""
    if problem is None:
        return Finding(check, ok=True, message=f"{label} : {good}")
    return Finding(check, ok=False, message=f"{label} : {problem.text}", repair=problem.repair)
