"""Both applications on one database, with a clock, a mail server and the command `idp`."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from flask import Flask

from idp.clock import start_of_day, today
from idp.config import Settings
from idp.desk_app import create_desk
from tests import applications
from tests.builders import COLLEGE, LYCEE, Build
from tests.closings.world import HEAD, OTHER_HEAD, World
from tests.commands.conftest import Run, act, bare, idp  # noqa: F401 - fixtures
from tests.conftest import Browser
from tests.desk.colleagues import Colleagues
from tests.desk.conftest import DeskBrowser
from tests.email_confirmation.post import post_office


@pytest.fixture
def desk(settings: Settings) -> Iterator[Flask]:
    """The desk's application, below that of parents (`app`), whose context the test is in."""
    with applications.lent(settings, create=create_desk) as desk:
        desk.test_client_class = DeskBrowser
        yield desk


@pytest.fixture
def app(desk: Flask, settings: Settings) -> Iterator[Flask]:
    with applications.lent(settings) as app:
        app.test_client_class = Browser
        yield app


@pytest.fixture
def world(app: Flask, desk: Flask, build: Build, act: Run, tmp_path: Path) -> Iterator[World]:  # noqa: F811
    """A collège and a lycée with one ENT, at eight in the morning."""
    morning = start_of_day(today() + timedelta(days=1)) + timedelta(hours=8)
    ent = build.ent(uais=[COLLEGE, LYCEE])
    with time_machine.travel(morning, tick=False) as clock, post_office(app) as office:
        world = World(app, Colleagues(desk, build), build.settings, ent, act, clock, office, tmp_path)
        for head in (HEAD, OTHER_HEAD):  # they get the alerts
            world.desk(head)
        yield world
