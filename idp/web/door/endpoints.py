"""Endpoints of the protocol: functions from a request to a response, without a web framework.

The door (`idp.web.door.door`) calls them by exact method and path. Flask has their routes too, for the requests that
the door leaves to it: `HEAD`, `OPTIONS`, other methods and other spellings of a path.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps

from flask import Blueprint

from idp.web.http import Request, Response, current_request

Function = Callable[[Request], Response]


@dataclass(frozen=True)
class Endpoint:
    """One endpoint.

    Attributes:
        path: Its path.
        name: Its name in its blueprint.
        function: What answers its requests.
        methods: The methods that it has.
        options: Whether Flask answers OPTIONS.
        is_in_memory: Whether the memory of the process is enough for most requests without a session.
        observe: Is given each request with its response, for the metrics.
    """

    path: str
    name: str
    function: Function
    methods: tuple[str, ...]
    options: bool = True
    is_in_memory: bool = False
    observe: Callable[[Request, Response], None] | None = None


def add_route(blueprint: Blueprint, endpoint: Endpoint) -> None:
    """Add the route of an endpoint to a blueprint."""
    blueprint.add_url_rule(
        endpoint.path,
        endpoint.name,
        _view(endpoint.function),
        methods=list(endpoint.methods),
        provide_automatic_options=None if endpoint.options else False,
    )


def _view(function: Function) -> Callable[[], Response]:
    """Return a view of Flask with the traits of `function`."""

    @wraps(function)
    def view() -> Response:
        return function(current_request())

    return view
