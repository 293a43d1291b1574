"""What a person of the desk may do for an account: each slice of the desk registers its actions.

An action is a link to a page, or a button that posts a form. It is offered on the account's page, and on the family's
page if it is the next step of the account's state (`idp.desk.words`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from idp.accounts.models import Account
from idp.desk import access
from idp.desk.access import Right
from idp.desk.decisions.closings import ClosingView
from idp.desk.ties import CutOff
from idp.families.standing import Group, Standing, foremost, group_of


@dataclass(frozen=True)
class Subject:
    """An account as its actions see it.

    Attributes:
        account: the account.
        holding: what holds about it (`standing.standings`).
        wait_seconds: how long its next sign-in has to wait after wrong passwords; 0 if it need not.
        open_notices: the number of open notices in the scope of the post that the post answers, or only reads.
        has_tries: whether wrong tries count against the account, or a notice says that somebody guesses.
        decisions: the decisions that close it or its ties, as the post may read them.
        cut_off: why no file leads to it any more, or None.
        has_passkeys: whether a passkey opens it.
        is_replaced: whether an import closed it, because its key names another person now.
    """

    account: Account
    holding: Sequence[Standing]
    wait_seconds: int
    open_notices: int
    has_tries: bool
    decisions: Sequence[ClosingView]
    cut_off: CutOff | None
    has_passkeys: bool
    is_replaced: bool = False

    @property
    def standing(self) -> Standing:
        """The standing that decides what to do first."""
        return foremost(self.holding)

    @property
    def is_open(self) -> bool:
        """Whether the account is neither closed nor in dispute."""
        return group_of(self.holding) not in {Group.CLOSED, Group.DISPUTED}


@dataclass(frozen=True)
class Action:
    """Something that may be done for an account.

    Attributes:
        key: its name, which `words.Words.step` refers to.
        right: the right that it needs.
        label: the label of the link or the button.
        url: returns its URL.
        is_offered: whether the state of the account allows it.
        is_post: whether it is a button that posts a form, and not a link to a page.
        rank: its place in the list; smaller comes first.
    """

    key: str
    right: Right
    label: Any
    url: Callable[[Subject], str]
    is_offered: Callable[[Subject], bool]
    is_post: bool = False
    rank: int = 50


@dataclass(frozen=True)
class Offered:
    """An action for one account, ready to be shown."""

    key: str
    label: Any
    url: str
    is_post: bool


_actions: list[Action] = []
_OF_REPLACED = frozenset({Right.READ_NOTICES, Right.SERVE_RIGHTS})
"""The rights of the actions that are left for a replaced account: a school only reads it (`access.account_to_read`)."""


def register(action: Action) -> None:
    """Add an action; a slice calls this when it is imported.

    Raises:
        ValueError: another action has the key.
    """
    if any(known.key == action.key for known in _actions):
        raise ValueError(f"two actions have the key {action.key}")
    _actions.append(action)
    _actions.sort(key=lambda known: known.rank)


def offered(subject: Subject) -> list[Offered]:
    """Return the actions that the post may use and the state of the account allows, in their order."""
    return [
        Offered(action.key, action.label, action.url(subject), action.is_post)
        for action in _actions
        if access.may(action.right)
        and (not subject.is_replaced or action.right in _OF_REPLACED)
        and action.is_offered(subject)
    ]
