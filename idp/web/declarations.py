"""Traits of views, declared by a decorator below the route.

Headers, cookies and the log depend on the path, because some requests reach no view. So `Declarations` collects the
paths of the views with each trait, once the application has all its routes.
"""

import enum
from collections import defaultdict
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlencode

from flask import Flask, current_app, request

from idp.web.http import current_request

STATIC = "/static/"
NAMESPACES = ("/.well-known/", STATIC)
"""Paths for other sites without a view: the namespace of RFC 8615, and static files."""

_EXTENSION = "idp.declarations"
_ATTRIBUTE = "idp_declared"
_View = TypeVar("_View", bound=Callable[..., Any])


class Trait(enum.Enum):
    """A trait that a view may declare."""

    FOR_PROGRAMS = enum.auto()  # programs call the view: cookies are not read, and errors are JSON
    LEADS_TO_ENT = enum.auto()
    """A form of the page may redirect to an ENT: its policy has no `form-action`.

    Chromium applies `form-action` to all redirects that follow a form, also to those of the ENT.
    """
    FOR_OTHER_SITES = enum.auto()  # caches may store the response, and pages of other sites may load it
    PROBE = enum.auto()  # monitoring polls the view: its requests are not logged
    ACTS_ON_GET = enum.auto()  # a GET has effects: a HEAD gets an empty response (RFC 9110 9.2.1, 9.3.2)
    TAKES_FILES = enum.auto()
    """The form of the page uploads files: its body may be long, once `Door.admits_files` agrees."""


_EXACT = frozenset({Trait.LEADS_TO_ENT, Trait.FOR_OTHER_SITES, Trait.PROBE, Trait.TAKES_FILES})


def declares(*traits: Trait) -> Callable[[_View], _View]:
    """Declare traits of a view, below its route."""

    def declare(view: _View) -> _View:
        setattr(view, _ATTRIBUTE, declared(view).union(traits))
        return view

    return declare


def declared(view: Callable[..., Any]) -> frozenset[Trait]:
    """Return the traits of a view."""
    traits: frozenset[Trait] = getattr(view, _ATTRIBUTE, frozenset())
    return traits


class Declarations:
    """The paths of views with traits, empty before `read`; forms of blueprints that are `exempt` need no form token."""

    def __init__(self) -> None:
        self.exempt: set[str] = set()
        self.leading_to_ent: frozenset[str] = frozenset()
        self.for_other_sites: tuple[str, ...] = NAMESPACES
        self.probes: frozenset[str] = frozenset()
        self.taking_files: frozenset[str] = frozenset()
        self._paths: dict[str, str] = {}
        self._programs: frozenset[str] = frozenset()
        self._below_programs: tuple[str, ...] = ()

    def read(self, app: Flask) -> None:
        """Collect the paths from the routes of `app`.

        Raises:
            ValueError: a path with a variable part has a trait that needs an exact path.
        """
        paths: defaultdict[Trait, set[str]] = defaultdict(set)
        self._paths = {rule.endpoint: rule.rule for rule in app.url_map.iter_rules() if "<" not in rule.rule}
        for rule in app.url_map.iter_rules():
            for trait in declared(app.view_functions[rule.endpoint]):
                if "<" in rule.rule and trait in _EXACT:
                    raise ValueError(f"{rule.rule}: {trait.name} is for paths without a variable part")
                paths[trait].add(rule.rule)
        self.leading_to_ent = frozenset(paths[Trait.LEADS_TO_ENT])
        self.for_other_sites = (*NAMESPACES, *sorted(paths[Trait.FOR_OTHER_SITES]))
        self.probes = frozenset(paths[Trait.PROBE])
        self.taking_files = frozenset(paths[Trait.TAKES_FILES])
        programs = paths[Trait.FOR_PROGRAMS]
        self._programs = frozenset(path for path in programs if "<" not in path)
        self._below_programs = tuple(path.partition("<")[0] for path in programs - self._programs)

    def url(self, endpoint: str, **parameters: str) -> str:
        """Return the URL of an endpoint whose path has no variable part, below the host of this service."""
        return f"{self._paths[endpoint]}?{urlencode(parameters)}" if parameters else self._paths[endpoint]

    def is_for_programs(self, path: str) -> bool:
        """Return whether `path` is for programs. All paths below a path with a variable part are too."""
        return path in self._programs or path.startswith(self._below_programs)

    def is_for_people(self, path: str) -> bool:
        """Return whether a person reads the page at `path`: neither programs nor other sites do."""
        return not self.is_for_programs(path) and not path.startswith(self.for_other_sites)


def configure(app: Flask) -> None:
    """Create the declarations of `app`, empty until `read`."""
    app.extensions[_EXTENSION] = Declarations()


def of(app: Flask) -> Declarations:
    """Return the declarations of `app`."""
    declarations: Declarations = app.extensions[_EXTENSION]
    return declarations


def is_called_by_program() -> bool:
    """Return whether the path of the current request is for programs."""
    return of(current_app).is_for_programs(current_request().path)


def url(endpoint: str, **parameters: str) -> str:
    """Return the URL of an endpoint of the current application, which has no variable part (`Declarations.url`)."""
    return of(current_app).url(endpoint, **parameters)


def view_acts_on_get() -> bool:
    """Return whether the view of Flask's current request declares `ACTS_ON_GET`."""
    return Trait.ACTS_ON_GET in declared(current_app.view_functions[request.endpoint or ""])
