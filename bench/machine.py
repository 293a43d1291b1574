"""Cores, processor time and memory of processes, on Linux; elsewhere nothing is pinned and nothing is measured."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_MIB = 1024
_USER_NICE_SYSTEM = slice(0, 3)
_STEAL = 7
"""The columns of /proc/stat that are processes' time, or time that the hypervisor gave to others. Interrupts are left
out: the kernel counts the work for loopback connections there, for every process."""


class _Process(NamedTuple):
    """When a process started, in ticks of the kernel, and its processor time with that of its ended children."""

    started: int
    pid: int
    parent: int
    seconds: float


@dataclass(frozen=True)
class Memory:
    """Memory of one process in MiB. `pss` counts a page that n processes share as one nth."""

    pid: int
    rss: float
    pss: float


def cores() -> list[int]:
    """Return the cores that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def pin(core: int | None) -> None:
    """Pin this process, and those that it starts from now on, to one core."""
    if core is not None:
        os.sched_setaffinity(0, {core})


@contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """Pin this process, and those that it starts, during the block."""
    before = cores()
    pin(core)
    try:
        yield
    finally:
        if core is not None:
            os.sched_setaffinity(0, before)


def split() -> tuple[int | None, int | None]:
    """Return a core for the server and one for the driver; None twice if there are fewer than two."""
    mine = cores()
    return (mine[0], mine[1]) if len(mine) > 1 else (None, None)


def is_known() -> bool:
    """Return whether this system tells the processor time of processes."""
    return (_PROC / "self" / "stat").exists()


def family(root: int) -> list[int]:
    """Return a process and those that it started, the oldest first; empty if it has ended.

    Ids do not tell the age: after the highest one the kernel gives low ones again.
    """
    processes = sorted(_processes())
    parents = {each.pid: each.parent for each in processes}
    return [each.pid for each in processes if _descends(each.pid, root, parents)]


def parent_of(pid: int, name: str) -> int | None:
    """Return the parent of a process; None if no process of that number and name is here."""
    with suppress(OSError):
        status, _, fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")
        return int(fields.split()[1]) if status.partition("(")[2].startswith(name) else None
    return None


def own_seconds() -> float:
    """Return the processor time of this process."""
    return time.process_time()


def used_seconds(root: int | None) -> float:
    """Return the processor time of a process and those that it started, the ended ones included; 0 if unknown."""
    if root is None:
        return 0.0
    processes = list(_processes())
    parents = {each.pid: each.parent for each in processes}
    return sum(each.seconds for each in processes if _descends(each.pid, root, parents))


def busy_seconds() -> float:
    """Return the processor time of all processes, and of other guests of the host, since the start; 0 if unknown."""
    if not is_known():
        return 0.0
    _, *fields = (_PROC / "stat").read_text().splitlines()[0].split()
    ticks = [int(field) for field in fields]
    return (sum(ticks[_USER_NICE_SYSTEM]) + ticks[_STEAL]) / _TICKS


def foreign_seconds(*roots: int) -> float:
    """Return the processor time of all others than this process, these ones and those that they started.

    Only the difference of two calls has a meaning.
    """
    return busy_seconds() - own_seconds() - sum(map(used_seconds, roots))


def memory(root: int) -> list[Memory]:
    """Return the memory of a process and those that it started, the oldest first."""
    return [each for pid in family(root) if (each := _memory(pid))]


def _memory(pid: int) -> Memory | None:
    try:
        lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()[1:]
    except OSError:  # the process has ended meanwhile, or the kernel does not tell
        return None
    sizes = {line.split(":")[0]: int(line.split()[1]) / _MIB for line in lines}
    return Memory(pid, sizes["Rss"], sizes["Pss"])


def _processes() -> Iterator[_Process]:
    if not is_known():
        return
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # the process has ended meanwhile
            continue
        seconds = sum(int(field) for field in fields[11:15]) / _TICKS
        yield _Process(int(fields[19]), int(entry.name), int(fields[1]), seconds)


def _descends(pid: int, root: int, parents: dict[int, int]) -> bool:
    while pid > 1:
        if pid == root:
            return True
        pid = parents.get(pid, 0)
    return False
