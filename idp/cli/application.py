"""The application in which commands run: it is created when a command is called, and closed at its end."""

import contextvars
import copy
import os
import pwd
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from flask import Flask

from idp import tracing
from idp.app import create_app
from idp.audit import changes, log
from idp.cli import settings as command_settings
from idp.config import Settings
from idp.db import db
from idp.services import services_of

_LOGIN = Path("/proc/self/loginuid")
_MAX_UID = 2**32 - 2
_MAX_USER_NAME = 18  # two names with their user ids fit into the journal's column of 80 characters


@contextmanager
def opened(settings: Settings | None = None) -> Iterator[Flask]:
    """Open the application for one command, and close its connections."""
    app = create_app(settings or command_settings.load())
    with app.app_context():
        log.set_origin(log.Origin(actor=_operator()))
        try:
            yield app
        finally:
            db.session.remove()
            db.engine.dispose()
            services_of(app).close()


def _operator() -> str:
    """Return the operator for the journal: the real user id of the process, and the user who logged in before.

    The kernel keeps the login through `sudo` and `su`. Where it keeps none, as in a container, what `SUDO_UID` says to
    root is journaled as that, because any root process can set it. User names in the environment are not read.
    """
    uid, login, sudo = os.getuid(), _read_login(), os.environ.get("SUDO_UID", "")
    if login is not None and login != uid:
        return f"{_user(uid)}, login {_user(login)}"
    if login is None and uid == 0 and sudo.isascii() and sudo.isdigit() and int(sudo) <= _MAX_UID:
        return f"{_user(uid)}, says SUDO_UID {_user(int(sudo))}"
    return _user(uid)


def _read_login() -> int | None:
    try:
        login = int(_LOGIN.read_text())
    except (OSError, ValueError):
        return None
    return login if login <= _MAX_UID else None


def _user(uid: int) -> str:
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
    return f"uid {uid} ({name[:_MAX_USER_NAME]})"


def in_application(
    command: click.Command, *, notes_settings: bool = False, takes_any_key: bool = False
) -> click.Command:
    """Return `command` with each leaf run in an application, created when it runs: `--help` needs no settings.

    Args:
        command: a command or a group.
        notes_settings: see `idp.cli.Entry`.
        takes_any_key: see `idp.cli.Entry`.
    """
    wrapped = copy.copy(command)
    if isinstance(wrapped, click.Group):
        wrapped.commands = {
            name: in_application(part, notes_settings=notes_settings, takes_any_key=takes_any_key)
            for name, part in wrapped.commands.items()
        }
        return wrapped
    callback: Callable[..., Any] | None = command.callback

    def run(*args: Any, **kwargs: Any) -> Any:
        settings = command_settings.load()
        if not takes_any_key:
            command_settings.refuse_another_key(settings)
        with opened(settings) as app:
            if notes_settings:
                changes.note_settings(services_of(app).settings)
            return callback(*args, **kwargs) if callback else None

    wrapped.callback = run
    return wrapped


def create_for_service(
    settings: Settings, create: Callable[[Settings], Flask] = create_app, part: str = "serve"
) -> Flask:
    """Return the application of a process that serves requests; journal the settings that changed since the last start.

    Each worker compares: the first one records the change, and the row's lock makes the others find nothing new.
    """
    app = create(settings)
    if settings.traces:
        tracing.start(part)
    contextvars.copy_context().run(_note_settings, app, settings)
    return app


def _note_settings(app: Flask, settings: Settings) -> None:
    with app.app_context():
        log.set_origin(log.Origin(actor=_operator()))
        try:
            changes.note_settings(settings)
        finally:
            db.session.remove()
