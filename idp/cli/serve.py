"""`idp serve` and `idp desk serve`. The parent process imports no application, which only the workers need."""

import gc
from typing import TYPE_CHECKING

import click

from idp.cli import settings
from idp.serving import commands

if TYPE_CHECKING:
    from flask import Flask

    from idp.config import Settings


def _create_app(chosen: "Settings") -> "Flask":
    """Return the application of a worker process, which lasts: it is kept out of all later garbage collections."""
    gc.disable()
    try:
        from idp.cli import application  # noqa: PLC0415 - see above

        return application.create_for_service(chosen)
    finally:
        gc.freeze()
        gc.enable()


serve = commands.command(settings.load_to_serve, _create_app)


@click.group()
def desk() -> None:
    """Serve the school desk: the pages for schools, operators of ENTs and the académie."""


def _create_desk(chosen: "Settings") -> "Flask":
    from idp.cli import application  # noqa: PLC0415 - see above
    from idp.desk_app import create_desk  # noqa: PLC0415 - see above

    return application.create_for_service(chosen, create_desk, "desk")


def _load_settings() -> "Settings":
    chosen = settings.load_to_serve()
    if not chosen.desk_url:
        raise click.ClickException("there is no desk: set IDP_DESK_URL")
    return chosen


desk.add_command(
    commands.command(
        _load_settings,
        _create_desk,
        bind="127.0.0.1:8003",
        workers=1,
        part="desk",
        help="Serve the pages of the desk. On SIGTERM, drain, then stop.",
    )
)
