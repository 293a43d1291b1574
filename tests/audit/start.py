"""Record the settings in the journal, as a node does at its start, as soon as the file `GO` exists."""

import os
import sys
import time
from pathlib import Path

from idp.cli import application, settings


def main() -> None:
    chosen = settings.load()
    Path(sys.argv[1]).touch()
    while not Path(os.environ["GO"]).exists():
        time.sleep(0.01)
    application.create_for_service(chosen)


if __name__ == "__main__":
    main()
