"""`make fuzz`: the long run, on both databases side by side. A failure prints its seed and its request's number."""

import argparse
import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from tests.databases import drop_template
from tests.fuzz.long_run import on_both

if TYPE_CHECKING:
    from concurrent.futures import Future

    from tests.fuzz.engine import Seen


def main() -> int:
    """Run; return 1 when an answer was one that may not be, or a run could not be finished."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--requests", type=int, default=200_000, help="in all, over both databases")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="idp-fuzz-", ignore_cleanup_errors=True) as folder:
        ended = on_both(Path(folder), wanted.requests // 2, wanted.seed)
        drop_template(Path(folder))
    well = [_told(kind, wanted.seed, job) for kind, job in ended.items()]
    return int(not all(well))


def _told(kind: str, seed: int, job: "Future[Seen]") -> bool:
    """Say how a run ended; return whether it ended well."""
    fault = job.exception()
    if fault is not None:
        print(f"{kind}, seed {seed}:", *traceback.format_exception(fault), file=sys.stderr)  # noqa: T201 - what is said
        return False
    seen = job.result()
    for (name, status), count in sorted(seen.answers.items()):
        print(f"{count:>8}  {status}  {name}")  # noqa: T201 - what the command says
    total, routes = sum(seen.answers.values()), len(seen.right)
    print(f"{kind}: {total} requests, right ones to {routes} routes, seed {seed}")  # noqa: T201 - same
    return True


if __name__ == "__main__":
    sys.exit(main())
