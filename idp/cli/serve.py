"""`idp serve`. Its parent process does not import the application, which only the workers need."""

import gc
from typing import TYPE_CHECKING

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
