"""A short run of the fuzzer at each test, the same requests every time; the long one is `make fuzz`."""

from flask import Flask

from tests.builders import Build
from tests.fuzz.engine import run
from tests.fuzz.world import World

SHOTS = 4000


def test_no_bent_request_gets_a_fault_a_trace_a_hang_or_a_redirect_to_a_stranger(app: Flask, build: Build) -> None:
    """« Never 5xx » holds for every row of the checklist, whatever is sent wherever."""
    seen = run(World(app, build), SHOTS, seed=20261125)
    assert sum(seen.values()) == SHOTS
    reached = {name for (name, status) in seen if status in {200, 201, 204, 303}}
    assert {"authorize", "pushed", "/token", "/par", "/revoke", "/introspect", "userinfo", "charter"} <= reached, seen
    assert len({status for _, status in seen}) > 8, "the bends reach many answers"
