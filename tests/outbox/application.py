"""A minimal application for a worker, with the database alone."""

from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask
from jinja2 import BaseLoader

from idp.db import db, engine_options


@contextmanager
def running(database_url: str, templates: BaseLoader | None = None) -> Iterator[Flask]:
    app = Flask("outbox_under_test")
    app.config["SQLALCHEMY_DATABASE_URI"] = database_url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = engine_options(pool_size=4)
    if templates is not None:
        app.jinja_loader = templates
    db.init_app(app)
    with app.app_context():
        try:
            yield app
        finally:
            db.session.remove()
            db.engine.dispose()
