"""Notes the settings as a node does at its start, when the file `GO` is there; run as a process of its own."""

import os
import sys
import time
from pathlib import Path

from idp import cli


def main() -> None:
    """Wait for the start, then note."""
    settings = cli._settings()
    Path(sys.argv[1]).touch()
    while not Path(os.environ["GO"]).exists():
        time.sleep(0.01)
    cli._note_settings(settings)


if __name__ == "__main__":
    main()
