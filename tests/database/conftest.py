"""A database without tables."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from idp.config import Settings
from tests.databases import run_sql, server_url, settings_for


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, shared: Path, tmp_path: Path) -> Iterator[Settings]:
    """Return settings for a database without tables."""
    if request.param == "sqlite":
        yield settings_for(f"sqlite:///{tmp_path}/new.db")
        return
    server, name = server_url(shared), f"idp_empty_{uuid.uuid4().hex}"
    run_sql(server, "CREATE DATABASE {} TEMPLATE template0", name)
    try:
        url = make_url(server).set(drivername="postgresql", database=name)
        yield settings_for(url.render_as_string(hide_password=False))
    finally:
        run_sql(server, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)
