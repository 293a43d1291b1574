"""`python -m bench.academy --out FOLDER --pupils N --schools N --seed S --format F`: see `--help`."""

import argparse
import time
from collections import Counter
from pathlib import Path

from bench.academy.produce import FORMATS, Order, produce


def main() -> None:
    """Write an académie's files; print what was written."""
    order = _order()
    began = time.perf_counter()
    produced = produce(order)
    print(f"{produced.files:,} files, {produced.size / 1e6:,.1f} MB, {time.perf_counter() - began:.1f} s: {order.out}")
    print(
        f"{produced.schools:,} schools, {produced.pupils:,} pupils, {produced.people:,} responsible people in the files"
    )
    _show("mistakes", produced.mistakes)
    _show("changes", produced.changes)


def _order() -> Order:
    parser = argparse.ArgumentParser(prog="python -m bench.academy", description="Write a synthetic académie's files.")
    parser.add_argument("--out", type=Path, required=True, help="a folder; it is made")
    parser.add_argument("--pupils", type=int, required=True)
    parser.add_argument("--schools", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1, help="the same one gives the same bytes (%(default)s)")
    parser.add_argument("--format", choices=FORMATS, required=True)
    parser.add_argument("--delta", type=float, default=0, metavar="RATE", help="AAF: a Delta beside; 0.01 is 1 %%")
    parser.add_argument("--mistakes", type=float, default=0, metavar="RATE", help="households with one; 0.01 is 1 %%")
    parser.add_argument("--archive", action="store_true", help="AAF: as a .tgz; SIECLE: each file in a .zip")
    parser.add_argument("--latin9", action="store_true", help="AAF: in ISO-8859-15")
    parser.add_argument("--old", action="store_true", help="SIECLE: with the older field names")
    parser.add_argument("--part", type=int, default=5_000, help="AAF: the most records of a file (%(default)s)")
    order = Order(**vars(parser.parse_args()))
    if order.delta and not order.format.startswith("aaf"):
        parser.error("only an AAF has a Delta")
    return order


def _show(title: str, counts: Counter[str]) -> None:
    if counts:
        print(f"{title}: " + ", ".join(f"{kind} {number:,}" for kind, number in sorted(counts.items())))


if __name__ == "__main__":
    main()
