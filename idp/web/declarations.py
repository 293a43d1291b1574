"""What a view declares about itself, for what `idp.web` does before and after it.

A decorator below the route declares it. Headers, cookies and the log go by the path, since they also concern requests
that reach no view: `Declarations` collects the paths once the application has all its routes.
"""

import enum
from collections import defaultdict
from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask, current_app, request

NAMESPACES = ("/.well-known/", "/static/")
"""Paths for other sites that no view declares: the namespace of RFC 8615, and our own files."""

_EXTENSION = "idp.declarations"
_ATTRIBUTE = "idp_declared"
_View = TypeVar("_View", bound=Callable[..., Any])


class Trait(enum.Enum):
    """One thing that a view may declare."""

    FOR_PROGRAMS = enum.auto()
    LEADS_TO_ENT = enum.auto()
    FOR_OTHER_SITES = enum.auto()
    PROBE = enum.auto()
    ACTS_ON_GET = enum.auto()


_EXACT = frozenset({Trait.LEADS_TO_ENT, Trait.FOR_OTHER_SITES, Trait.PROBE})


def for_programs(view: _View) -> _View:
    """Declare that programs call the view: no cookie is read there, and errors are JSON."""
    return _declare(view, Trait.FOR_PROGRAMS)


def leads_to_ent(view: _View) -> _View:
    """Declare that a form of the page may end at an ENT: its policy has no `form-action`.

    Chromium applies `form-action` to the whole chain of redirects that follows a form, up to wherever the ENT redirects
    in turn.
    """
    return _declare(view, Trait.LEADS_TO_ENT)


def for_other_sites(view: _View) -> _View:
    """Declare that caches may keep the answer, and pages of other sites may load it."""
    return _declare(view, Trait.FOR_OTHER_SITES)


def probe(view: _View) -> _View:
    """Declare that monitoring asks the view all the time: its requests are not logged."""
    return _declare(view, Trait.PROBE)


def acts_on_get(view: _View) -> _View:
    """Declare that a GET does something: a HEAD gets an empty answer (RFC 9110 9.2.1, 9.3.2)."""
    return _declare(view, Trait.ACTS_ON_GET)


def _declare(view: _View, trait: Trait) -> _View:
    setattr(view, _ATTRIBUTE, declared(view) | {trait})
    return view


def declared(view: Callable[..., Any]) -> frozenset[Trait]:
    """Return what a view declares."""
    traits: frozenset[Trait] = getattr(view, _ATTRIBUTE, frozenset())
    return traits


class Declarations:
    """The paths of the views that declare something; none before `read`."""

    def __init__(self) -> None:
        self.leading_to_ent: frozenset[str] = frozenset()
        self.for_other_sites: tuple[str, ...] = NAMESPACES
        self.probes: frozenset[str] = frozenset()
        self._programs: frozenset[str] = frozenset()
        self._below_programs: tuple[str, ...] = ()

    def read(self, app: Flask) -> None:
        """Collect the paths from the routes of `app`.

        Raises:
            ValueError: a path has a variable part, which only a view for programs, or one that acts on GET, may have.
        """
        paths: defaultdict[Trait, set[str]] = defaultdict(set)
        for rule in app.url_map.iter_rules():
            for trait in declared(app.view_functions[rule.endpoint]):
                if "<" in rule.rule and trait in _EXACT:
                    raise ValueError(f"{rule.rule}: {trait.name} is for paths without a variable part")
                paths[trait].add(rule.rule)
        self.leading_to_ent = frozenset(paths[Trait.LEADS_TO_ENT])
        self.for_other_sites = (*NAMESPACES, *sorted(paths[Trait.FOR_OTHER_SITES]))
        self.probes = frozenset(paths[Trait.PROBE])
        programs = paths[Trait.FOR_PROGRAMS]
        self._programs = frozenset(path for path in programs if "<" not in path)
        self._below_programs = tuple(path.partition("<")[0] for path in programs - self._programs)

    def is_for_programs(self, path: str) -> bool:
        """Return whether programs call `path`, or any path below one of theirs that has a variable part."""
        return path in self._programs or path.startswith(self._below_programs)


def configure(app: Flask) -> None:
    """Give `app` its declarations; they are empty until `read`."""
    app.extensions[_EXTENSION] = Declarations()


def of(app: Flask) -> Declarations:
    """Return the declarations of `app`."""
    declarations: Declarations = app.extensions[_EXTENSION]
    return declarations


def is_called_by_program() -> bool:
    """Return whether programs call the path of the present request."""
    return of(current_app).is_for_programs(request.path)


def view_acts_on_get() -> bool:
    """Return whether the view of the present request declares that it acts on GET."""
    return Trait.ACTS_ON_GET in declared(current_app.view_functions[request.endpoint or ""])
