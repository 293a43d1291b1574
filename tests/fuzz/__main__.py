"""`make fuzz`: the long run, on both databases side by side. A failure prints its seed and its request's number."""

import argparse
import os
import sys
import tempfile
from collections import Counter
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

from idp.app import create_app
from idp.throttle import limits
from tests.builders import Build
from tests.conftest import Browser
from tests.databases import drop_template, postgresql_copy, settings_for, sqlite_copy
from tests.fuzz.engine import UnsoundError, run
from tests.fuzz.world import World


def main() -> int:
    """Run on each database in a process of its own; return 1 when an answer was one that may not be."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--requests", type=int, default=200_000, help="in all, over both databases")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    wanted = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="idp-fuzz-"))
    with get_context("spawn").Pool(2) as pool:
        each = wanted.requests // 2
        jobs = [(kind, folder, each, wanted.seed) for kind in ("sqlite", "postgresql")]
        results = pool.starmap(_on, jobs, chunksize=1)
    drop_template(folder)
    for (kind, *_), (fault, seen) in zip(jobs, results, strict=True):
        print(f"{kind}: {sum(seen.values())} requests, seed {wanted.seed}")  # noqa: T201 - what the command says
        for (name, status), count in sorted(seen.items()):
            print(f"{count:>8}  {status}  {name}")  # noqa: T201 - same
        if fault:
            print(fault, file=sys.stderr)  # noqa: T201 - same
    return int(any(fault for fault, _ in results))


def _on(kind: str, folder: Path, requests: int, seed: int) -> tuple[str, Counter[tuple[str, int]]]:
    os.environ["PYTHONWARNINGS"] = "error"
    limits.CLIENT_PROOF = replace(limits.CLIENT_PROOF, free=requests)  # else the brake would answer most wrong proofs
    own = folder / kind
    own.mkdir()
    with sqlite_copy(folder, own) if kind == "sqlite" else postgresql_copy(folder) as url:
        app = create_app(settings_for(url, log_level="ERROR"))
        app.test_client_class = Browser
        with app.app_context():
            try:
                return "", run(World(app, Build(settings_for(url))), requests, seed)
            except UnsoundError as fault:
                return f"{kind}: {fault}", Counter()


if __name__ == "__main__":
    sys.exit(main())
