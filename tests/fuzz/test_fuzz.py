"""A short run of the fuzzer at each test, the same requests every time; the long one is `make fuzz`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from flask import Flask

from idp.paths import CHECKOUT
from tests.builders import Build
from tests.databases import server_url
from tests.fuzz.engine import UnsoundError, routes, run
from tests.fuzz.long_run import DATABASES
from tests.fuzz.world import World
from tests.protocol.flow import one_database
from tests.web.tour import break_page

SHOTS = 1500


def test_no_bent_request_gets_a_fault_a_trace_a_hang_or_a_redirect_to_a_stranger(
    app: Flask, build: Build, unhurried: None
) -> None:
    """« Never 5xx » holds for every row of the checklist, whatever is sent wherever."""
    seen = run(World(app, build), SHOTS, seed=20261125)
    every = routes(app)
    assert {"POST /charte", "PUT /register/<client_id>", "GET /mon-compte/sessions"} <= every
    assert seen.right.keys() == every, "each took a right request"
    assert every <= {name for name, _ in seen.answers}
    reached = {status for _, status in seen.answers}
    assert {200, 201, 204, 303, 400, 401, 404, 405, 410, 413, 415} <= reached, "the bends reach many answers"


@pytest.mark.own_app
@one_database
def test_a_route_that_the_fuzzer_does_not_know_is_named(app: Flask, build: Build) -> None:
    app.add_url_rule("/nouveau", "nouveau", lambda: "", methods=["GET", "DELETE"])
    with pytest.raises(UnsoundError, match="DELETE /nouveau, GET /nouveau"):
        run(World(app, build), 1, seed=7)


@one_database
def test_a_fault_is_found_and_told_with_seed_number_and_request(app: Flask, build: Build) -> None:
    break_page(app, ZeroDivisionError())
    with pytest.raises(UnsoundError, match=r"^500 ") as found:
        run(World(app, build), len(routes(app)), seed=7)
    [note] = found.value.__notes__
    number = sorted(routes(app)).index("GET /mentions-legales")
    assert note.startswith(f"seed 7, request {number}, GET /mentions-legales: Shot(method='GET'")


def _long_run(**environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "--requests", "40", "--seed", "7"],
        cwd=CHECKOUT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_long_run_ends_on_both_databases(shared: Path) -> None:
    done = _long_run(TEST_DATABASE_URL=server_url(shared))
    assert (done.returncode, done.stderr) == (0, "")
    for kind in DATABASES:
        assert f"{kind}: 20 requests, right ones to 20 routes, seed 7\n" in done.stdout


def test_the_long_run_that_cannot_go_on_says_so_and_fails() -> None:
    done = _long_run(TEST_DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing")
    assert done.returncode == 1
    assert "sqlite: 20 requests, right ones to 20 routes, seed 7\n" in done.stdout
    assert "postgresql, seed 7:" in done.stderr
    assert "Connection refused" in done.stderr
