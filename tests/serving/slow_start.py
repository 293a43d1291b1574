"""Run `serve` with an application that never becomes ready. The argument is the folder for a file of each worker."""

import logging
import os
import sys
import time
from pathlib import Path

from idp.config import Settings
from idp.serving.commands import command
from tests.commands.processes import PATIENCE
from tests.databases import NOWHERE, settings_for


def _wait(_settings: Settings) -> None:
    Path(sys.argv[1], str(os.getpid())).touch()
    time.sleep(PATIENCE)


if __name__ == "__main__":
    logging.basicConfig()  # so that lines of granian are shown
    command(lambda: settings_for(NOWHERE), _wait, workers=2)(sys.argv[2:])  # type: ignore[arg-type] # never returns
