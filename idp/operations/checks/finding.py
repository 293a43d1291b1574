"""What a check of `idp doctor` found."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from idp.config import Settings

MIB = 1024 * 1024
LITTLE, FULL = 2048 * MIB, 256 * MIB
"""An import of a school file needs a temporary database. The log goes to the standard
error: where it is kept, and how much, is the matter of journald or of the container."""

State = Literal["ok", "warning", "fault", "unknown"]


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        check: what was looked at, such as `database version`.
        result: what was found.
        state: `fault` if it must be repaired; `unknown` if it cannot be seen from here.
        advice: what to do; empty if there is nothing to do.
    """

    check: str
    result: str
    state: State = "ok"
    advice: str = ""


def judged(check: str, result: str, *rules: tuple[bool, State, str]) -> Finding:
    """Return the finding of the first rule that applies (whether it does, the state, the advice), or one that is ok."""
    _, state, advice = next((rule for rule in rules if rule[0]), (True, "ok", ""))
    return Finding(check, result, state, advice)


@dataclass(frozen=True)
class Site:
    """What the checks look at.

    Attributes:
        settings: the settings of this process.
        nodes: the URLs of the nodes, behind the proxy.
        workers: how many worker processes `idp serve` has on each node.
        secret_files: files with secrets that this process read its settings from.
    """

    settings: Settings
    nodes: tuple[str, ...] = ()
    workers: int = 1
    secret_files: tuple[str, ...] = ()


Check = Callable[[Site], Iterable[Finding]]
