"""The long run on one database, in a process of its own: a module that such a process can import."""

import warnings
from collections.abc import Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

from idp.app import create_app
from idp.db import db
from idp.throttle import limits
from tests.builders import Build
from tests.conftest import Browser
from tests.databases import postgresql_copy, settings_for, sqlite_copy
from tests.fuzz.engine import Seen, run
from tests.fuzz.world import World

DATABASES = ("sqlite", "postgresql")


def on_both(folder: Path, requests: int, seed: int) -> Mapping[str, "Future[Seen]"]:
    """Run on each database side by side; return how each run ended. One whose process died ended with an error too."""
    with ProcessPoolExecutor(len(DATABASES), mp_context=get_context("spawn")) as pool:
        return {kind: pool.submit(run_on, kind, folder, requests, seed) for kind in DATABASES}


def run_on(kind: str, folder: Path, requests: int, seed: int) -> Seen:
    """Run on one database.

    Raises:
        UnsoundError: at the first answer that may not be; its notes have the seed and the request's number.
    """
    warnings.simplefilter("error")
    limits.CLIENT_PROOF = replace(limits.CLIENT_PROOF, free=requests)  # else the brake would answer most wrong proofs
    own = folder / kind
    own.mkdir()
    with sqlite_copy(folder, own) if kind == "sqlite" else postgresql_copy(folder) as url:
        settings = settings_for(url, log_level="ERROR")
        app = create_app(settings)
        app.test_client_class = Browser
        with app.app_context():
            try:
                return run(World(app, Build(settings)), requests, seed)
            finally:
                db.session.remove()
                db.engine.dispose()
                app.extensions["idp.server"].store.close()
