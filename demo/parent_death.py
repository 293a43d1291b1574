"""Run a command that ends with its parent, even if the parent is killed: `python parent_death.py PARENT COMMAND…`.

Linux sends the signal (prctl(2), PR_SET_PDEATHSIG). The setting survives exec, so the process keeps its number and
becomes the command. This is a program instead of a `preexec_fn`, which is not safe in a process with threads. It
imports nothing of the project: it runs isolated and must start at once.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Request the signal, check that the parent is still there, and become the command."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)
    try:
        os.execv(command[0], command)  # noqa: S606 - the supervisor's command, without a shell
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
