"""What a view declares that it needs: a level, a right, a fresh proof."""

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from flask import Flask

from idp.desk.access.roles import Right

_View = TypeVar("_View", bound=Callable[..., Any])
_NEED = "idp_desk_need"


class Level(enum.Enum):
    """Whom a view is for: anybody, a signed-in person, a person who acts in a post."""

    PUBLIC = enum.auto()
    SIGNED_IN = enum.auto()
    POST = enum.auto()


@dataclass(frozen=True)
class Need:
    """What a view needs: a level, a right, a fresh proof: always, or in some cases that the view itself decides."""

    level: Level
    right: Right | None = None
    fresh: bool = False
    sometimes_fresh: bool = False


def public(view: _View) -> _View:
    """Declare that anybody may call the view."""
    return _declare(view, Need(Level.PUBLIC))


def signed_in(*, fresh: bool = False) -> Callable[[_View], _View]:
    """Declare that the view needs a signed-in person, whatever the role."""
    return lambda view: _declare(view, Need(Level.SIGNED_IN, fresh=fresh))


def needs(
    right: Right | None = None, *, fresh: bool = False, sometimes_fresh: bool = False
) -> Callable[[_View], _View]:
    """Declare that the view needs a person in a role that has `right`, with a fresh proof if `fresh`.

    A view with `sometimes_fresh` decides itself when it needs the proof, and calls `proof_first` then.
    """
    return lambda view: _declare(view, Need(Level.POST, right, fresh=fresh, sometimes_fresh=sometimes_fresh))


def _declare(view: _View, need: Need) -> _View:
    setattr(view, _NEED, need)
    return view


def need_of(app: Flask, endpoint: str) -> Need:
    """Return what an endpoint needs.

    Raises:
        RuntimeError: its view declares nothing.
    """
    need = getattr(app.view_functions[endpoint], _NEED, None)
    if not isinstance(need, Need):
        raise RuntimeError(f"{endpoint} does not declare what it needs")  # noqa: TRY004 - a fault of the program
    return need
