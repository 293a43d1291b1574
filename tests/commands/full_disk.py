"""Run commands on a full disk: `python -m tests.commands.full_disk COMMANDS`, a JSON list of lists.

The limit applies to this process alone (RLIMIT_FSIZE, the maximum size of a file). Print, for each command, its exit
code and its stderr.
"""

import io
import json
import resource
import sys
from contextlib import redirect_stderr, redirect_stdout

from idp.cli import main


def run(command: list[str]) -> tuple[int, str]:
    """Run one command as its entry point does."""
    sys.argv = ["idp", *command]
    errors = io.StringIO()
    with redirect_stderr(errors), redirect_stdout(io.StringIO()):
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0), errors.getvalue()
    raise AssertionError("a command ends by saying how")


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    answers = [run(command) for command in json.loads(sys.argv[1])]
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print(json.dumps(answers))  # noqa: T201 - the output of this program
