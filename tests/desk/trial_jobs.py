"""Jobs of the kind `trial`, which do what a test says."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flask import Flask
from flask.testing import FlaskClient
from flask_babel import lazy_gettext as _l

from idp.db import db, unit_of_work
from idp.desk import access
from idp.desk.access import Right
from idp.desk.jobs import kinds, lifecycle
from idp.desk.jobs.files import NewFile
from idp.desk.jobs.kinds import Finished, Kind, Running
from idp.desk.jobs.models import Job, State
from idp.outbox.worker import Worker
from idp.services import services

CONTENT = b"the letters of a class"


@contextmanager
def registered() -> Iterator[list[Callable[[Running], Finished]]]:
    todo: list[Callable[[Running], Finished]] = [_make_file]

    def run(job: Running) -> Finished:
        return todo[-1](job)

    back = kinds.page("home.today", _l("Revenir à « Aujourd’hui »"))
    kinds.KINDS["trial"] = Kind("trial", _l("Impression"), Right.PRINT_CLASSES, run, _describe, back)
    yield todo
    del kinds.KINDS["trial"]


def _make_file(running: Running) -> Finished:
    with unit_of_work():
        running.finish({"letters": 3}, NewFile("lettres.pdf", "application/pdf", CONTENT))
    return Finished({"letters": 3})


def _describe(job: Job) -> list[str]:
    return [job.refusal or f"{job.result.get('letters')} lettres"]


def ask(desk: Flask, browser: FlaskClient, *uploads: NewFile) -> uuid.UUID:
    kind = kinds.KINDS["trial"]

    def start() -> str:
        return str(lifecycle.start(services().settings, kind, {"class": "6e 1"}, uploads=uploads).id)

    former = desk.view_functions["home.today"]
    desk.view_functions["home.today"] = access.needs()(start)
    try:
        return uuid.UUID(browser.get("/").get_data(as_text=True))
    finally:
        desk.view_functions["home.today"] = former


def do_all() -> None:
    Worker({lifecycle.JOB: services().outbox_handlers[lifecycle.JOB]}).run_once()
    db.session.expire_all()


def state(key: uuid.UUID) -> State:
    db.session.expire_all()
    return db.session.get_one(Job, key).state
