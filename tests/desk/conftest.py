"""The desk's application, and people who are signed in there."""

import contextvars
from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient

from idp.config import Settings
from idp.db import db
from idp.desk.jobs.kinds import Finished, Running
from idp.desk_app import create_desk
from tests import applications, databases
from tests.builders import Build
from tests.canaries import keep_stored
from tests.desk import trial_jobs
from tests.desk.colleagues import Colleagues


class DeskBrowser(FlaskClient):
    """A browser that reaches the desk by its public address, over TLS."""

    def open(self, *args: object, **kwargs: object) -> object:  # type: ignore[override]
        kwargs.setdefault("base_url", databases.DESK)
        db.session.rollback()  # what the test holds open must not wait for what the request writes
        response = contextvars.Context().run(super().open, *args, **kwargs)  # type: ignore[arg-type]
        db.session.expire_all()
        return response


@pytest.fixture
def desk(settings: Settings) -> Iterator[Flask]:
    """The desk's application, inside its context. Tests of the desk do not use `app`."""
    with applications.lent(settings, create=create_desk) as desk:
        desk.test_client_class = DeskBrowser
        yield desk
        db.session.remove()
        keep_stored(desk)


@pytest.fixture
def build(desk: Flask, settings: Settings) -> Build:
    return Build(settings)


@pytest.fixture
def colleagues(desk: Flask, build: Build) -> Colleagues:
    """Makes people of the desk, and browsers in which they are signed in."""
    return Colleagues(desk, build)


@pytest.fixture
def paper(build: Build) -> None:
    build.ent()


@pytest.fixture
def visitor(desk: Flask) -> FlaskClient:
    return desk.test_client()


@pytest.fixture
def work(desk: Flask) -> Iterator[list[Callable[[Running], Finished]]]:
    """What a job of the kind `trial` does: the last function of the list."""
    with trial_jobs.registered() as todo:
        yield todo
