"""The short form of `make chaos`: each fault for two seconds, with the real server, worker, PostgreSQL and SMTP."""

import subprocess
import sys

import pytest

from idp.paths import CHECKOUT


@pytest.mark.interop
def test_under_each_fault_nothing_is_lost_or_done_twice() -> None:
    """Takes a minute, because each of eleven faults has a server of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.chaos", "--seconds", "2"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
