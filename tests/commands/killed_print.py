"""Kill the print of a school, with a file for each class: `python -m tests.commands.killed_print DATABASE ORDER`.

ORDER is JSON: the `uai`, the folder `out`, and where it is killed: in file number `batch`, `before` the
printed secrets are committed, or `after`. Print the process ids of its pools.
"""

import json
import multiprocessing
import os
import signal
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from idp import db
from idp.app import create_app
from idp.letters import printing, secrets
from idp.letters.printing import PrintOrder
from idp.services import services_of
from tests.databases import settings_for


def die() -> None:
    for process in multiprocessing.active_children():
        sys.stdout.write(f"{process.pid}\n")
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)


def arm(batch: int, where: str) -> None:
    seen = 0

    def committed(step: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen == batch and where == "before":
            die()
        result = db.retry_unit_of_work(step)
        if seen == batch:
            die()
        return result

    setattr(secrets, "retry_unit_of_work", committed)  # noqa: B010 - a name that it imported


def main(database: str, order: str) -> None:
    # The processes of the pool import the module that was started: an empty one instead of all that this one imports.
    sys.modules["__main__"] = ModuleType("__main__")
    options = json.loads(order)
    arm(options["batch"], options["where"])
    settings = settings_for(database, database_pool=2)
    app = create_app(settings)
    with app.app_context():
        printing.print_letters(
            settings,
            services_of(app).hasher,
            PrintOrder(uai=options["uai"], out=Path(options["out"]), per_class=True),
            print,
        )
    sys.exit("it was not killed")


if __name__ == "__main__":
    main(*sys.argv[1:])
