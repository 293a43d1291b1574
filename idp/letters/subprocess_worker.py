"""Work in processes of their own: hashing on all cores, typesetting whose memory is given back.

Each is `python -m MODULE`, which answers jobs one after the other on its own pipes until they close. Not a pool of
`multiprocessing`: its processes would import the whole command first, and outlive one that is killed. Secrets go
through the pipes alone: never an argument, an environment or a file.
"""

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

_NICE = 10


class Gone(Exception):  # noqa: N818 - a state, not a mistake
    """The process ended before it answered."""


class Worker:
    """A process that runs `module`, which calls `serve`."""

    def __init__(self, module: str) -> None:
        # -P: not the folder that the operator stands in, whatever it holds
        self._process = subprocess.Popen(  # noqa: S603 - our own module, no shell
            [sys.executable, "-P", "-m", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def ask(self, job: Any) -> Any:
        """Return the answer to `job`.

        Raises:
            Gone: the process is no more.
        """
        assert self._process.stdin is not None  # noqa: S101 - both are pipes
        assert self._process.stdout is not None  # noqa: S101
        try:
            pickle.dump(job, self._process.stdin)
            self._process.stdin.flush()
            return pickle.load(self._process.stdout)  # noqa: S301 - what our own process wrote
        except (EOFError, BrokenPipeError, pickle.UnpicklingError) as fault:
            raise Gone("a process that hashes or typesets ended before its work: is there memory left?") from fault

    def close(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        self._process.wait()


def serve(answer: Callable[[Any], Any]) -> None:
    """Answer jobs until whoever asks is gone, behind all that is in more of a hurry."""
    os.nice(_NICE)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who asks, who then closes the pipes
    jobs, answers = sys.stdin.buffer, sys.stdout.buffer
    with suppress(EOFError, BrokenPipeError):
        while True:
            pickle.dump(answer(pickle.load(jobs)), answers)  # noqa: S301 - what our own process wrote
            answers.flush()
