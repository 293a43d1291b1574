"""Change the services of an application for one test."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import MISSING, fields, replace
from typing import Any

from flask import Flask

from idp.services import EXTENSION, Services, provide, services_of


def change_services(app: Flask, **changed: Any) -> None:
    """Replace the services of `app` that are named, by their names in `Services`.

    An application without services gets the named ones; the others are None.
    """
    if EXTENSION in app.extensions:
        provide(app, replace(services_of(app), **changed))
        return
    absent = {item.name: None for item in fields(Services) if item.default is item.default_factory is MISSING}
    provide(app, Services(**{**absent, **changed}))


def change_settings(app: Flask, **changed: Any) -> None:
    """Change some settings in `services().settings`. Existing objects keep their former settings."""
    change_services(app, settings=services_of(app).settings.model_copy(update=changed))


@contextmanager
def changed_services(app: Flask, **changed: Any) -> Iterator[None]:
    former = services_of(app)
    change_services(app, **changed)
    try:
        yield
    finally:
        provide(app, former)
