"""Wait for what other processes do."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PATIENCE = 60.0


def wait_for(holds: Callable[[], object], process: Any = None, tell: Callable[[], object] = str) -> None:
    """Wait until a condition holds.

    Args:
        process: a program whose end makes the wait vain.
        tell: what explains a failure, such as the content of a log.
    """
    until = time.monotonic() + PATIENCE
    while not holds():
        assert process is None or process.poll() is None, tell()
        assert time.monotonic() < until, tell()
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Return whether a process runs; one that ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
