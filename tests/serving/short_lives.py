"""Run `idp` with a server whose workers settle soon and are replaced soon.

The arguments are SETTLED_SECONDS, FIRST_PAUSE and MOST_PAUSE of `idp.serving.server`, a file, and those of `idp`. While
the file is there, the server can fork no process.
"""

import errno
import os
import sys
from pathlib import Path

from idp import cli
from idp.serving import server

_fork = os.fork


def _fork_without(file: Path) -> int:
    if file.exists():
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
    return _fork()


if __name__ == "__main__":
    server.SETTLED_SECONDS, server.FIRST_PAUSE, server.MOST_PAUSE = map(float, sys.argv[1:4])
    server.MOST_PAUSE_OF_ALL = server.MOST_PAUSE
    obstacle = Path(sys.argv[4])
    os.fork = lambda: _fork_without(obstacle)
    sys.argv[1:5] = []
    cli.main()
