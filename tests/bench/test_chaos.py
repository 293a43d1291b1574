"""The short form of `make chaos`: each fault for two seconds, with the real server, worker, PostgreSQL and SMTP."""

import subprocess
import sys

import pytest

from bench.chaos.faults import FAULTS
from idp.paths import CHECKOUT

_MOST_SECONDS = 240
"""For one fault. The run itself waits ten seconds for a flow and three minutes for mails before it says that they are
lost, and must not be ended before it has said so; the rest is for a busy machine to start and to end a server."""


@pytest.mark.interop
def test_under_each_fault_nothing_is_lost_or_done_twice() -> None:
    """Take about ten seconds a fault, each of which has a server of its own; longer where a clock delays the mails."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.chaos", "--seconds", "2"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=_MOST_SECONDS * len(FAULTS),
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
