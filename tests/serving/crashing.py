"""Run `serve` with workers that end while they load.

The arguments are SETTLED_SECONDS of `idp.serving.server`, and the folder for a file of each worker.
"""

import os
import sys
from pathlib import Path

from idp.config import Settings
from idp.serving import server
from idp.serving.commands import command
from tests.commands.processes import free_port
from tests.databases import NOWHERE, settings_for


def _die(_settings: Settings) -> None:
    Path(sys.argv[2], str(os.getpid())).touch()
    os._exit(3)


if __name__ == "__main__":
    server.SETTLED_SECONDS = float(sys.argv[1])
    arguments = ["--bind", f"127.0.0.1:{free_port()}"]
    command(lambda: settings_for(NOWHERE), _die, workers=2)(arguments)  # type: ignore[arg-type] # never returns
