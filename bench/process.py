"""Runs one process and measures it: time, processor time, memory.

A process starts with its parent's memory, and Linux counts that as its own. So this file is also a program, which does
nothing but start another: `python -I -S process.py FIGURES COMMAND…`.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_TAIL = 2000


class ProcessFailedError(Exception):
    """The process ended with an error; the message holds its last lines."""


@dataclass(frozen=True)
class Ended:
    """The measurements of a process.

    Attributes:
        seconds: from its start to its end.
        cpu: seconds of processor time, user and system, including its own processes.
        peak: the most memory of it or of one of its own processes, in megabytes.
        output: its output.
    """

    seconds: float
    cpu: float
    peak: float
    output: str


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Ended:
    """Run a command to its end.

    Raises:
        ProcessFailedError: it ended with an error.
    """
    with tempfile.NamedTemporaryFile("r+") as figures:
        starter = [sys.executable, "-I", "-S", __file__, figures.name]
        done = subprocess.run([*starter, *command], env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ProcessFailedError(f"{' '.join(command[:3])}: {done.stderr[-_TAIL:].strip()}")
        return Ended(**json.load(figures), output=done.stdout)


def _start(figures: str, *command: str) -> int:
    """Run the command, write its measurements to the file `figures`, and return its exit code."""
    began = time.monotonic()
    process = subprocess.Popen(command)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)  # it is already waited for
    with Path(figures).open("w") as file:
        peak = used.ru_maxrss / 1024  # Linux counts kilobytes
        cpu = used.ru_utime + used.ru_stime
        json.dump({"seconds": time.monotonic() - began, "cpu": cpu, "peak": peak}, file)
    return process.returncode


if __name__ == "__main__":
    sys.exit(_start(*sys.argv[1:]))
